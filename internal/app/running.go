package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"detour/internal/config"
	"detour/internal/privfile"
)

// Running is what a detour that runs tells other commands of this installation: flags may have put its doors where the
// configuration does not say. It holds no secret.
type Running struct {
	PID   int    `json:"pid"`
	API   string `json:"api,omitempty"`   // address of the API door
	Proxy string `json:"proxy,omitempty"` // address of the proxy door
	// ProxyAuth says that the proxy asks for a password, ProxyTLS that it is served over TLS.
	ProxyAuth bool `json:"proxy_auth,omitempty"`
	ProxyTLS  bool `json:"proxy_tls,omitempty"`
}

func runningPath(p config.Paths) string { return filepath.Join(p.State, "running.json") }

// lockPath is the file whose lock a running detour holds. A process id alone could be another program's by now, and
// whoever believes in it would hand that program the proxy's password.
func lockPath(p config.Paths) string { return filepath.Join(p.State, "running.lock") }

// errHeld says that the lock has an owner.
var errHeld = errors.New("another detour of this installation is running")

// FindRunning returns what the detour that runs now has written, if one runs.
func FindRunning(p config.Paths) (Running, bool) {
	if !held(lockPath(p)) {
		return Running{}, false
	}
	data, _, err := privfile.Read(runningPath(p))
	var r Running
	if err != nil || json.Unmarshal(data, &r) != nil {
		return Running{}, false
	}
	return r, true
}

// announce writes where the doors are, for as long as a is not stopped. With two detours of one installation the
// earlier one is found.
func (a *App) announce() error {
	if err := os.MkdirAll(a.opts.Paths.State, 0o700); err != nil {
		return fmt.Errorf("say where the doors are: %w", err)
	}
	release, err := hold(lockPath(a.opts.Paths))
	if err != nil {
		return fmt.Errorf("say where the doors are: %w", err)
	}
	a.cleanups.add("announcement", func(context.Context) error {
		defer release()
		if err := os.Remove(runningPath(a.opts.Paths)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	})
	me := Running{PID: os.Getpid(), API: a.APIAddr(), Proxy: a.ProxyAddr()}
	if a.proxy != nil {
		me.ProxyAuth, me.ProxyTLS = a.proxyAuth(), a.opts.Config.ProxyMode.TLSCert != ""
	}
	data, err := json.Marshal(me)
	if err != nil {
		return err
	}
	path := runningPath(a.opts.Paths)
	if err := privfile.Write(path, data); err != nil {
		return fmt.Errorf("say where the doors are: %w", err)
	}
	return nil
}
