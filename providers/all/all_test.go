package all_test

import (
	"strings"
	"testing"

	"detour/providers"
	"detour/providers/all"
	"detour/providers/copilot"
)

func TestEveryProviderIsFoundUnderItsName(t *testing.T) {
	t.Parallel()
	r := all.Registry(copilot.New(copilot.Options{}))
	for _, name := range []string{copilot.Name} {
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
	for name, p := range all.Registry(copilot.New(copilot.Options{})) {
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
		if _, err := p.Open(providers.AccountConfig{ID: "a", Settings: defaults}); err != nil {
			t.Errorf("%s: its own defaults are refused: %v", name, err)
		}
	}
}
