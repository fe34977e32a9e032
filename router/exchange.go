package router

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/tidwall/sjson"

	"detour/internal/dialect"
	"detour/internal/llm"
	"detour/internal/record"
	"detour/internal/secret"
	"detour/providers"
)

// exchange is one client request with all its attempts. It lives on one goroutine.
type exchange struct {
	table     *table
	w         http.ResponseWriter
	req       *http.Request
	op        operation
	rec       record.Exchange
	committed bool // the status line went out: nothing may be retried any more
	answered  bool // the last upstream began a good answer, so that it may charge for it

	client  Client
	route   route
	name    string         // model, as the client names it
	said    []byte         // the body as it was read, less its compression; nil before
	loaded  bool           // and looked into
	trying  int            // 1 while an attempt is under way
	told    llm.Usage      // by the answer under way
	premium float64        // premium requests that the answer under way is expected to cost
	asked   providers.Call // as the client said it, before its model was looked for
	peek    dialect.Peek

	wish Wish
	call providers.Call
	// sealed says that the request holds values that accounts of ours sealed.
	sealed bool
	// translation is set when the model does not speak the client's dialect.
	translation *translation
	contentType string // of a stream, "" for server-sent events
	compacting  bool   // a compaction of the conversation is asked for
	probing     bool   // nothing is asked for
	reserved    string // the name by which the reserved namespace of Codex goes up, "" when it does not
	estimate    bool   // tokens are to be counted here
	// mended is the upstream's request after its provider took something out; nil before.
	mended []byte
	mends  int
	// learned is what upstreams taught in this exchange, until an answer shows that it helped.
	learned []string
	heeded  []string           // lessons that the last request to an upstream heeded
	refused []dialect.Endpoint // where this exchange was told to ask in another dialect
	entry   *entry             // of the model in the catalogue; nil when that does not know it

	keep     *keeper      // remembers the answer; nil when nobody may refer to it
	frame    *socketFrame // set when it is an exchange of a WebSocket
	upgraded bool         // the connection was taken over for a WebSocket, whose exchanges have records of their own
}

// run serves a recognised request, with the models that stand in for its own where the owner named some.
func (x *exchange) run(hostProvider string) {
	mode := x.route.mode
	if f := x.prepare(mode, hostProvider); f != nil {
		x.fail(*f)
		return
	}
	if x.estimate {
		x.estimateTokens()
		return
	}
	if x.frame != nil && x.frame.warm {
		x.warmUp()
		return
	}
	if x.probing {
		x.answerProbe()
		return
	}
	ctx := x.req.Context()
	if late := x.table.clientPaces.wait(ctx, x.client.Name, &rounds{Retry: x.table.Retry}); late != nil {
		x.failUpstream(late)
		return
	}
	err := x.serve(ctx)
	if err != nil && !x.committed && ctx.Err() == nil && !x.call.Verbatim {
		err = x.fallBack(ctx, mode, err)
	}
	if err == nil {
		return
	}
	if e := providers.AsError(err); x.committed || ctx.Err() != nil {
		x.rec.Error = e.Kind.String()
		if e.Kind == providers.KindCanceled || !x.committed {
			x.abort()
		}
		return // the answer says itself that it was cut
	}
	if none, ok := errors.AsType[*NoAccountError](err); ok {
		x.failNoAccount(none)
		return
	}
	x.failUpstream(providers.AsError(err))
}

