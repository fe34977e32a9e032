package router

import (
	"context"
	"errors"
	"slices"

	"detour/internal/dialect"
	"detour/providers"
)

// Fallback names the models that stand in for one. A chain is not followed into the chains of the models in it.
type Fallback struct {
	Model string   // as the client names it, or as it goes upstream; * stands for any text
	Then  []string // in order
	On    []string // "quota", "overload", "error"
}

// standIns lists the models to go on with when the one that a client calls name, and upstreams call id, cannot serve.
func (t *table) standIns(name, id string) *Fallback {
	for i := range t.Fallbacks {
		if f := &t.Fallbacks[i]; glob(f.Model, name) || glob(f.Model, id) {
			return f
		}
	}
	return nil
}

// serves tells whether the fallback is for failures of this kind.
func (f *Fallback) serves(k providers.Kind) bool {
	switch k {
	case providers.KindQuota, providers.KindRateLimit:
		return slices.Contains(f.On, "quota")
	case providers.KindOverloaded:
		return slices.Contains(f.On, "overload")
	case providers.KindServer, providers.KindNetwork, providers.KindStalled, providers.KindIncomplete:
		return slices.Contains(f.On, "error")
	}
	return false
}

// kindOf is the kind of a failure of serve.
func kindOf(err error) providers.Kind {
	if e, ok := errors.AsType[*NoAccountError](err); ok {
		return e.Kind
	}
	return providers.AsError(err).Kind
}

// fallBack goes on with the models that stand in for the one that failed with err. It returns nil when one answered,
// and otherwise the failure that the client is to be told, which is that of the model it asked for.
func (x *exchange) fallBack(ctx context.Context, mode Mode, err error) error {
	f := x.table.standIns(x.name, x.call.Model.ID)
	if f == nil {
		return err
	}
	last, own := err, x.wish.Model
	for _, name := range f.Then {
		if x.committed || ctx.Err() != nil || !f.serves(kindOf(last)) {
			break
		}
		if x.turnTo(mode, name) != nil {
			continue // nobody has it, or nobody may use it
		}
		x.table.Logger.InfoContext(ctx, "model stands in", "id", x.rec.ID, "asked", clip(x.name), "model", x.call.Model.ID, "because", kindOf(last).String())
		if last = x.serve(ctx); last == nil {
			return nil
		}
	}
	x.wish.Model = own // whose failure it is
	return err
}

// turnTo prepares the exchange for another model, as if the client had asked for it.
func (x *exchange) turnTo(mode Mode, name string) *dialect.Failure {
	x.call = x.asked
	x.wish = Wish{Conversation: x.wish.Conversation}
	x.translation, x.mended, x.sealed, x.answered, x.estimate, x.contentType = nil, nil, false, false, false, ""
	x.mends, x.learned, x.refused, x.entry = 0, nil, nil, nil
	if mode == ModeExact {
		mode = ModeRoute // the owner names models, not the client
	}
	if f := x.resolve(mode, name); f != nil {
		return f
	}
	if f := x.narrowTo(name); f != nil {
		return f
	}
	if f := x.afford(); f != nil {
		return f
	}
	x.owned()
	return nil
}
