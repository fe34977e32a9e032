package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"

	"detour/internal/ledger"
	"detour/internal/sim"
)

// The test binary runs as detour, and as gh for scripts that import from it.
func TestMain(m *testing.M) {
	testscript.Main(leakChecked{m}, map[string]func(){
		"detour": main,
		"gh":     fakeGH,
	})
}

// leakChecked fails when tests leave goroutines behind.
type leakChecked struct{ m *testing.M }

func (l leakChecked) Run() int {
	code := l.m.Run()
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// fakeGH prints the token in FAKE_GH_<host with underscores>, and fails without one, as gh does.
func fakeGH() {
	if len(os.Args) != 5 || strings.Join(os.Args[1:4], " ") != "auth token --hostname" {
		fmt.Fprintln(os.Stderr, "gh: unknown command")
		os.Exit(1)
	}
	token := os.Getenv("FAKE_GH_" + strings.ReplaceAll(os.Args[4], ".", "_"))
	if token == "" {
		fmt.Fprintln(os.Stderr, "no oauth token")
		os.Exit(1)
	}
	fmt.Println(token)
}

func TestScript(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		UpdateScripts:       os.Getenv("UPDATE_SCRIPTS") != "",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			home := e.WorkDir + "/home"
			e.Vars = append(e.Vars,
				"HOME="+home, "USERPROFILE="+home, "DETOUR_HOME="+home+"/detour", "MARKER="+sim.Marker, "TERM=dumb",
				"COPILOT_GITHUB_TOKEN=", "GH_TOKEN=", "GITHUB_TOKEN=",
				"OPENAI_API_KEY=", "ANTHROPIC_API_KEY=", "GEMINI_API_KEY=", "GOOGLE_API_KEY=", "EDITOR=", "VISUAL=")
			e.Values[benchKey{}] = &bench{jobs: map[string]*job{}}
			return os.Mkdir(home, 0o700)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"sim": simCommand, "code": codeCommand, "start": startCommand, "await": awaitCommand,
			"signal": signalCommand, "ended": endedCommand, "fetch": fetchCommand, "ask": askCommand, "recorded": recordedCommand, "private": privateCommand,
		},
	})
}

// bench is what the custom commands of one script share.
type bench struct {
	sim  *sim.Sim
	jobs map[string]*job
}

type benchKey struct{}

func benchOf(ts *testscript.TestScript) *bench { return ts.Value(benchKey{}).(*bench) }

// simCommand controls a simulated upstream:
//
//	sim start [setting=value…]    starts it and points detour at it
//	sim set setting=value…        changes its scenario
//	sim revoke ACCOUNT            ends the account's GitHub token
//	sim count OP N                fails unless OP was requested N times
//	sim await OP N                waits for the Nth request of OP
//
// Settings: account (who signs in), polls (answers, separated by commas), interval, expires (seconds), anyhost,
// catalogue (of models), nolist (the local server lists no models), refuse=OP:FAULT (every time). start also sets
// SIM_PORT, a port on which no detour listens, and SIM_OPENAI and the like, the addresses of the services.
func simCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: sim start|set|revoke|count|await …")
	}
	b := benchOf(ts)
	switch verb, args := args[0], args[1:]; verb {
	case "start":
		s, err := sim.Start(sim.Options{})
		ts.Check(err)
		ts.Defer(func() { ts.Check(s.Close()) })
		b.sim = s
		for k, v := range s.Env() {
			ts.Setenv(k, v)
		}
		for _, name := range []string{
			sim.ServiceOpenAI, sim.ServiceAnthropic, sim.ServiceZAI, sim.ServiceDeepSeek, sim.ServiceOpenRouter, sim.ServiceGemini, sim.ServiceLocal,
		} {
			ts.Setenv("SIM_"+strings.ToUpper(name), s.ServiceURL(name))
		}
		ts.Setenv("SIM_HOST", strings.TrimSuffix(s.ServiceURL(sim.ServiceAnthropic), "/"+sim.ServiceAnthropic))
		ts.Setenv("DETOUR_MODELS_URL", s.CatalogueURL())
		ts.Setenv("SIM_PORT", s.GitHubURL()[strings.LastIndex(s.GitHubURL(), ":")+1:])
		ts.Check(setScenario(s, args))
	case "set":
		ts.Check(setScenario(b.sim, args))
	case "revoke":
		b.sim.Account(args[0]).Revoke()
	case "count", "await":
		n, err := strconv.Atoi(args[1])
		ts.Check(err)
		op := func(r sim.Request) bool { return r.Op == args[0] }
		if verb == "await" {
			ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
			defer cancel()
			_, err := b.sim.Await(ctx, n, op)
			ts.Check(err)
			return
		}
		if got := len(b.sim.Requests(op)); got != n {
			ts.Fatalf("%d requests of %s, want %d", got, args[0], n)
		}
	default:
		ts.Fatalf("sim %s: unknown", verb)
	}
}

