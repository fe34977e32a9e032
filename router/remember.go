package router

import (
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strconv"
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
	input  []byte // items that the request adds; nil when they are those of body
	body   []byte
	whole  bool // the client may ask for the answer itself
	filled bool // something of the answer was seen that is no preamble
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

// refer puts in what a request only refers to, and sees to it that the answer is remembered if the client may refer to it
// later. From there on the request is what the client would have sent if it had said everything itself.
func (x *exchange) refer(mode Mode) *dialect.Failure {
	refers := x.peek.Previous != "" || x.peek.References
	switch {
	case x.op.endpoint != dialect.EndpointResponses, !x.table.remembers(), mode == ModeSwitch && x.frame == nil:
		return nil
	case !refers && !x.peek.Remember && x.frame == nil:
		return nil
	}
	scopes := []string{x.scope()}
	if x.frame != nil {
		scopes = append(scopes, x.frame.scope)
	}
	keep := &keeper{store: x.table.memory, id: newAnswerID(), body: x.call.Body, whole: x.peek.Remember}
	if refers {
		if f := x.complete(keep, scopes); f != nil {
			return f
		}
	}
	switch {
	case keep.whole:
		keep.scopes, x.keep = scopes, keep
	case x.frame != nil:
		keep.scopes, x.keep = scopes[1:], keep
	}
	return nil
}

// complete replaces the body by one that says everything, and tells k what of it is new.
func (x *exchange) complete(k *keeper, scopes []string) *dialect.Failure {
	var first []byte // items in front that belong to the request before
	if id := x.peek.Previous; id != "" {
		for _, s := range scopes {
			if c, ok := k.store.Answer(s, id); ok {
				k.before = c
			}
		}
		if k.before == nil {
			return responses.NotFound(id)
		}
		if x.frame != nil && x.frame.repeats {
			k.before, first = k.before.Question()
		}
	}
	added, err := responses.Input(x.call.Body), error(nil)
	if x.peek.References {
		added, err = responses.Resolve(x.call.Body, func(id string) (text []byte, ok bool) {
			for _, s := range scopes {
				if text, ok = k.store.Item(s, id); ok {
					break
				}
			}
			return text, ok
		})
	}
	if err != nil {
		f := asFailure(err)
		return &f
	}
	var pieces [][]byte
	if k.before != nil {
		pieces = k.before.Items()
	}
	pieces = append(pieces, first, added)
	size := int64(len(x.call.Body))
	for _, p := range pieces {
		size += int64(len(p))
	}
	if size > x.table.BodyLimit {
		return x.bodyTooLarge()
	}
	x.call.Body = responses.WithInput(x.call.Body, pieces...)
	if x.peek, err = x.op.voice.Peek(x.call.Body); err != nil {
		f := asFailure(err)
		return &f
	}
	x.call.Initiator, x.call.Vision, x.rec.Initiator = x.peek.Initiator, x.peek.Vision, x.peek.Initiator
	k.body, k.input = nil, responses.Join(slices.Clone(first), added)
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
	if k.body != nil {
		k.input = responses.Input(k.body)
	}
	k.store.Keep(recall.New(k.before, k.input, response, k.whole), k.id, k.scopes...)
}

// storedAnswer returns the id in the path of a request for an answer that may be remembered, or for the items that it was
// made from.
func storedAnswer(method, path string) (id string, items, ok bool) {
	if method != http.MethodGet && method != http.MethodHead && method != http.MethodDelete {
		return "", false, false
	}
	id, ok = strings.CutPrefix(strings.TrimPrefix(path, "/v1"), "/responses/")
	if method != http.MethodDelete {
		id, items = strings.CutSuffix(id, "/input_items")
	}
	return id, items, ok && id != "" && !strings.Contains(id, "/")
}

// serveStored answers GET and DELETE of an answer.
func (x *exchange) serveStored(id string, items bool) {
	m, scope := x.table.memory, x.scope()
	if x.req.Method == http.MethodDelete {
		if m.Forget(scope, id) {
			x.respondJSON(http.StatusOK, append(rawjson.AppendString([]byte(`{"id":`), id), `,"object":"response","deleted":true}`...))
			return
		}
	} else if c, ok := m.Answer(scope, id); ok {
		switch {
		case items:
			x.serveItems(c)
		case x.req.URL.Query().Get("stream") == "true":
			// Upstreams keep a stream for those who come back only of answers that they make in the background.
			x.fail(*dialect.InvalidRequest("stream", "This response cannot be streamed because it was not created with background=true. Get it without stream."))
		default:
			x.respondJSON(http.StatusOK, c.Response())
		}
		return
	}
	x.fail(dialect.Failure{Status: http.StatusNotFound, Type: "invalid_request_error", Message: "Response with id '" + clip(id) + "' not found."})
}

// serveItems lists what an answer was made from: the items of its request, and those of the answers that it goes on from.
func (x *exchange) serveItems(c *recall.Conversation) {
	page, f := itemPage(x.req.URL.Query())
	if f != nil {
		x.fail(*f)
		return
	}
	var pieces [][]byte
	before, input := c.Question()
	if before != nil {
		pieces = before.Items()
	}
	list, err := responses.AppendItemList(nil, page, append(pieces, input)...)
	if err != nil {
		x.fail(asFailure(err))
		return
	}
	x.respondJSON(http.StatusOK, list)
}

// itemPage reads which items are wanted.
func itemPage(q url.Values) (responses.ItemPage, *dialect.Failure) {
	const most = 100
	page := responses.ItemPage{After: q.Get("after"), Limit: 20, Oldest: q.Get("order") == "asc"}
	if s := q.Get("order"); s != "" && s != "asc" && s != "desc" {
		return page, dialect.InvalidRequest("order", "must be asc or desc")
	}
	if s := q.Get("limit"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > most {
			return page, dialect.InvalidRequest("limit", "must be a number from 1 to %d", most)
		}
		page.Limit = n
	}
	return page, nil
}