// serve is the only retry loop in the program. Its error is a *NoAccountError or of an attempt.
func (x *exchange) serve(ctx context.Context) error {
	rounds := rounds{Retry: x.table.Retry}
	var last *providers.Error
	for {
		var account *providers.Account
		var err error
		if len(x.wish.Tried) < x.table.Retry.Attempts {
			account, err = x.table.pool.Pick(x.wish)
		}
		if account == nil {
			switch {
			case last == nil && rounds.outlast(ctx, err, x.table.Now()):
				continue
			case last == nil:
				return err
			case x.answered || !rounds.again(ctx, last):
				return last
			}
			x.wish.Tried = nil
			continue
		}
		if err = x.try(ctx, account, &rounds); err == nil {
			return nil
		}
		last = providers.AsError(err)
		if x.committed || ctx.Err() != nil {
			return last
		}
		x.wish.Waited = account.ID()
		switch {
		case x.elsewhere(last):
			x.wish.Tried = append(x.wish.Tried, account.ID())
		case last.Kind == providers.KindRateLimit && !x.answered && rounds.again(ctx, last):
			x.wish.Owner = account.ID() // going on elsewhere would be failing over
		default:
			return last
		}
	}
}

// try attempts and gives the account back, be it in a panic.
func (x *exchange) try(ctx context.Context, a *providers.Account, r *rounds) (err error) {
	innocent := &providers.Error{Kind: providers.KindInvalid} // nobody's fault; stands while a panic unwinds
	outcome := error(innocent)
	defer func() { x.table.pool.Release(a, x.wish, outcome) }()
	if late := x.table.accountPaces.wait(ctx, a.ID(), r); late != nil {
		return late // the owner's wish, and no fault of the account's
	}
	x.wish.Begun = x.table.Now()
	outcome = x.attempt(ctx, a)
	return outcome
}

// elsewhere tells whether another try, at whichever account, could end better.
func (x *exchange) elsewhere(e *providers.Error) bool {
	switch e.Kind {
	case providers.KindInvalid, providers.KindTooLong, providers.KindUnknown, providers.KindEndpoint:
		return false
	case providers.KindRateLimit, providers.KindQuota:
		return x.table.Pool.FailoverOnLimit
	}
	return true
}

// maxAdaptations is how often a request is made in another way at one account.
const maxAdaptations = 3

// attempt tries one account. A credential or host that the upstream refuses is renewed once, and a request that the
// provider knows to mend is mended a few times; then it is replayed.
func (x *exchange) attempt(ctx context.Context, a *providers.Account) error {
	start := x.table.Now()
	x.trying = 1
	defer func() { x.trying = 0 }()
	token, err := x.once(ctx, a)
	if e := providers.AsError(err); err != nil && !x.committed && (e.Kind == providers.KindAuth || e.Kind == providers.KindMisdirected) && !token.IsZero() {
		a.Expire(token)
		_, err = x.once(ctx, a)
	}
	for err != nil && !x.committed && x.mend(a, providers.AsError(err)) {
		_, err = x.once(ctx, a)
	}
	for n := 0; n < maxAdaptations && err != nil && !x.committed && x.adapt(providers.AsError(err)); n++ {
		x.mended = nil
		_, err = x.once(ctx, a)
	}
	at := record.Attempt{Account: a.ID(), Model: x.call.Model.ID, Took: x.table.Now().Sub(start)}
	if err != nil {
		e := providers.AsError(err)
		at.Status, at.Error = e.Failure.Status, e.Kind.String()
		if e.Kind != providers.KindCanceled {
			x.table.Logger.DebugContext(ctx, "attempt failed", "id", x.rec.ID, "account", a.ID(), "err", err)
		}
	}
	x.rec.Attempts = append(x.rec.Attempts, at)
	return err
}

// body is what goes to account a.
func (x *exchange) body(a *providers.Account) ([]byte, error) {
	switch {
	case x.mended != nil:
		return x.mended, nil
	case x.asksUsage(a):
		return withUsage(x.call.Body)
	case x.translation == nil, x.translation.asWritten:
		return x.unseal(a)
	}
	body, lost, err := x.translation.encode(x.table.carriers[a.ID()])
	if len(lost) > 0 {
		x.table.Logger.Debug("translation cannot say everything", "id", x.rec.ID, "model", x.call.Model.ID, "endpoint", x.call.Endpoint, "lost", lost)
	}
	return body, err
}

