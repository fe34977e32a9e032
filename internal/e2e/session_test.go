//go:build e2e

package e2e_test

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// session is a bash that is fed one piece of text at a time. What a piece sets stays for the next.
type session struct {
	cmd     *exec.Cmd
	in      io.WriteCloser
	reports <-chan string // lines of descriptor 3: failures, and the end of each piece
	screen  *screen
	dir     string
	pieces  int
}

// newSession starts a bash in folder cwd. It and what it left running end with the test.
func newSession(t *testing.T, cwd string, env []string) *session {
	t.Helper()
	s := &session{cmd: exec.Command("bash", "--noprofile", "--norc"), screen: &screen{grown: make(chan struct{})}, dir: t.TempDir()}
	s.cmd.Dir, s.cmd.Env = cwd, env
	s.cmd.Stdout, s.cmd.Stderr = s.screen, s.screen
	s.cmd.WaitDelay = 10 * time.Second
	var err error
	if s.in, err = s.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	s.cmd.ExtraFiles = []*os.File{w}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = w.Close()
	lines := make(chan string)
	go func() { // ends when bash and its children have; joined by the cleanup, through lines
		defer close(lines)
		for sc := bufio.NewScanner(r); sc.Scan(); {
			lines <- sc.Text()
		}
	}()
	s.reports = lines
	t.Cleanup(func() {
		_, _ = io.WriteString(s.in, "kill $(jobs -p) 2>/dev/null; wait; exit\n")
		_ = s.in.Close()
		timer := time.AfterFunc(20*time.Second, func() { _ = s.cmd.Process.Kill() })
		_ = s.cmd.Wait()
		timer.Stop()
		_ = r.Close()
		for range lines { // what came after the last piece is of no interest
		}
		if t.Failed() {
			t.Logf("the session printed:\n%s", brief(s.screen.since(0)))
		}
	})
	s.send(t, `trap 'echo "failed $?: $BASH_COMMAND" >&3' ERR`)
	return s
}

func (s *session) send(t *testing.T, line string) {
	t.Helper()
	if _, err := io.WriteString(s.in, line+"\n"); err != nil {
		t.Fatalf("the session has ended: %v\n%s", err, s.screen.since(0))
	}
}

// run feeds text and returns what was printed until it was done. A command that fails fails the test.
func (s *session) run(t *testing.T, text string) string {
	t.Helper()
	s.pieces++
	file := filepath.Join(s.dir, strconv.Itoa(s.pieces)+".sh")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	from := s.screen.len()
	s.send(t, ". "+quote(file)+" </dev/null; echo done >&3")
	late := time.After(6 * time.Minute) // a build may come first
	for {
		select {
		case line, ok := <-s.reports:
			switch {
			case !ok:
				t.Fatalf("the session has ended:\n%s", s.screen.since(from))
			case line == "done":
				out := s.settled(t, from)
				if t.Failed() {
					t.Logf("it printed:\n%s", brief(out))
				}
				return out
			default:
				t.Error(line)
			}
		case <-late:
			t.Fatalf("it does not end:\n%s", s.screen.since(from))
		}
	}
}

// settled returns the text from a place on, once all that bash and its finished children wrote has come through the
// pipe: a last line of bash's own says so.
func (s *session) settled(t *testing.T, from int) string {
	t.Helper()
	const end = "\x04 end of piece\n"
	s.send(t, `printf '\004 end of piece\n'`)
	late := time.After(30 * time.Second)
	for {
		_, grown := s.screen.last()
		text := s.screen.since(from)
		if before, after, ok := strings.Cut(text, end); ok {
			return before + after
		}
		select {
		case <-grown:
		case <-late:
			t.Fatal("bash does not answer")
		}
	}
}

// brief keeps the last lines of a text, and the beginning of each.
func brief(text string) string {
	const lines, width = 60, 300
	all := strings.Split(text, "\n")
	all = all[max(0, len(all)-lines):]
	for i, l := range all {
		if len(l) > width {
			all[i] = l[:width] + " …"
		}
	}
	return strings.Join(all, "\n")
}

// leave ends what runs in the background and checks that nothing but that had to be ended.
func (s *session) leave(t *testing.T) {
	t.Helper()
	s.run(t, "if [ -n \"$(jobs -p)\" ]; then kill $(jobs -p); fi; wait")
}

// find returns the first group of the last match in all that was printed, or "".
func (s *session) find(pattern string) string {
	all := regexp.MustCompile(pattern).FindAllStringSubmatch(s.screen.since(0), -1)
	if len(all) == 0 {
		return ""
	}
	return all[len(all)-1][1]
}

// await waits until what the last piece printed matches.
func (s *session) await(t *testing.T, pattern string) {
	t.Helper()
	re := regexp.MustCompile(pattern)
	late := time.After(30 * time.Second)
	for {
		text, grown := s.screen.last()
		if re.MatchString(text) {
			return
		}
		select {
		case <-grown:
		case <-late:
			t.Fatalf("no %q in:\n%s", pattern, text)
		}
	}
}

// screen keeps what a session prints.
type screen struct {
	mu    sync.Mutex // guards what follows
	text  strings.Builder
	mark  int           // where the last piece began
	grown chan struct{} // closed and replaced when text grows
}

// Write implements io.Writer.
func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text.Write(p)
	close(s.grown)
	s.grown = make(chan struct{})
	return len(p), nil
}

func (s *screen) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mark = s.text.Len()
	return s.mark
}

func (s *screen) since(from int) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()[from:]
}

func (s *screen) last() (text string, grown <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()[s.mark:], s.grown
}
