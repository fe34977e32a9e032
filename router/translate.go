package router

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/tidwall/gjson"

	"detour/internal/dialect"
	"detour/internal/dialect/carrier"
	"detour/internal/dialect/chat"
	"detour/internal/dialect/compaction"
	"detour/internal/dialect/messages"
	"detour/internal/dialect/responses"
	"detour/internal/llm"
	"detour/internal/sse"
	"detour/providers"
)

// translation is what an exchange needs whose client and model speak different dialects. The upstream is always asked
// for a stream: one way to read answers is enough, and long answers do not sit silent.
type translation struct {
	client   dialect.Client
	upstream dialect.Upstream
	request  *llm.Request // as the client said it
	target   dialect.Target
	// asWritten says that the request goes up as the client wrote it, and only the answer is read and written anew.
	asWritten bool
	// compact makes the step that an answer takes which is to be a compaction; nil for other answers. ask is the request
	// for the summary that it is made of, nil where the model compacts by itself, and room what the model takes.
	compact func() compaction.Step
	ask     *llm.Request
	room    int

	tools *dialect.ToolNames // of the attempt under way
	stop  []string           // sequences that its upstream does not stop at
}

// upstreams are the dialects that models speak, by endpoint.
func upstreams() map[dialect.Endpoint]dialect.Upstream {
	return map[dialect.Endpoint]dialect.Upstream{
		dialect.EndpointChat: chat.Codec{}, dialect.EndpointResponses: responses.Codec{}, dialect.EndpointMessages: messages.Codec{},
	}
}

// preference orders a model's own dialects by how much of what a client says survives in them.
func preference(client dialect.Endpoint) []dialect.Endpoint {
	switch client {
	case dialect.EndpointMessages:
		return []dialect.Endpoint{dialect.EndpointMessages, dialect.EndpointResponses, dialect.EndpointChat}
	case dialect.EndpointResponses, dialect.EndpointCompact:
		return []dialect.Endpoint{dialect.EndpointResponses, dialect.EndpointMessages, dialect.EndpointChat}
	}
	return []dialect.Endpoint{dialect.EndpointChat, dialect.EndpointResponses, dialect.EndpointMessages}
}

// speak decides in which dialect the model is asked, and prepares to translate when it is not the client's.
func (x *exchange) speak(e *entry) *dialect.Failure {
	body := x.call.Body
	want := x.op.endpoint
	if x.compacting {
		return x.speakCompaction(e)
	}
	switch want {
	case dialect.EndpointEmbeddings:
		return x.native(e)
	case dialect.EndpointCountTokens, dialect.EndpointGenerateCount:
		x.estimate = want == dialect.EndpointGenerateCount || x.native(e) != nil
		return nil
	}
	native := x.spoken(e)
	if slices.Contains(native, want) {
		switch {
		case want == dialect.EndpointResponses && x.wraps(e):
			return x.translate(want, e, body)
		case want != dialect.EndpointResponses && bytes.Contains(body, []byte(carrier.Prefix)):
			return x.translate(want, e, body) // state of models of other dialects must be taken out
		case x.peek.Mixed && slices.Contains(native, dialect.EndpointResponses) && !gjson.GetBytes(body, "messages").Exists():
			return x.translate(dialect.EndpointResponses, e, body) // it is a request of that dialect, but for its path
		case x.peek.Mixed:
			return x.translate(want, e, body)
		case want == dialect.EndpointChat && slices.Contains(native, dialect.EndpointResponses) && toolsWithEffort(body):
		case want == dialect.EndpointChat && customTools(body) && !x.table.target(e).CustomInChat:
			return x.translate(want, e, body) // as functions, and back
		default:
			return nil
		}
	}
	for _, endpoint := range preference(want) {
		if endpoint != want && slices.Contains(native, endpoint) {
			return x.translate(endpoint, e, body)
		}
	}
	return x.native(e)
}

// toolsWithEffort recognises what reasoning models refuse on Chat and take on Responses: tools together with an effort.
func toolsWithEffort(body []byte) bool {
	effort := gjson.GetBytes(body, "reasoning_effort")
	return effort.Str != "" && effort.Str != "none" && gjson.GetBytes(body, "tools.#").Int() > 0
}

