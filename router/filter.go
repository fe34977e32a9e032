package router

import (
	"slices"

	"detour/internal/dialect"
)

// filter changes the texts around the conversation as the owner wants them for this model. It comes before everything
// that reads the body, so that it does not matter which dialect the model speaks.
func (x *exchange) filter() {
	t := x.table
	if t.filters == nil || x.op.endpoint == dialect.EndpointEmbeddings {
		return
	}
	if len(t.FilterModels) > 0 && !slices.ContainsFunc(t.FilterModels, func(p string) bool { return glob(p, x.name) || glob(p, x.call.Model.ID) }) {
		return
	}
	x.call.Body = t.filters.Apply(x.op.voice.Name(), x.call.Body)
}