// once sends the request to one account and relays the answer. It returns the credential that was used.
func (x *exchange) once(ctx context.Context, a *providers.Account) (secret.String, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the upstream request however we leave
	x.answered = false
	p := x.table.Providers[a.Provider()]
	call, err := x.outgoing(a)
	if err != nil {
		return secret.String{}, err
	}
	call.Header = x.headerFor(a)
	x.heeded = call.Lessons
	req, err := p.NewRequest(ctx, a, &call)
	if err != nil {
		return secret.String{}, err
	}
	token := secret.New(strings.TrimPrefix(req.Header.Get("Authorization"), "Bearer "))
	resp, err := x.table.Upstream.RoundTrip(req)
	if err != nil {
		return token, transportError(x.req.Context(), err)
	}
	defer resp.Body.Close()
	if err := p.Check(resp); err != nil {
		return token, err
	}
	x.answered = true
	x.helped(a)
	x.rec.Provider, x.rec.Account, x.rec.Model = a.Provider(), a.ID(), x.call.Model.ID
	x.meter(p, a, resp.Header)
	defer x.charge(p, a)
	return token, x.relayAnswer(a, resp)
}

// transportError tells a client that left from an upstream that broke.
func transportError(client context.Context, err error) error {
	if client.Err() != nil {
		return &providers.Error{Kind: providers.KindCanceled, Err: client.Err()}
	}
	return providers.AsError(err)
}

// load reads the request and looks into it. It may be called twice.
func (x *exchange) load() *dialect.Failure {
	if x.loaded {
		return nil
	}
	x.rec.Endpoint, x.rec.Dialect = string(x.op.endpoint), string(x.op.voice.Name())
	body, f := x.readBody()
	if f != nil {
		return f
	}
	x.said = body
	peek, err := x.op.voice.Peek(body)
	if x.op.endpoint == dialect.EndpointEmbeddings {
		peek, err = peekEmbeddings(body)
	}
	if err != nil {
		if f, ok := errors.AsType[*dialect.Failure](err); ok {
			return f
		}
		return &dialect.Failure{Status: http.StatusBadRequest, Message: err.Error()}
	}
	if isSubagent(x.req.Header) {
		peek.Initiator, peek.Purpose = llm.InitiatorAgent, cmp.Or(peek.Purpose, llm.PurposeSubagent)
	}
	x.rec.RequestedModel, x.rec.Stream, x.rec.Initiator = clip(peek.Model), peek.Stream, peek.Initiator
	x.loaded, x.peek, x.name = true, peek, peek.Model
	x.call = providers.Call{
		Endpoint: x.op.endpoint, Body: body, Header: x.req.Header, Stream: peek.Stream,
		Initiator: peek.Initiator, Purpose: peek.Purpose, Vision: peek.Vision, Model: providers.Model{ID: peek.Model},
	}
	return nil
}

// prepare reads the request, finds its model and its conversation. It changes the body only to put the upstream's
// model name in place.
func (x *exchange) prepare(mode Mode, hostProvider string) *dialect.Failure {
	if f := x.load(); f != nil {
		return f
	}
	if f := x.refer(mode); f != nil {
		return f
	}
	x.wish.Conversation, x.call.Interaction = conversation(x.req.Header, x.peek)
	if mode == ModeSwitch && hostProvider == "" {
		return &dialect.Failure{Status: http.StatusBadRequest, Message: fmt.Sprintf("detour: route mode switch keeps to the provider whose host was called, and %s is nobody's that detour knows.", x.rec.Host)}
	}
	if mode == ModeSwitch {
		x.call.Verbatim = true
		x.wish.Provider, x.wish.Model = hostProvider, x.name
		if f := x.narrow(); f != nil {
			return f
		}
		return x.afford()
	}
	if f := x.reword(); f != nil {
		return f
	}
	x.asked = x.call
	if f := x.resolve(mode, x.name); f != nil {
		return f
	}
	if f := x.narrow(); f != nil {
		return f
	}
	if f := x.afford(); f != nil {
		return f
	}
	x.owned()
	return nil
}

