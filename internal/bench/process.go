package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// process is a participant. Its standard input is held open: ours end when that closes.
type process struct {
	name  string
	cmd   *exec.Cmd
	stdin io.WriteCloser
	out   *bufio.Reader // standard output, nil when it goes to log
	log   string        // file that takes what it prints
	stop  sync.Once
}

// spawn starts a program in its own process group. Standard error, and standard output unless hello is wanted, go to
// a file in dir.
func spawn(ctx context.Context, dir, name string, hello bool, env []string, argv ...string) (*process, error) {
	p := &process{name: name, log: filepath.Join(dir, name+".log")}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open log of %s: %w", name, err)
	}
	defer log.Close() // the child has its own
	p.cmd = exec.CommandContext(ctx, argv[0], argv[1:]...)
	p.cmd.Dir, p.cmd.Env, p.cmd.Stderr = dir, env, log
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(os.Interrupt) }
	p.cmd.WaitDelay = 5 * time.Second
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	if hello {
		out, err := p.cmd.StdoutPipe()
		if err != nil {
			return nil, fmt.Errorf("start %s: %w", name, err)
		}
		p.out = bufio.NewReader(out)
	} else {
		p.cmd.Stdout = log
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return p, nil
}

// hello decodes the line of JSON with which a participant says that it is ready.
func (p *process) hello(v any) error {
	line, err := p.out.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, v)
	}
	if err != nil {
		return fmt.Errorf("start %s: %w: %s", p.name, err, p.said())
	}
	return nil
}

// said is the end of what the participant printed.
func (p *process) said() string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-2000):])
}

// forget empties the participant's log, so that a long run does not fill the disk with one line for each request.
func (p *process) forget() { _ = os.Truncate(p.log, 0) }

// Close ends the participant: by closing its standard input, by an interrupt, by force.
func (p *process) Close() error {
	p.stop.Do(func() {
		_ = p.stdin.Close()
		_ = p.cmd.Process.Signal(os.Interrupt)
		kill := time.AfterFunc(5*time.Second, func() { _ = p.cmd.Process.Kill() })
		defer kill.Stop()
		_ = p.cmd.Wait()
	})
	return nil
}

// clockTick is USER_HZ, 100 on every Linux that Go runs on.
const clockTick = 10 * time.Millisecond

// cpu is the processor time that the participant has used, in user and kernel mode.
func (p *process) cpu() (time.Duration, error) {
	b, err := os.ReadFile(p.proc("stat"))
	if err != nil {
		return 0, fmt.Errorf("read processor time of %s: %w", p.name, err)
	}
	// proc_pid_stat(5): utime and stime are fields 14 and 15; field 2 is a name in brackets that may hold anything.
	fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	if len(fields) < 13 {
		return 0, errors.New("read processor time: short stat")
	}
	user, err1 := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * clockTick, errors.Join(err1, err2)
}

// rss is the participant's resident memory in bytes.
func (p *process) rss() (int64, error) {
	b, err := os.ReadFile(p.proc("status"))
	if err != nil {
		return 0, fmt.Errorf("read memory of %s: %w", p.name, err)
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return kib << 10, err
		}
	}
	return 0, errors.New("read memory: no VmRSS")
}

// descriptors is how many files the participant has open.
func (p *process) descriptors() (int, error) {
	entries, err := os.ReadDir(p.proc("fd"))
	return len(entries), err
}

func (p *process) proc(file string) string {
	return "/proc/" + strconv.Itoa(p.cmd.Process.Pid) + "/" + file
}