func setScenario(s *sim.Sim, args []string) error {
	var errs []error
	number := func(v string) int {
		n, err := strconv.Atoi(v)
		errs = append(errs, err)
		return n
	}
	s.Update(func(sc *sim.Scenario) {
		for _, arg := range args {
			name, v, _ := strings.Cut(arg, "=")
			switch name {
			case "account":
				sc.Login.Account = v
			case "polls":
				sc.Login.Polls = strings.Split(v, ",")
			case "interval":
				sc.Login.Interval = number(v)
			case "expires":
				sc.Login.ExpiresIn = number(v)
			case "anyhost":
				sc.AnyHost = true
			case "catalogue":
				sc.Services.Catalogue = []byte(v)
			case "nolist":
				sc.Services.LocalNoModels = true
			case "refuse":
				op, fault, _ := strings.Cut(v, ":")
				sc.Faults = append(sc.Faults, sim.Fault{On: op, Name: fault, Times: -1})
			default:
				errs = append(errs, fmt.Errorf("unknown setting %q", name))
			}
		}
	})
	return errors.Join(errs...)
}

// codeCommand runs a program and fails unless it ends with the given code: code N PROGRAM ARG…
func codeCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N program [arg…]")
	}
	err := ts.Exec(args[1], args[2:]...)
	if got := strconv.Itoa(exitCode(err)); got != args[0] {
		ts.Fatalf("exit code %s, want %s (%v)", got, args[0], err)
	}
}

func exitCode(err error) int {
	if e, ok := errors.AsType[*exec.ExitError](err); ok {
		return e.ExitCode()
	}
	if err != nil {
		return -1
	}
	return 0
}

// job is a program in the background whose output can be read while it runs.
type job struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended; err may be read then
	err  error

	mu     sync.Mutex // guards what follows
	output strings.Builder
	grown  chan struct{} // closed and replaced when output grows
}

func (j *job) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.output.Write(p)
	close(j.grown)
	j.grown = make(chan struct{})
	return len(p), nil
}

func (j *job) text() (string, <-chan struct{}) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.output.String(), j.grown
}

// startCommand runs a program in the background: start NAME PROGRAM ARG…
func startCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: start name program [arg…]")
	}
	j := &job{cmd: exec.Command(args[1], args[2:]...), done: make(chan struct{}), grown: make(chan struct{})}
	j.cmd.Stdout, j.cmd.Stderr, j.cmd.Dir = j, j, ts.MkAbs(".")
	for _, name := range []string{
		"PATH", "HOME", "DETOUR_HOME", "DETOUR_GITHUB_URL", "DETOUR_GITHUB_API_URL", "DETOUR_COPILOT_API_URL", "DETOUR_UPSTREAM_CA", "GOCOVERDIR", "TMPDIR",
	} {
		if v := ts.Getenv(name); v != "" {
			j.cmd.Env = append(j.cmd.Env, name+"="+v)
		}
	}
	ts.Check(j.cmd.Start())
	go func() { // ends with the program; joined through done
		defer close(j.done)
		j.err = j.cmd.Wait()
	}()
	ts.Defer(func() {
		_ = j.cmd.Process.Kill()
		<-j.done
	})
	benchOf(ts).jobs[args[0]] = j
}

func jobOf(ts *testscript.TestScript, args []string) *job {
	if len(args) > 0 {
		if j := benchOf(ts).jobs[args[0]]; j != nil {
			return j
		}
	}
	ts.Fatalf("no such job: %v", args)
	return nil
}

