package chat

import (
	"bytes"
	"errors"

	"detour/internal/dialect"
	"detour/internal/dialect/rawjson"
	"detour/internal/llm"
)

// DecodeAnswer implements dialect.Upstream. Its error is a *dialect.Failure where the body says what went wrong.
func (Codec) DecodeAnswer(dst []llm.Event, body []byte) ([]llm.Event, error) {
	body = bytes.TrimSpace(body)
	if rawjson.Of(body) != rawjson.Object || !rawjson.Valid(body) {
		return dst, errors.New("decode answer: it is not a JSON object")
	}
	t := readTop(body)
	if !rawjson.Empty(t.failure) {
		f := dialect.ParseFailure(0, "", body)
		return dst, &f
	}
	d := newDecoder()
	readUsage(&d.usage, t.usage)
	dialect.ReadPrice(&d.usage, t.price)
	events := dst
	for it := rawjson.Elements(t.choices, 0); it.Next(); {
		if rawjson.Of(it.Raw()) != rawjson.Object {
			continue
		}
		events = d.start(events, t)
		events = d.message(events, it.Raw())
		if d.ended {
			break
		}
	}
	if !d.started {
		return dst, errors.New("decode answer: it has no choices")
	}
	if !d.ended {
		events = d.finish(events)
	}
	if last := events[len(events)-1]; last.Kind == llm.EventFailure {
		return dst, last.Err
	}
	return events, nil
}

// message follows one choice of a whole answer. Its calls are whole, whatever they say of their index.
func (d *decoder) message(dst []llm.Event, raw []byte) []llm.Event {
	index, _ := rawjson.Int(rawjson.Get(raw, "index"))
	in := readDelta(rawjson.Get(raw, "message"))
	calls := in.calls
	in.calls = nil
	dst = d.delta(dst, max(0, index), in)
	for it := rawjson.Elements(calls, 0); it.Next() && !d.ended; {
		if rawjson.Of(it.Raw()) == rawjson.Object {
			dst = d.whole(dst, it.Raw())
		}
	}
	if reason := rawjson.Get(raw, "finish_reason"); !d.ended && !rawjson.Empty(reason) {
		return d.reason(dst, reason)
	}
	return dst
}
