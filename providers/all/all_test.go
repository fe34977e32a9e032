package all_test

import (
	"strings"
	"testing"

	"detour/providers"
	"detour/providers/all"
	"detour/providers/copilot"
	"detour/providers/keyed"
)

func TestEveryProviderIsFoundUnderItsName(t *testing.T) {
	t.Parallel()
	r := all.Registry(copilot.New(copilot.Options{}), keyed.Options{})
	for _, name := range []string{
		"github-copilot", "openai", "anthropic", "zai", "zai-coding-plan", "zhipuai", "zhipuai-coding-plan", "deepseek", "openrouter", "gemini",
		"openai-compatible",
	} {
		p, err := r.Lookup(name)
		if err != nil || p.Name() != name {
			t.Errorf("Lookup(%q) = %v, %v", name, p, err)
		}
	}
	for name, p := range r {
		if name != p.Name() {
			t.Errorf("%q is registered as %q", p.Name(), name)
		}
	}
}

func TestSettingsAreDocumentedAndAccepted(t *testing.T) {
	t.Parallel()
	for name, p := range all.Registry(copilot.New(copilot.Options{}), keyed.Options{}) {
		c, ok := p.(providers.Configurable)
		if !ok {
			continue
		}
		defaults := make(map[string]string)
		for _, s := range c.Settings() {
			if s.Doc == "" || !strings.HasSuffix(s.Doc, ".") {
				t.Errorf("%s: setting %s has no sentence that documents it", name, s.Name)
			}
			defaults[s.Name] = s.Default
		}
		if _, err := p.Open(providers.AccountConfig{ID: "a", BaseURL: "https://x.example", Settings: defaults}); err != nil {
			t.Errorf("%s: its own defaults are refused: %v", name, err)
		}
	}
}
