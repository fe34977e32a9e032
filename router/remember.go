package router

import (
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"
	"time"

	"detour/internal/dialect"
	"detour/internal/dialect/rawjson"
	"detour/internal/dialect/responses"
	"detour/internal/recall"
	"detour/internal/sse"
)

// withDefaults fills in the documented limits. Less than zero bytes remember nothing.
func withDefaults(l recall.Limits) recall.Limits {
	l.Bytes = cmp.Or(l.Bytes, 64<<20)
	l.Answers = cmp.Or(l.Answers, 4096)
	l.Age = cmp.Or(l.Age, 8*time.Hour)
	return l
}

// remembers tells whether clients may refer to answers at all.
func (t *table) remembers() bool { return t.Memory.Bytes > 0 }

// keeper remembers one answer of an exchange, exactly as the client gets it, before the client has it.
type keeper struct {
	store  *recall.Store
	scopes []string
	id     string // of the answer
	before *recall.Conversation
	input  []byte // items that the request adds
	whole  bool   // the client may ask for the answer itself
	filled bool   // something of the answer was seen that is no preamble
}

// newAnswerID returns an id that nobody can guess, and that no other answer has. An upstream's own might be anything.
func newAnswerID() string { return "resp_" + strings.ToLower(rand.Text()) }

// scope is what the client of a request may refer to: what it made itself. Its own credential counts too, so that
// users of one machine cannot name each other's answers where no key of ours tells them apart.
func (x *exchange) scope() string {
	h := sha256.New()
	h.Write([]byte(x.rec.Door + "\x00" + x.rec.Client))
	for _, name := range [...]string{"Authorization", "X-Api-Key"} {
		h.Write([]byte("\x00" + x.req.Header.Get(name)))
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// refer puts in what a request only refers to: the answer that it goes on from, and items by their id. From there on
// the request is what the client would have sent if it had said everything itself. It also sees to it that the answer
// is remembered, if the client may refer to it later.
func (x *exchange) refer(mode Mode) *dialect.Failure {
	if x.op.endpoint != dialect.EndpointResponses || !x.table.remembers() || mode == ModeSwitch && x.frame == nil {
		return nil
	}
	body, peek := x.call.Body, x.peek
	m := x.table.memory
	scopes := []string{x.scope()}
	if x.frame != nil {
		scopes = append(scopes, x.frame.scope)
	}
	var before *recall.Conversation
	var input []byte // items in front that belong to the request before
	if peek.Previous != "" {
		for _, s := range scopes {
			if c, ok := m.Answer(s, peek.Previous); ok {
				before = c
			}
		}
		if before == nil {
			return responses.NotFound(peek.Previous)
		}
		if x.frame != nil && x.frame.repeats {
			before, input = before.Question()
		}
	}
	var err error
	added := responses.Input(body)
	if peek.References {
		added, err = responses.Resolve(body, func(id string) (text []byte, ok bool) {
			for _, s := range scopes {
				if text, ok = m.Item(s, id); ok {
					break
				}
			}
			return text, ok
		})
	}
	if err == nil && (peek.Previous != "" || peek.References) {
		var pieces [][]byte
		if before != nil {
			pieces = before.Items()
		}
		size := int64(len(body)) + int64(len(added))
		for _, p := range pieces {
			size += int64(len(p))
		}
		if size > x.table.BodyLimit {
			return x.bodyTooLarge()
		}
		body = responses.WithInput(body, append(pieces, input, added)...)
		peek, err = x.op.voice.Peek(body)
	}
	if err != nil {
		f := asFailure(err)
		return &f
	}
	x.peek, x.rec.Initiator = peek, peek.Initiator
	x.call.Body, x.call.Initiator, x.call.Vision = body, peek.Initiator, peek.Vision
	if x.frame == nil && !peek.Remember {
		return nil
	}
	if len(input) > 0 {
		added = responses.Join(slices.Clone(input), added)
	}
	x.keep = &keeper{store: m, id: newAnswerID(), before: before, input: added, whole: peek.Remember}
	if peek.Remember {
		x.keep.scopes = scopes
	} else {
		x.keep.scopes = scopes[1:]
	}
	return nil
}

// saw looks at frames of a stream that go out to the client next.
func (k *keeper) saw(frames []byte, class dialect.Class) {
	k.filled = k.filled || class == dialect.Content
	if class != dialect.Terminal {
		return
	}
	for data, rest, ok := sse.NextData(frames); ok; data, rest, ok = sse.NextData(rest) {
		if r := responses.Finished(data); r != nil {
			k.remember(r)
		}
	}
}

// answer looks at an answer that goes out whole.
func (k *keeper) answer(response []byte) {
	switch string(rawjson.Get(response, "status")) {
	case `"completed"`, `"incomplete"`:
		k.filled = false // it is all there
		k.remember(response)
	}
}

// remember keeps the answer. One that was too long for its last event to repeat is not kept: a part of it would pass
// for the whole.
func (k *keeper) remember(response []byte) {
	if k.filled && rawjson.Empty(rawjson.Get(response, "output")) {
		return
	}
	k.store.Keep(recall.New(k.before, k.input, response, k.whole), k.id, k.scopes...)
}

// storedAnswer returns the id in the path of a request for an answer that may be remembered.
func storedAnswer(method, path string) (id string, ok bool) {
	if method != http.MethodGet && method != http.MethodHead && method != http.MethodDelete {
		return "", false
	}
	id, ok = strings.CutPrefix(strings.TrimPrefix(path, "/v1"), "/responses/")
	return id, ok && id != "" && !strings.Contains(id, "/")
}

// serveStored answers GET and DELETE of an answer.
func (x *exchange) serveStored(id string) {
	m, scope := x.table.memory, x.scope()
	if x.req.Method == http.MethodDelete {
		if m.Forget(scope, id) {
			x.respondJSON(http.StatusOK, append(rawjson.AppendString([]byte(`{"id":`), id), `,"object":"response","deleted":true}`...))
			return
		}
	} else if c, ok := m.Answer(scope, id); ok {
		x.respondJSON(http.StatusOK, c.Response())
		return
	}
	x.fail(dialect.Failure{Status: http.StatusNotFound, Type: "invalid_request_error", Message: "Response with id '" + clip(id) + "' not found."})
}
