package router

import (
	"bytes"
	"slices"

	"github.com/tidwall/gjson"

	"detour/internal/dialect"
	"detour/providers"
)

// maxMends bounds how often one exchange is mended: clients that are ahead of an upstream may offend it several times
// in one request, and it names one offence at a time.
const maxMends = 4

// mend changes the request so that the upstream may take it after it refused it with e. A refusal that the provider
// knows to be about every such request is remembered once the change has helped. Each call that returns true changed
// something, so that no request is sent in vain.
func (x *exchange) mend(a *providers.Account, e *providers.Error) bool {
	if x.call.Verbatim || x.mends == maxMends {
		return false
	}
	if e.Kind == providers.KindEndpoint && x.address(e) || x.learn(a, e) || x.cut(a, e) {
		x.mends++
		return true
	}
	return false
}

// learn takes to heart what e says of every request like this one.
func (x *exchange) learn(a *providers.Account, e *providers.Error) bool {
	l, can := x.table.Providers[a.Provider()].(providers.Learner)
	if !can {
		return false
	}
	call, err := x.outgoing(a)
	if err != nil {
		return false
	}
	call.Lessons = x.heeded // another exchange may have learned the same meanwhile
	learned := l.Learn(&call, e)
	if len(learned) == 0 {
		return false
	}
	x.learned = append(x.learned, learned...)
	x.table.Logger.Info("upstream refuses part of a request; it is left out", "id", x.rec.ID, "model", call.Model.ID, "endpoint", call.Endpoint, "lessons", learned)
	return true
}

// cut takes out of this request what the upstream complains of.
func (x *exchange) cut(a *providers.Account, e *providers.Error) bool {
	m, can := x.table.Providers[a.Provider()].(providers.Mender)
	if !can {
		return false
	}
	call, err := x.outgoing(a)
	if err != nil {
		return false
	}
	body, ok := m.Mend(&call, e)
	if !ok || bytes.Equal(body, call.Body) {
		return false
	}
	if x.sealed || x.translation != nil { // what is open now is for this account's eyes only
		x.wish.Accounts = []string{a.ID()}
	}
	x.mended = body
	return true
}

// outgoing is the call of one attempt at a.
func (x *exchange) outgoing(a *providers.Account) (providers.Call, error) {
	call := x.call
	call.Requested = x.name
	if !call.Verbatim {
		call.Lessons = x.table.lessons.of(a.Provider(), call.Model, call.Endpoint)
		if len(x.learned) > 0 {
			call.Lessons = slices.Concat(call.Lessons, x.learned)
		}
	}
	var err error
	call.Body, err = x.body(a)
	return call, err
}

// helped remembers what made the upstream take the request.
func (x *exchange) helped(a *providers.Account) {
	if len(x.learned) > 0 {
		x.table.lessons.learn(a.Provider(), x.call.Model, x.call.Endpoint, x.learned)
	}
}

// address prepares to ask the model in another of its dialects, and remembers that it is not served in this one.
func (x *exchange) address(e *providers.Error) bool {
	if x.entry == nil || x.op.endpoint == dialect.EndpointCountTokens || x.op.endpoint == dialect.EndpointEmbeddings {
		return false
	}
	refused := x.call.Endpoint
	x.table.lessons.refuse(x.entry.provider, x.entry.model, refused, e.WithTools)
	before := *x
	x.refused = append(x.refused, refused)
	x.translation, x.mended, x.learned, x.contentType = nil, nil, nil, ""
	x.call.Endpoint, x.call.Stream = x.op.endpoint, x.peek.Stream
	if x.speak(x.entry) != nil || x.call.Endpoint == refused {
		*x = before
		return false
	}
	x.owned()
	x.table.Logger.Info("model is not served in this dialect; it is asked in another", "id", x.rec.ID, "model", x.call.Model.ID, "refused", refused, "endpoint", x.call.Endpoint)
	return true
}

// spoken lists the dialects in which e is asked: its own, less those that its upstream refused. If it is known to have
// refused all of them, it may as well be asked again.
func (x *exchange) spoken(e *entry) []dialect.Endpoint {
	tools := func() bool { return gjson.GetBytes(x.call.Body, "tools.#").Int() > 0 }
	refused := func(n dialect.Endpoint) bool {
		return slices.Contains(x.refused, n) || x.table.lessons.refuses(e.provider, e.model, n, tools)
	}
	if !slices.ContainsFunc(e.native, refused) {
		return e.native
	}
	left := slices.DeleteFunc(slices.Clone(e.native), refused)
	if len(x.refused) == 0 && !slices.ContainsFunc(left, func(n dialect.Endpoint) bool { return n != dialect.EndpointCountTokens }) {
		return e.native
	}
	return left
}