// resolve puts the upstream's model name in place and narrows the wish to the accounts that have the model.
func (x *exchange) resolve(mode Mode, name string) *dialect.Failure {
	cat := x.table.models.get(x.req.Context())
	res, unknown := x.table.Models.resolve(name, mode, cat, x.table.allowed(&x.route, &x.client))
	if unknown != nil {
		if full := x.table.models.whole(x.req.Context()); full != cat {
			cat = full
			res, unknown = x.table.Models.resolve(name, mode, cat, x.table.allowed(&x.route, &x.client))
		}
	}
	if unknown != nil {
		if x.limited() { // whoever may not use a model is not told of it
			unknown.near = cat.near(cmp.Or(unknown.wanted, unknown.name), x.maySee)
			if unknown.exact {
				unknown.near = nil
			}
		}
		f := unknown.failure()
		return &f
	}
	x.wish.Provider, x.wish.Model = res.provider, res.name
	x.call.Model = providers.Model{ID: res.name}
	x.filter()
	if e := res.entry; e != nil {
		x.call.Model, x.entry = e.model, e
		x.wish.Provider, x.wish.Accounts, x.wish.Premium = e.provider, e.accounts, e.model.Multiplier > 0
		if len(e.accounts) == 0 {
			return &dialect.Failure{Status: http.StatusBadRequest, Code: "model_not_supported", Param: "model",
				Message: switchedOff(res.name)}
		}
		if f := x.speak(e); f != nil {
			return f
		}
		x.renameReserved(e)
	} else {
		if x.compacting {
			x.compactNatively() // whoever it is that the upstream knows by that name
		}
		x.renameReserved(&entry{model: x.call.Model, provider: res.provider})
	}
	if res.name != x.name { // what the body says
		body, err := sjson.SetBytes(x.call.Body, "model", res.name)
		if err != nil {
			return &dialect.Failure{Status: http.StatusBadRequest, Param: "model", Message: "The request body cannot be read: " + err.Error()}
		}
		x.call.Body = body
	}
	return nil
}

// switchedOff says why nobody serves a model that is there.
func switchedOff(model string) string {
	return fmt.Sprintf("The model `%s` is listed, but switched off by the plan or policy of every account that lists it.", model)
}

// native refuses a model that does not speak the client's dialect.
func (x *exchange) native(e *entry) *dialect.Failure {
	want := x.op.endpoint
	if want == dialect.EndpointCountTokens {
		want = dialect.EndpointMessages
	}
	if slices.Contains(x.spoken(e), want) {
		return nil
	}
	return &dialect.Failure{Status: http.StatusBadRequest, Code: "unsupported_api_for_model", Param: "model",
		Message: fmt.Sprintf("The model `%s` does not speak %s; it speaks %v. Choose another model, or call it in its own dialect.", e.model.ID, want, e.native)}
}

// commit sends the status line. From here on nothing is retried.
func (x *exchange) commit(status int) {
	if x.committed {
		return
	}
	x.committed = true
	x.rec.Status = status
	x.rec.FirstByte = x.table.Now().Sub(x.rec.Start)
	x.w.WriteHeader(status)
}

// done closes the record.
func (x *exchange) done() {
	if x.upgraded {
		return
	}
	x.rec.Total = x.table.Now().Sub(x.rec.Start)
	if x.rec.Status == 0 && x.rec.Error == providers.KindCanceled.String() {
		x.rec.Status = 499 // the client left; nothing was sent
	}
	if x.table.OnExchange != nil {
		x.table.OnExchange(&x.rec) // before the client can ask again: what this cost counts for that
	}
	if x.req.ProtoMajor == 1 && x.rec.Error == "" && x.rec.Status >= 200 {
		_ = http.NewResponseController(x.w).Flush() // the client need not wait for the log
	}
	record.Log(x.req.Context(), x.table.Logger, &x.rec)
}
