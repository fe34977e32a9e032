package router

import (
	"bytes"
	"cmp"
	"errors"
	"net/http"

	"detour/internal/dialect"
	"detour/internal/dialect/carrier"
	"detour/internal/dialect/responses"
	"detour/internal/llm"
	"detour/providers"
)

// wraps tells whether a request in Responses has tools that are called with free text, or calls of them, for a model
// that speaks Responses and refuses those. They go up as functions then, which takes a translation.
func (x *exchange) wraps(e *entry) bool {
	if _, known := x.table.Providers[e.provider].(providers.Targeter); !known || x.table.target(e).CustomTools {
		return false
	}
	return bytes.Contains(x.call.Body, []byte(`"custom"`)) || bytes.Contains(x.call.Body, []byte(`"custom_tool_call"`))
}

// wrap lets the tools that are called with free text go up as functions.
func (x *exchange) wrap(e *entry) bool {
	compact := x.translation
	if x.translate(dialect.EndpointResponses, e, x.call.Body) != nil {
		return false
	}
	if compact != nil {
		x.translation.compact, x.translation.request.Raw = compact.compact, x.said
	}
	return true
}

// renameReserved gives Codex's own namespace another name where the upstream is not the one that it is meant for.
func (x *exchange) renameReserved(e *entry) {
	x.reserved = ""
	if !x.asWritten() {
		return
	}
	if !x.table.target(e).Collaboration {
		x.call.Body, x.reserved = responses.RenameReserved(x.call.Body)
	}
}

// turnStateHeader holds a token that an upstream hands out at the first request of a turn, and that Codex sends along
// with the others of the turn.
const turnStateHeader = "X-Codex-Turn-State"

// sealTurnState makes the token of an answer one that leads back to the account which it came from.
func (x *exchange) sealTurnState(h http.Header) {
	if v := h.Get(turnStateHeader); v != "" {
		h.Set(turnStateHeader, x.table.carriers[x.rec.Account].SealAs(carrier.TurnState, "", v))
	}
}

// turnOwner names the account that a turn has begun with, "" when the request does not say.
func (x *exchange) turnOwner() string {
	if v := x.req.Header.Get(turnStateHeader); v != "" {
		return x.table.carriers.owner(v)
	}
	return ""
}

// headerFor is what account a's provider gets to see of the client's headers: a token that another account was given,
// or nobody here, is not for its upstream.
func (x *exchange) headerFor(a *providers.Account) http.Header {
	v := x.call.Header.Get(turnStateHeader)
	if v == "" {
		return x.call.Header
	}
	h := x.call.Header.Clone()
	h.Del(turnStateHeader)
	if kind, _, token, ok := x.table.carriers[a.ID()].OpenAs(v); ok && kind == carrier.TurnState {
		h.Set(turnStateHeader, token)
	}
	return h
}

// answerProbe answers a request for nothing, which clients send to see whether a model is there: nobody's tokens are
// spent on it, and upstreams refuse it.
func (x *exchange) answerProbe() {
	a, err := x.table.pool.Pick(x.wish)
	if err != nil {
		none, _ := errors.AsType[*NoAccountError](err)
		x.failNoAccount(cmp.Or(none, &NoAccountError{}))
		return
	}
	x.table.pool.Release(a, x.wish, &providers.Error{Kind: providers.KindInvalid}) // which says nothing of the account
	x.rec.Provider, x.rec.Account, x.rec.Model = a.Provider(), a.ID(), x.call.Model.ID
	answer := &llm.Answer{Model: x.call.Model.ID, Usage: llm.Usage{Reported: true}, Stop: llm.StopEnd}
	o := dialect.AnswerOptions{
		Request: &llm.Request{Source: string(dialect.Responses), Raw: x.said}, Model: x.rec.RequestedModel,
		ID: "detour-" + x.rec.ID, Created: x.rec.Start.Unix(),
	}
	none := &http.Response{StatusCode: http.StatusOK, Header: http.Header{}}
	if x.peek.Stream {
		_ = x.replay(answer, x.op.client.NewEncoder(o), none) // a client that left has nothing to be told
		return
	}
	x.stamp(x.w.Header())
	x.respondJSON(http.StatusOK, x.op.client.EncodeAnswer(nil, answer, o))
}