// customTools recognises tools that take free text, which few models take on Chat.
func customTools(body []byte) bool {
	return gjson.GetBytes(body, `tools.#(type=="custom")`).Exists()
}

// target is what encoders must know of a model.
func (t *table) target(e *entry) dialect.Target {
	if s, ok := t.Providers[e.provider].(providers.Targeter); ok {
		return s.Target(e.model)
	}
	return dialect.Target{Model: e.model.ID, MaxOutput: e.model.MaxOutput}
}

func (x *exchange) translate(endpoint dialect.Endpoint, e *entry, body []byte) *dialect.Failure {
	t := &translation{client: x.op.client, upstream: x.table.upstreams[endpoint]}
	if t.client == nil || t.upstream == nil {
		return x.native(e)
	}
	var err error
	if t.request, err = t.client.DecodeRequest(body); err != nil {
		f, ok := errors.AsType[*dialect.Failure](err)
		if !ok {
			f = &dialect.Failure{Status: http.StatusBadRequest, Message: err.Error()}
		}
		return f
	}
	if endpoint != dialect.EndpointResponses {
		if f := responses.Unreadable(t.request); f != nil {
			return f
		}
	}
	t.target = x.table.target(e)
	t.target.CustomTools = t.target.CustomTools && (endpoint != dialect.EndpointChat || t.target.CustomInChat)
	if s, ok := x.op.client.(interface{ ContentType() string }); ok {
		x.contentType = s.ContentType()
	}
	x.translation, x.call.Endpoint, x.call.Stream = t, endpoint, true
	return nil
}

// lostCompaction finds a compaction that another account sealed.
func lostCompaction(t llm.Turn) bool {
	return slices.ContainsFunc(t.Parts, func(p llm.Part) bool {
		return p.Kind == llm.PartCompaction && p.Text == "" && p.Opaque.Value == ""
	})
}

// encode writes the request of one attempt for account a: what other accounts sealed is not for its eyes.
func (t *translation) encode(codec *carrier.Codec) ([]byte, []string, error) {
	r := *opened(cmp.Or(t.ask, t.request), codec)
	if slices.ContainsFunc(r.Turns, lostCompaction) {
		return nil, nil, &providers.Error{Kind: providers.KindInvalid, Failure: *responses.ForeignCompaction("")}
	}
	r.Stream = true
	enc, err := t.upstream.EncodeRequest(&r, t.target)
	if err != nil {
		f, ok := errors.AsType[*dialect.Failure](err)
		if !ok {
			f = &dialect.Failure{Status: http.StatusBadRequest, Message: err.Error()}
		}
		return nil, nil, &providers.Error{Kind: providers.KindInvalid, Failure: *f, Err: err}
	}
	t.tools, t.stop = enc.Tools, enc.Stop
	return enc.Body, enc.Lost, nil
}

// opened returns r with its carriers opened: those of another account, or of nobody, leave nothing behind.
func opened(r *llm.Request, codec *carrier.Codec) *llm.Request {
	has := func(p llm.Part) bool { return p.Opaque.Kind == llm.OpaqueCarrier }
	if !slices.ContainsFunc(r.Turns, func(t llm.Turn) bool { return slices.ContainsFunc(t.Parts, has) }) {
		return r
	}
	out := *r
	out.Turns = slices.Clone(r.Turns)
	for i := range out.Turns {
		if !slices.ContainsFunc(out.Turns[i].Parts, has) {
			continue
		}
		parts := slices.Clone(out.Turns[i].Parts)
		for j := range parts {
			if !has(parts[j]) {
				continue
			}
			kind, id, blob, ok := codec.OpenAs(parts[j].Opaque.Value)
			parts[j].Opaque = llm.Opaque{}
			if ok {
				parts[j].Opaque = llm.Opaque{Kind: llm.OpaqueKind(kind), ID: id, Value: blob}
			}
		}
		out.Turns[i].Parts = parts
	}
	return &out
}

// translator turns an upstream's stream into the client's events.
type translator struct {
	dec     dialect.Decoder
	stop    *dialect.Stopper // nil where the upstream stops by itself
	restore dialect.Restorer
	codec   *carrier.Codec
	compact compaction.Step // nil unless the answer is to be a compaction

	raw, cut, mended []llm.Event
	compacted        []llm.Event
	sealed           llm.Part
	use              llm.Usage
	fail             dialect.Failure
	failed           error
	finished         bool
}

