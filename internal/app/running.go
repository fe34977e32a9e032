package app

import (
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

// FindRunning returns what the detour that runs now has written, if one runs.
func FindRunning(p config.Paths) (Running, bool) {
	data, _, err := privfile.Read(runningPath(p))
	if err != nil {
		return Running{}, false
	}
	var r Running
	if json.Unmarshal(data, &r) != nil || r.PID <= 0 || !alive(r.PID) {
		return Running{}, false
	}
	return r, true
}

// announce writes where the doors are. With two detours of one installation the later one is found.
func (a *App) announce() error {
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

// retract removes what announce wrote, unless another detour has written since.
func (a *App) retract() error {
	if r, ok := FindRunning(a.opts.Paths); !ok || r.PID != os.Getpid() {
		return nil
	}
	if err := os.Remove(runningPath(a.opts.Paths)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
