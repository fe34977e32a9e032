package router

import "fmt"

// Mode is a route mode: what happens to a recognised request.
type Mode string

// The route modes.
const (
	ModeRoute       Mode = "route"       // resolve the model over all accounts
	ModeExact       Mode = "exact"       // the model must be written provider/model; no aliasing
	ModeFuzzy       Mode = "fuzzy"       // as route, and a name that nobody has becomes the best of its family
	ModeSwitch      Mode = "switch"      // body verbatim to the same provider; only the credential is replaced
	ModePassthrough Mode = "passthrough" // original host, client's own credentials, only observed
)

// Modes lists all route modes.
func Modes() []Mode { return []Mode{ModeRoute, ModeExact, ModeFuzzy, ModeSwitch, ModePassthrough} }

// ParseMode returns the mode named s.
func ParseMode(s string) (Mode, error) {
	for _, m := range Modes() {
		if string(m) == s {
			return m, nil
		}
	}
	return "", fmt.Errorf("unknown route mode %q: want one of %v", s, Modes())
}