// awaitCommand waits until the output of a job matches, and stores the first group: await NAME REGEXP [VARIABLE]
func awaitCommand(ts *testscript.TestScript, neg bool, args []string) {
	j := jobOf(ts, args)
	if neg || len(args) < 2 {
		ts.Fatalf("usage: await name regexp [variable]")
	}
	re := regexp.MustCompile("(?m)" + args[1])
	late := time.After(30 * time.Second)
	for {
		output, grown := j.text()
		if m := re.FindStringSubmatch(output); m != nil {
			if len(args) > 2 {
				ts.Setenv(args[2], m[1])
			}
			return
		}
		select {
		case <-grown:
		case <-j.done:
			if now, _ := j.text(); now == output {
				ts.Fatalf("%s ended (%v) without %q:\n%s", args[0], j.err, args[1], output)
			}
		case <-late:
			ts.Fatalf("%s does not say %q:\n%s", args[0], args[1], output)
		}
	}
}

// signalCommand sends INT, TERM or KILL to a job: signal NAME INT
func signalCommand(ts *testscript.TestScript, neg bool, args []string) {
	j := jobOf(ts, args)
	sig := map[string]syscall.Signal{"INT": syscall.SIGINT, "TERM": syscall.SIGTERM, "KILL": syscall.SIGKILL}[args[len(args)-1]]
	if neg || sig == 0 {
		ts.Fatalf("usage: signal name INT|TERM|KILL")
	}
	ts.Check(j.cmd.Process.Signal(sig))
}

// endedCommand waits for a job's end and checks its code; its output is the stdout of the next checks:
// ended NAME CODE
func endedCommand(ts *testscript.TestScript, neg bool, args []string) {
	j := jobOf(ts, args)
	if neg || len(args) != 2 {
		ts.Fatalf("usage: ended name code")
	}
	select {
	case <-j.done:
	case <-time.After(30 * time.Second):
		ts.Fatalf("%s does not end", args[0])
	}
	output, _ := j.text()
	fmt.Fprint(ts.Stdout(), output)
	if got := strconv.Itoa(exitCode(j.err)); got != args[1] {
		ts.Fatalf("%s ended with code %s, want %s:\n%s", args[0], got, args[1], output)
	}
}

// fetchCommand gets a URL and fails unless it answers with the status: fetch STATUS URL
func fetchCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: fetch status url")
	}
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get(args[1])
	ts.Check(err)
	defer resp.Body.Close()
	if err := resp.Write(ts.Stdout()); err != nil {
		ts.Fatalf("read %s: %v", args[1], err)
	}
	if got := strconv.Itoa(resp.StatusCode); got != args[0] {
		ts.Fatalf("status %s, want %s", got, args[0])
	}
}

// askCommand posts a file and fails unless the answer has the status: ask STATUS URL FILE
func askCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: ask status url file")
	}
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Post(args[1], "application/json", strings.NewReader(ts.ReadFile(args[2])))
	ts.Check(err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	ts.Check(err)
	fmt.Fprintf(ts.Stdout(), "%s\n", body)
	if got := strconv.Itoa(resp.StatusCode); got != args[0] {
		ts.Fatalf("status %s, want %s: %s", got, args[0], body)
	}
}

// recordedCommand waits until the ledger of DETOUR_HOME has rows: recorded N
func recordedCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: recorded n")
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		var n int64
		r, err := ledger.OpenReader(context.Background(), ts.Getenv("DETOUR_HOME")+"/data/usage.db")
		if err == nil {
			sums, uerr := r.Usage(context.Background(), ledger.Query{})
			ts.Check(errors.Join(uerr, r.Close()))
			if len(sums) == 1 {
				n = sums[0].Requests
			}
		}
		if strconv.FormatInt(n, 10) == args[0] {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%d rows, %v", n, err)
		}
	}
}

// privateCommand fails unless only their owner can read the files: private FILE…
func privateCommand(ts *testscript.TestScript, neg bool, args []string) {
	for _, file := range args {
		info, err := os.Stat(ts.MkAbs(file))
		ts.Check(err)
		if open := info.Mode().Perm()&0o077 != 0; open != neg {
			ts.Fatalf("%s has mode %v", file, info.Mode())
		}
	}
}
