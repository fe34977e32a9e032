package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// interceptedHost is the name that clients ask for; bulkHost, where tunnels go, is the upstream's own address.
const interceptedHost = "api.openai.com:443"

// rig is everything that runs while detour is measured.
type rig struct {
	o     options
	dir   string // temporary, removed by Close
	exe   string // this program
	certs certs
	log   io.Writer // progress and what was skipped

	upstream         *part
	simTLS, simPlain *part
	relay, hop       *part
	viaTLS, viaPlain *detour // in front of simTLS and simPlain
	peers            map[string]*part
	skipped          map[string]string // peer → reason
	running          []*process
}

// part is a running participant.
type part struct {
	*process
	hello
}

// Names of peers.
const (
	peerGoproxy    = "goproxy v1.9.2"
	peerGoproxyH2  = "goproxy v1.9.2 (h2)"
	peerMartian    = "martian v3.3.3"
	peerMartianTCP = "martian v3.3.3 (tunnel)"
	peerMitmproxy  = "mitmproxy"
	peerCopilotAPI = "copilot-api 0.7.0"
)

// newRig starts all participants. Peers that cannot be had are skipped, loudly; without the others there is nothing
// to measure.
func newRig(ctx context.Context, o options, log io.Writer) (r *rig, err error) {
	r = &rig{o: o, log: log, peers: map[string]*part{}, skipped: map[string]string{}}
	defer func() {
		if err != nil {
			r.Close()
		}
	}()
	if r.exe, err = os.Executable(); err != nil {
		return r, fmt.Errorf("find this program: %w", err)
	}
	for _, path := range []*string{&r.o.detour, &r.o.peers, &r.o.cache} {
		if *path, err = filepath.Abs(*path); err != nil {
			return r, err
		}
	}
	if r.dir, err = os.MkdirTemp("", "detour-bench-"); err != nil {
		return r, fmt.Errorf("make a folder: %w", err)
	}
	if r.certs, err = makeCerts(r.dir); err != nil {
		return r, err
	}
	if r.upstream, err = r.own(ctx, "upstream", "", "upstream", "-cert", r.certs.leaf, "-key", r.certs.leafKey); err != nil {
		return r, err
	}
	if r.relay, err = r.own(ctx, "relay", "", "relay"); err != nil {
		return r, err
	}
	if r.simTLS, err = r.own(ctx, "sim-tls", "https\n", "sim"); err != nil {
		return r, err
	}
	if r.simPlain, err = r.own(ctx, "sim-plain", "http\n", "sim"); err != nil {
		return r, err
	}
	if r.hop, err = r.own(ctx, "hop", "", "hop", r.simPlain.Copilot, r.simPlain.Token); err != nil {
		return r, err
	}
	if r.viaTLS, err = r.startDetour(ctx, "detour-tls", r.simTLS); err != nil {
		return r, err
	}
	if r.viaPlain, err = r.startDetour(ctx, "detour-plain", r.simPlain); err != nil {
		return r, err
	}
	r.startPeers(ctx)
	return r, nil
}

// own starts another part of this program.
func (r *rig) own(ctx context.Context, name, input string, args ...string) (*part, error) {
	p, err := r.spawn(ctx, name, true, r.env(), append([]string{r.exe}, args...)...)
	if err != nil {
		return nil, err
	}
	if _, err := io.WriteString(p.stdin, input); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return r.greet(p)
}

// greet reads a participant's hello.
func (r *rig) greet(p *process) (*part, error) {
	out := &part{process: p}
	if err := p.hello(&out.hello); err != nil {
		return nil, err
	}
	return out, nil
}

func (r *rig) spawn(ctx context.Context, name string, hello bool, env []string, argv ...string) (*process, error) {
	p, err := spawn(ctx, r.dir, name, hello, env, argv...)
	if err == nil {
		r.running = append(r.running, p)
	}
	return p, err
}

// env is the environment of all participants: a home of their own and no proxy settings.
func (r *rig) env(extra ...string) []string {
	return append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + r.dir, "TMPDIR=" + os.TempDir(), "LANG=C.UTF-8"}, extra...)
}

// Close ends everything that runs, the last one started first.
func (r *rig) Close() {
	for _, p := range slices.Backward(r.running) {
		_ = p.Close()
	}
	if r.dir != "" {
		_ = os.RemoveAll(r.dir)
	}
}

// pause sets the pause between two chunks of the simulated answers.
func (p *part) pause(d time.Duration) error {
	if _, err := fmt.Fprintln(p.stdin, d); err != nil {
		return fmt.Errorf("set pause: %w", err)
	}
	_, err := p.out.ReadString('\n')
	return err
}

// load runs one job in a process of its own.
func (r *rig) load(ctx context.Context, j job) (report, error) {
	p, err := r.startLoad(ctx, j)
	if err != nil {
		return report{}, err
	}
	defer p.Close()
	return readReport(p)
}

// hold runs a job that keeps things open until the returned process is closed.
func (r *rig) hold(ctx context.Context, j job) (*process, report, error) {
	p, err := r.startLoad(ctx, j)
	if err != nil {
		return nil, report{}, err
	}
	rep, err := readReport(p)
	if err == nil && rep.Held == 0 {
		err = errors.New("nothing could be opened: " + rep.Error)
	}
	if err != nil {
		_ = p.Close()
		return nil, rep, err
	}
	return p, rep, nil
}

func (r *rig) startLoad(ctx context.Context, j job) (*process, error) {
	p, err := spawn(ctx, r.dir, "load", true, r.env(), r.exe, "load")
	if err != nil {
		return nil, err
	}
	if err := json.NewEncoder(p.stdin).Encode(j); err != nil {
		_ = p.Close()
		return nil, fmt.Errorf("order load: %w", err)
	}
	return p, nil
}

func readReport(p *process) (report, error) {
	var rep report
	line, err := p.out.ReadBytes('\n')
	if err != nil {
		return rep, fmt.Errorf("generate load: %w: %s", err, strings.TrimSpace(p.said()))
	}
	return rep, json.Unmarshal(line, &rep)
}

// freePort returns a port that was free a moment ago, for programs that cannot choose one and say which.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// await dials addr until something accepts, p ends, or patience is over.
func await(ctx context.Context, p *process, addr string, patience, every time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		c, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
		if err == nil {
			return c.Close()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("start %s: nothing listens on %s: %s", p.name, addr, p.said())
		case <-time.After(every):
		}
	}
}