func (t *translation) translator(codec *carrier.Codec) *translator {
	tr := &translator{dec: t.upstream.NewDecoder(), stop: dialect.NewStopper(t.stop), restore: dialect.Restorer{Tools: t.tools}, codec: codec}
	if t.compact != nil {
		tr.compact = t.compact()
	}
	return tr
}

// step passes a frame's events on to emit, in the client's words.
func (t *translator) step(events []llm.Event, emit func(llm.Event)) dialect.Class {
	class := dialect.Meta
	if t.compact != nil {
		t.compacted = t.compacted[:0]
		for _, e := range events {
			t.compacted = t.compact.Step(t.compacted, e)
		}
		events = t.compacted
	}
	for _, e := range events {
		if t.stop == nil {
			class = max(class, t.pass(e, emit))
			continue
		}
		t.cut = t.stop.Step(t.cut[:0], e)
		for _, e := range t.cut {
			class = max(class, t.pass(e, emit))
		}
	}
	if t.compact != nil && class == dialect.Content {
		return dialect.Meta // a client can do nothing with half a compaction
	}
	return class
}

// pass passes one event on.
func (t *translator) pass(e llm.Event, emit func(llm.Event)) dialect.Class {
	class := dialect.Content
	switch e.Kind {
	case llm.EventUsage:
		t.use, class = e.Usage, dialect.Meta
	case llm.EventFinish:
		t.finished, class = true, dialect.Terminal
	case llm.EventFailure:
		t.failed, t.fail, class = e.Err, failureOf(e.Err), dialect.Failed
		if e.Usage.Reported || e.Usage.Priced {
			t.use = e.Usage
		}
	case llm.EventStart:
		t.use, class = e.Usage, dialect.Meta
	case llm.EventPing:
		class = dialect.Meta
	case llm.EventBlock: // of text that has been announced, none has come
		if e.Part != nil && e.Part.Kind == llm.PartText {
			class = dialect.Meta
		}
	case llm.EventSeal:
		e.Part = t.seal(e.Part)
	}
	t.mended = t.restore.Step(t.mended[:0], e)
	for _, m := range t.mended {
		emit(m)
	}
	return class
}

// seal wraps opaque state of the upstream for a client of another dialect.
func (t *translator) seal(p *llm.Part) *llm.Part {
	o := p.Opaque
	if o.Kind == llm.OpaqueCarrier {
		return p
	}
	t.sealed = llm.Part{Kind: p.Kind, Opaque: llm.Opaque{Kind: llm.OpaqueCarrier, Value: t.codec.SealAs(string(o.Kind), o.ID, o.Value)}}
	return &t.sealed
}

func failureOf(err error) dialect.Failure {
	if f, ok := errors.AsType[*dialect.Failure](err); ok {
		return *f
	}
	return dialect.EndFailure(err)
}

// streaming is a translator for clients that want a stream.
type streaming struct {
	*translator
	enc dialect.Encoder
}

func (s *streaming) frame(dst []byte, f sse.Frame) ([]byte, dialect.Class) {
	s.raw = s.dec.Decode(s.raw[:0], f)
	class := s.step(s.raw, func(e llm.Event) { dst = s.enc.Encode(dst, e) })
	return dst, class
}

func (s *streaming) end(dst []byte, cause error) ([]byte, error) {
	if s.failed != nil {
		return dst, s.failed
	}
	s.raw = s.raw[:0]
	if cause == nil {
		s.raw = s.dec.Close(s.raw)
	} else {
		s.raw = append(s.raw, llm.Event{Kind: llm.EventFailure, Err: cause})
	}
	s.step(s.raw, func(e llm.Event) { dst = s.enc.Encode(dst, e) })
	if s.failed == nil && !s.finished {
		s.failed = io.ErrUnexpectedEOF
		dst = s.enc.Encode(dst, llm.Event{Kind: llm.EventFailure, Err: s.failed})
	}
	return dst, s.failed
}

func (s *streaming) failure() dialect.Failure { return s.fail }
func (s *streaming) usage() llm.Usage         { return s.use }
func (s *streaming) ping(dst []byte) []byte   { return s.enc.Ping(dst) }

