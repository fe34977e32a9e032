package copilot

import (
	"slices"
	"strings"

	"github.com/tidwall/gjson"

	"detour/internal/dialect"
	"detour/providers"
)

// The betas that the upstream is known to accept: these, in whatever version the client names.
const (
	betaThinking          = "interleaved-thinking-"
	betaContextManagement = "context-management-"
	betaToolUse           = "advanced-tool-use-"
)

// The versions in which betas are asked for on a client's behalf.
const (
	ownThinking          = "interleaved-thinking-2025-05-14"
	ownContextManagement = "context-management-2025-06-27"
	betaLongContext      = "context-1m-2025-08-07"
)

// shortContext is the window in tokens that a model has without the long-context beta.
const shortContext = 200_000

// betas are the anthropic-beta values of a request: what the client asks for, less what the upstream does not know and
// would refuse the request for, and what the request cannot do without.
func (st *state) betas(c *providers.Call) []string {
	if c.Endpoint != dialect.EndpointMessages && c.Endpoint != dialect.EndpointCountTokens {
		return nil
	}
	var kept []string
	asked, long := false, wantsLongContext(c.Requested)
	for _, line := range c.Header.Values("Anthropic-Beta") {
		for beta := range strings.SplitSeq(line, ",") {
			beta = strings.TrimSpace(beta)
			asked = asked || beta != ""
			switch {
			case len(beta) > 64:
			case strings.HasPrefix(beta, betaThinking), strings.HasPrefix(beta, betaContextManagement), strings.HasPrefix(beta, betaToolUse):
				kept = append(kept, beta)
			case beta == betaLongContext:
				long = true
			}
		}
	}
	if long && st.allowsLongContext(c.Model) {
		kept = append(kept, betaLongContext)
	}
	has := func(prefix string) bool {
		return slices.ContainsFunc(kept, func(b string) bool { return strings.HasPrefix(b, prefix) })
	}
	if !c.Verbatim {
		if !has(betaContextManagement) && gjson.GetBytes(c.Body, "context_management").IsObject() {
			kept = append(kept, ownContextManagement)
		}
		if !asked && gjson.GetBytes(c.Body, "thinking.type").Str == "enabled" {
			kept = append(kept, ownThinking)
		}
	}
	return slices.DeleteFunc(kept, func(b string) bool { return slices.Contains(c.Lessons, lessonBeta+" "+b) })
}

// allowsLongContext reports whether a request for m may ask for the larger window. It costs extra, so that an owner
// can rule it out; and where the catalogue names no larger window there is nothing to ask for.
func (st *state) allowsLongContext(m providers.Model) bool {
	switch st.longContext {
	case longAlways:
		return true
	case longNever:
		return false
	}
	return m.ContextWindow > shortContext
}
