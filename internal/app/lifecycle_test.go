package app_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"detour/internal/app"
)

// A folder that cannot be written to is no second detour.
func TestWhyOthersWillNotFindThisDetour(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil, func(o *app.Options) {
		if err := os.MkdirAll(filepath.Join(o.Paths.State, "running.lock"), 0o700); err != nil {
			t.Fatal(err)
		}
	}, "alice")
	if got := w.logs.String(); !strings.Contains(got, "will not find this detour") || strings.Contains(got, "another detour") {
		t.Error(got)
	}
}