// relayTranslated sends an answer on in the client's dialect.
func (x *exchange) relayTranslated(a *providers.Account, resp *http.Response, stream bool) error {
	t := x.translation
	codec := x.table.carriers[a.ID()]
	tr := t.translator(codec)
	id, own := x.answerID()
	options := dialect.AnswerOptions{
		Request: t.request, Model: x.rec.RequestedModel, ID: id, OwnID: own, Created: x.rec.Start.Unix(),
		ReasoningText: strings.HasSuffix(x.rec.Host, ".githubcopilot.com"), // clients of Copilot itself know its words for reasoning
	}
	if stream && t.request.Stream {
		return x.relayStream(&streaming{tr, t.client.NewEncoder(options)}, resp)
	}
	defer func() { x.told = tr.use }() // also of an answer that was cut: it was spent
	var fold llm.Folder
	if err := x.fold(tr, &fold, stream, resp); err != nil {
		return err
	}
	answer, ok := fold.Answer()
	switch {
	case fold.Err() != nil:
		return x.inband(failureOf(fold.Err()))
	case !ok:
		return incomplete(io.ErrUnexpectedEOF)
	}
	if t.request.Stream { // the upstream answered whole what was asked for as a stream
		return x.replay(answer, t.client.NewEncoder(options), resp)
	}
	h := x.w.Header()
	x.copyHeader(h, resp.Header)
	x.stamp(h)
	body := t.client.EncodeAnswer(nil, answer, options)
	if x.keep != nil {
		x.keep.answer(body)
	}
	x.respondJSON(http.StatusOK, body)
	return nil
}

// fold reads a whole answer, streamed or not.
func (x *exchange) fold(tr *translator, fold *llm.Folder, stream bool, resp *http.Response) error {
	if !stream {
		body, err := x.readAnswer(resp)
		if err != nil {
			return err
		}
		events, err := x.translation.upstream.DecodeAnswer(nil, body)
		if f, ok := errors.AsType[*dialect.Failure](err); ok {
			return x.inband(*f) // it is an error in spite of its status
		}
		if err != nil {
			return &providers.Error{Kind: providers.KindServer, Failure: dialect.Failure{Message: "the upstream's answer cannot be read"}, Err: err}
		}
		tr.step(events, fold.Add)
		return nil
	}
	frames := sse.NewReader(resp.Body)
	frames.Limit = int(x.table.EventLimit)
	for {
		f, err := frames.Next()
		if err == nil || whole(f, err) {
			tr.raw = tr.dec.Decode(tr.raw[:0], f)
			tr.step(tr.raw, fold.Add)
		}
		switch {
		case tr.failed != nil: // what comes then may still be charged for
			return nil
		case err == nil:
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			tr.step(tr.dec.Close(tr.raw[:0]), fold.Add)
			return nil
		default:
			err = transportError(x.req.Context(), err)
			if x.req.Context().Err() == nil {
				tr.raw = append(tr.raw[:0], llm.Event{Kind: llm.EventFailure, Err: err})
				tr.step(tr.raw, fold.Add)
			}
			if tr.finished && tr.failed == nil {
				return nil // all that the client is to get had come: see dialect.Stopper
			}
			return err
		}
	}
}

// streamWhole makes a stream of an answer in the client's own dialect that came whole though a stream was asked for:
// clients fail on it, or ask again for ever.
func (x *exchange) streamWhole(a *providers.Account, resp *http.Response, body []byte) error {
	body, _ = x.op.format.Repair(body, x.tapOptions(a))
	if f := x.translate(x.op.endpoint, &entry{provider: a.Provider(), model: x.call.Model}, x.call.Body); f != nil {
		return &providers.Error{Kind: providers.KindInvalid, Failure: *f}
	}
	resp.Body = io.NopCloser(bytes.NewReader(body)) // the caller closes the upstream's
	return x.relayTranslated(a, resp, false)
}

// replay streams an answer that came whole.
func (x *exchange) replay(a *llm.Answer, enc dialect.Encoder, resp *http.Response) error {
	out := newOutlet(x, resp, nil)
	defer out.close()
	var b []byte
	for _, e := range a.Replay(nil) {
		b = enc.Encode(b, e)
	}
	if x.keep != nil {
		x.keep.saw(b, dialect.Terminal)
	}
	return out.send(b)
}
