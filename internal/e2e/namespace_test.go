//go:build e2e

package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// installer names the socket of the process outside, for tests that run in a network namespace of their own. There is
// no way out of that but the doors of detour, so that a client which goes round them is seen; packages come from
// outside all the same.
const installer = "DETOUR_E2E_INSTALLER"

// inNamespace runs the tests again in a network namespace that has a loopback interface only. ok is false where the
// machine does not allow that; then they run with its network.
func inNamespace() (code int, ok bool) {
	if os.Getenv(installer) != "" {
		return 0, false // this is the run inside
	}
	if out, err := exec.Command("unshare", "-n", "--", "ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		fmt.Printf("e2e: clients run with this machine's network, because it allows no namespace: %v %s\n", err, bytes.TrimSpace(out))
		return 0, false
	}
	if out, err := exec.Command("go", "mod", "download").CombinedOutput(); err != nil { // for what is built inside
		fmt.Printf("e2e: download modules: %v %s\n", err, bytes.TrimSpace(out))
	}
	dir, err := os.MkdirTemp("", "detour-e2e-outside-")
	if err != nil {
		fmt.Println("e2e:", err)
		return 1, true
	}
	defer os.RemoveAll(dir)
	socket := filepath.Join(dir, "installer")
	l, err := net.Listen("unix", socket)
	if err != nil {
		fmt.Println("e2e:", err)
		return 1, true
	}
	defer l.Close()
	go func() { // ends with the listener
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serveInstall(c)
		}
	}()
	self, err := os.Executable()
	if err != nil {
		fmt.Println("e2e:", err)
		return 1, true
	}
	run := exec.Command("unshare", append([]string{"-n", "--", "sh", "-c", `ip link set lo up && exec "$0" "$@"`, self}, os.Args[1:]...)...)
	run.Env = append(os.Environ(), installer+"="+socket)
	run.Stdin, run.Stdout, run.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := run.Run(); err != nil {
		if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() > 0 {
			return exit.ExitCode(), true
		}
		fmt.Println("e2e:", err)
		return 1, true
	}
	return 0, true
}

// install is what is asked of the process outside, and what it answers.
type install struct {
	Dir      string
	Packages []string
	Output   string `json:",omitempty"`
	Failed   string `json:",omitempty"`
}

func serveInstall(c net.Conn) {
	defer c.Close()
	var i install
	if json.NewDecoder(c).Decode(&i) != nil {
		return
	}
	i.run(context.Background())
	_ = json.NewEncoder(c).Encode(i)
}

// reachable tells once whether a package registry answers. Without one every installation would wait for minutes.
var reachable = sync.OnceValue(func() error {
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "npm", "view", "openai", "version", "--fetch-retries=1", "--fetch-timeout=30000").CombinedOutput()
	if err != nil {
		return fmt.Errorf("no package registry answers: %w: %s", err, out)
	}
	return nil
})

// tooSlow is set once an installation took too long: the others need not try.
var tooSlow atomic.Bool

// run installs the packages with npm.
func (i *install) run(ctx context.Context) {
	if tooSlow.Load() {
		i.Failed = "another installation took too long"
		return
	}
	if err := reachable(); err != nil {
		i.Failed = err.Error()
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 4*time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, "npm", append([]string{"install", "--no-audit", "--no-fund", "--no-save", "--no-package-lock", "--prefix", i.Dir}, i.Packages...)...)
	c.Dir = i.Dir
	out, err := c.CombinedOutput()
	i.Output = string(out)
	if err != nil {
		i.Failed = err.Error()
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		tooSlow.Store(true)
	}
}

// installed asks the process outside for packages, or installs them itself where there is none.
func installed(t *testing.T, dir string, packages []string) error {
	t.Helper()
	i := install{Dir: dir, Packages: packages}
	if socket := os.Getenv(installer); socket == "" {
		i.run(t.Context())
	} else {
		c, err := net.Dial("unix", socket)
		if err != nil {
			return err
		}
		defer c.Close()
		if err := json.NewEncoder(c).Encode(i); err != nil {
			return err
		}
		if err := json.NewDecoder(c).Decode(&i); err != nil {
			return err
		}
	}
	if i.Failed != "" {
		return fmt.Errorf("%s\n%s", i.Failed, i.Output)
	}
	return nil
}
