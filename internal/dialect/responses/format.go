// Package responses is OpenAI Responses. Format is what the identity path needs: requests are looked into, answers are
// followed and mended while their bytes pass. Codec translates requests and answers from and to the neutral words of
// package llm.
package responses

import (
	"bytes"
	"hash/fnv"

	"detour/internal/dialect"
	"detour/internal/dialect/rawjson"
	"detour/internal/llm"
)

// Format is the Responses dialect.
type Format struct{}

var _ dialect.Format = Format{}

// Name implements dialect.Format.
func (Format) Name() dialect.Name { return dialect.Responses }

// AppendError implements dialect.Format.
func (Format) AppendError(dst []byte, f dialect.Failure) []byte {
	return dialect.AppendOpenAIError(dst, f)
}

// Repair implements dialect.Format. It seals the blobs of the output items, names their namespaces as the client does,
// and gives the answer the id that was asked for.
func (Format) Repair(body []byte, o dialect.TapOptions) ([]byte, llm.Usage) {
	var u llm.Usage
	if !rawjson.Valid(body) {
		return body, u
	}
	var p rawjson.Patch
	for it := rawjson.Members(body, 0); it.Next(); {
		switch string(it.Key()) {
		case "id":
			if lo, hi := it.Span(); o.OwnID {
				p.Replace(lo, hi, rawjson.AppendString(nil, o.ID))
			}
		case "usage":
			readUsage(&u, it.Raw())
		case "copilot_usage":
			dialect.ReadPrice(&u, it.Raw())
		case "output":
			from, _ := it.Span()
			for items := rawjson.Elements(body, from); items.Next(); {
				lo, hi := items.Span()
				var inner rawjson.Patch
				seal(&inner, items.Raw(), o.Seal, nil)
				if restoreReserved(&inner, items.Raw(), o.Reserved); !inner.Empty() {
					p.Replace(lo, hi, inner.Apply(nil, items.Raw()))
				}
			}
		}
	}
	if p.Empty() {
		return body, u
	}
	return p.Apply(nil, body), u
}

// readUsage reads the usage object of an answer. The cached tokens are part of the input here and buckets of their own
// in llm.Usage.
func readUsage(u *llm.Usage, raw []byte) {
	if rawjson.Of(raw) != rawjson.Object {
		return
	}
	var input, read, write int64
	*u = llm.Usage{NanoAIU: u.NanoAIU, Priced: u.Priced, Reported: true}
	dialect.ReadCost(u, raw)
	for it := rawjson.Members(raw, 0); it.Next(); {
		switch string(it.Key()) {
		case "input_tokens":
			input = dialect.Tokens(it.Raw())
		case "output_tokens":
			u.Output = dialect.Tokens(it.Raw())
		case "input_tokens_details":
			read = dialect.Tokens(rawjson.Get(it.Raw(), "cached_tokens"))
			write = dialect.Tokens(rawjson.Get(it.Raw(), "cache_write_tokens"))
		case "output_tokens_details":
			u.Reasoning = dialect.Tokens(rawjson.Get(it.Raw(), "reasoning_tokens"))
		case "copilot_usage":
			dialect.ReadPrice(u, it.Raw())
		}
	}
	u.CacheRead, u.CacheWrite = read, write
	u.Input = max(0, input-read-write)
	u.Reasoning = min(u.Reasoning, u.Output)
}

// sealed is the blob of an item that was sealed last.
type sealed struct {
	blob  uint64 // hash of the upstream's
	value []byte // JSON text of what the client got
}

// seal packs the blob of an item together with the item's own id, to which the upstream has bound it. An upstream may
// repeat the blob of an item under another id, to which it is not bound: what last has for it counts then. last may be
// nil.
func seal(p *rawjson.Patch, item []byte, with func(id, blob string) string, last *sealed) {
	if with == nil || rawjson.Of(item) != rawjson.Object {
		return
	}
	var id, typ []byte
	for it := rawjson.Members(item, 0); it.Next(); {
		switch string(it.Key()) {
		case "id":
			id = it.Raw()
		case "type":
			typ = it.Raw()
		}
	}
	for it := rawjson.Members(item, 0); it.Next(); {
		if !isBlob(typ, it.Key()) || rawjson.Of(it.Raw()) != rawjson.String || rawjson.Empty(it.Raw()) {
			continue
		}
		lo, hi := it.Span()
		h := fnv.New64a()
		_, _ = h.Write(it.Raw())
		if last != nil && last.value != nil && last.blob == h.Sum64() {
			p.Replace(lo, hi, last.value)
			continue
		}
		value := rawjson.AppendString(nil, with(string(rawjson.Text(id)), string(rawjson.Text(it.Raw()))))
		p.Replace(lo, hi, value)
		if last != nil {
			last.blob, last.value = h.Sum64(), value
		}
	}
}

// isBlob reports whether the member of an item is opaque and bound to the item's id.
func isBlob(typ, key []byte) bool {
	return string(key) == "encrypted_content" || string(key) == "fingerprint" && string(typ) == `"program"`
}

// Unseal restores the input items of a request whose blobs are sealed: the blob and the id that it is bound to. open
// returns ok false for a blob that is not sealed; its item stays as it is. Ids that a Tap made up are taken out, because
// the upstream has never seen them. It may return body itself.
func Unseal(body []byte, open func(blob string) (id, blobOf string, ok bool)) []byte {
	if !rawjson.Valid(body) {
		return body
	}
	var p rawjson.Patch
	for it := rawjson.Members(body, 0); it.Next(); {
		if string(it.Key()) != "input" {
			continue
		}
		from, _ := it.Span()
		for items := rawjson.Elements(body, from); items.Next(); {
			if rawjson.Of(items.Raw()) != rawjson.Object {
				continue
			}
			lo, _ := items.Span()
			unsealItem(&p, body, lo, open)
		}
	}
	if p.Empty() {
		return body
	}
	return p.Apply(make([]byte, 0, len(body)), body)
}

func unsealItem(p *rawjson.Patch, body []byte, lo int, open func(blob string) (id, blobOf string, ok bool)) {
	var id, typ rawjson.Field
	var ids rawjson.Iter // stands at the id
	for it := rawjson.Members(body, lo); it.Next(); {
		switch string(it.Key()) {
		case "id":
			id, ids = it.Field(), it
		case "type":
			typ = it.Field()
		}
	}
	for it := rawjson.Members(body, lo); it.Next(); {
		if !isBlob(typ.Raw, it.Key()) || rawjson.Of(it.Raw()) != rawjson.String {
			continue
		}
		rawID, blob, ok := open(string(rawjson.Text(it.Raw())))
		if !ok {
			continue
		}
		from, to := it.Span()
		p.Replace(from, to, rawjson.AppendString(nil, blob))
		switch {
		case rawID != "":
			p.Set(lo, "id", id, rawjson.AppendString(nil, rawID))
		case id.Raw != nil:
			p.Remove(&ids)
		}
		return
	}
	if bytes.Contains(rawjson.Text(id.Raw), []byte(mintMark)) {
		p.Remove(&ids)
	}
}
