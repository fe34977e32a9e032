package router

import (
	"encoding/base64"
	"slices"
	"strings"

	"detour/internal/dialect"
	"detour/internal/dialect/carrier"
	"detour/internal/dialect/compaction"
	"detour/internal/dialect/responses"
	"detour/internal/llm"
	"detour/providers"
)

// Clients of Responses replace a conversation that has grown too long by a compaction of it. They ask for one with an
// item in a request for an answer, or at an endpoint of its own, which no upstream is known to serve for all its models;
// so both become the former. A model that speaks Responses makes the compaction itself, and only it can read that again.
// Of any other model a summary is asked for, which detour seals, and which every model can read.

// summarySealer makes and reads the compactions that hold a summary. They are nobody's in particular: any account may
// serve what follows.
func summarySealer(key []byte) *carrier.Codec { return derived(key, "summary") }

// sealSummary packs a summary into what clients store.
func (t *table) sealSummary(summary string) string {
	return t.summaries.SealAs(carrier.Summary, "", base64.RawURLEncoding.EncodeToString([]byte(summary)))
}

// openSummary words a compaction of ours for a model. ours is false for what is no summary at all; ok is false for one
// that another detour sealed, or nobody.
func (t *table) openSummary(sealed string) (text string, ours, ok bool) {
	if !strings.HasPrefix(sealed, carrier.Prefix+carrier.Summary+".") {
		return "", false, false
	}
	kind, _, blob, ok := t.summaries.OpenAs(sealed)
	if !ok || kind != carrier.Summary {
		return "", true, false
	}
	summary, err := base64.RawURLEncoding.DecodeString(blob)
	return compaction.Text(string(summary)), true, err == nil
}

// reword puts what a client says of compactions into words that models understand.
func (x *exchange) reword() *dialect.Failure {
	if x.op.voice.Name() != dialect.Responses {
		return nil
	}
	x.compacting = x.peek.Compact
	if x.op.endpoint == dialect.EndpointCompact {
		x.compacting = true
		x.call.Body = responses.WithTrigger(x.call.Body)
		x.call.Stream, x.call.Initiator = false, llm.InitiatorAgent // as of any request that ends with the trigger
		x.rec.Stream, x.rec.Initiator = x.call.Stream, x.call.Initiator
	}
	x.probing = x.op.endpoint == dialect.EndpointResponses && responses.IsProbe(x.call.Body)
	body, err := responses.Restore(x.call.Body, x.table.openSummary)
	if err != nil {
		return new(asFailure(err))
	}
	x.call.Body = body
	return nil
}

// speakCompaction decides how the conversation is compacted.
func (x *exchange) speakCompaction(e *entry) *dialect.Failure {
	if slices.Contains(e.native, dialect.EndpointResponses) && !x.table.PortableCompaction {
		if x.compactNatively(); x.wraps(e) {
			x.wrap(e)
		}
		return nil
	}
	return x.summarise(e)
}

// compactNatively asks the model for a compaction. The request goes up as the client wrote it, so that what the
// upstream has cached of the conversation counts; the answer is written anew, because it must hold exactly one
// compaction and some models make two.
func (x *exchange) compactNatively() {
	x.call.Endpoint = dialect.EndpointResponses
	x.translation = &translation{
		client: x.op.client, upstream: responses.Codec{}, asWritten: true,
		request: &llm.Request{Model: x.call.Model.ID, Stream: x.call.Stream, Compact: true, Source: string(dialect.Responses), Raw: x.said},
		compact: func() compaction.Step { return &compaction.Native{} },
	}
}

// summarise asks the model for a summary in the place of a compaction.
func (x *exchange) summarise(e *entry) *dialect.Failure {
	if x.table.summaries == nil {
		return &dialect.Failure{Status: 503, Code: "no_key", Message: "detour: there is no key that could seal a summary of the conversation; see the log of its start."}
	}
	for _, endpoint := range preference(dialect.EndpointResponses) {
		if !slices.Contains(e.native, endpoint) {
			continue
		}
		if f := x.translate(endpoint, e, x.call.Body); f != nil {
			return f
		}
		t := x.translation
		t.request.Raw = x.said
		t.room = promptRoom(e.model)
		t.compact = func() compaction.Step { return &compaction.Summary{Seal: x.table.sealSummary} }
		if !x.askForSummary() {
			return dialect.InvalidRequest("input", "there is no conversation to compact")
		}
		return nil
	}
	return x.native(e)
}

// promptRoom is how many tokens of prompt a model takes, or 0 when that is not known.
func promptRoom(m providers.Model) int {
	if m.MaxPrompt > 0 {
		return m.MaxPrompt
	}
	return max(0, m.ContextWindow-compaction.MaxSummary)
}

// askForSummary writes the request for a summary. It is false when there is nothing to summarise.
func (x *exchange) askForSummary() bool {
	t := x.translation
	t.ask = compaction.Request(t.request, t.room, x.count)
	return t.ask != nil
}

func (x *exchange) count(r *llm.Request) int { return x.table.count.Count(r, x.call.Model.ID) }

// adapt changes how the request is made after an upstream refused it, so that it can be made once more. It is false
// when nothing can be done.
func (x *exchange) adapt(e *providers.Error) bool {
	entry, ok := x.table.models.get(x.req.Context()).find(x.call.Model.ID, scope{provider: x.wish.Provider, accounts: x.wish.Accounts})
	t := x.translation
	switch {
	case !ok || x.call.Verbatim:
	case e.Kind == providers.KindTooLong && t != nil && t.ask != nil:
		before := x.count(t.ask)
		if t.room == 0 || t.room > before {
			t.room = before
		}
		t.room -= t.room / 4
		return x.askForSummary() && x.count(t.ask) < before
	case e.Kind != providers.KindInvalid || !x.asWritten():
	case x.compacting && strings.Contains(e.Failure.Message, "compaction_trigger"):
		return x.summarise(entry) == nil // the model speaks Responses and cannot compact
	case x.wraps(entry): // which the provider has learned from the refusal
		return x.wrap(entry)
	}
	return false
}
