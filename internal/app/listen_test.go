package app_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"detour/internal/app"
	"detour/internal/config"
)

func TestListenTakesTheAddressThatWasAskedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil, func(o *app.Options) {
		o.AllowRemote = true
		o.Config.Server.Host, o.Config.ProxyMode.Host = "0.0.0.0", "127.0.0.1"
	})
	if !strings.HasPrefix(w.app.APIAddr(), "0.0.0.0:") || !strings.HasPrefix(w.app.ProxyAddr(), "127.0.0.1:") {
		t.Errorf("API at %s, proxy at %s", w.app.APIAddr(), w.app.ProxyAddr())
	}
}

func TestACertificateThatCannotBeReadIsAMistakeOfTheConfiguration(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	env := func(k string) string { return map[string]string{"DETOUR_HOME": home}[k] }
	paths, err := config.FindPaths(env)
	if err != nil {
		t.Fatal(err)
	}
	cfg := config.Default(home)
	cfg.Server.Port, cfg.Server.TLSCert, cfg.Server.TLSKey = 0, home+"/none.pem", home+"/none.key"
	_, err = app.New(context.Background(), app.Options{Config: cfg, Paths: paths, Env: env, Logger: slog.New(slog.DiscardHandler), API: true})
	if wrong, ok := errors.AsType[*app.ConfigError](err); !ok || !strings.Contains(err.Error(), "none.pem") || wrong.Hint == "" {
		t.Errorf("got %v", err)
	}
}
