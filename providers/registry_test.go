package providers_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"detour/internal/dialect"
	"detour/providers"
)

type named string

func (n named) Name() string                                           { return string(n) }
func (named) Open(providers.AccountConfig) (*providers.Account, error) { return nil, nil }
func (named) Dialects(providers.Model) []dialect.Endpoint              { return nil }
func (named) Check(*http.Response) error                               { return nil }
func (named) NewRequest(context.Context, *providers.Account, *providers.Call) (*http.Request, error) {
	return nil, nil
}

func TestRegistryLookup(t *testing.T) {
	t.Parallel()
	r := providers.NewRegistry(named("github-copilot"), named("openai"), named("zai"))
	for name, want := range map[string]string{
		"github-copilot":           "",
		"github_copilot":           `unknown provider "github_copilot": did you mean "github-copilot"?`,
		"GitHub-Copilot":           `unknown provider "GitHub-Copilot": did you mean "github-copilot"?`,
		"github-copliot":           `unknown provider "github-copliot": did you mean "github-copilot"?`,
		"opnai":                    `unknown provider "opnai": did you mean "openai"?`,
		"mistral":                  `unknown provider "mistral": known are github-copilot, openai, zai`,
		"":                         `unknown provider "": known are github-copilot, openai, zai`,
		strings.Repeat("x", 1<<20): "", // must end soon; the text is not looked at
	} {
		p, err := r.Lookup(name)
		switch {
		case len(name) > 100:
			if err == nil {
				t.Error("a megabyte of x was found")
			}
		case want == "" && (err != nil || p.Name() != name):
			t.Errorf("Lookup(%q) = %v, %v", name, p, err)
		case want != "" && (err == nil || err.Error() != want):
			t.Errorf("Lookup(%q): %v, want %s", name, err, want)
		}
	}
}

func TestRegistryRefusesTwoOfOneName(t *testing.T) {
	t.Parallel()
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	providers.NewRegistry(named("a"), named("a"))
}
