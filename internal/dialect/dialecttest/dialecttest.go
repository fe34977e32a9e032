// Package dialecttest checks that a dialect.Format keeps the promises of its contract, on recorded streams.
package dialecttest

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"detour/internal/dialect"
	"detour/internal/llm"
	"detour/internal/sse"
)

var update = flag.Bool("update", false, "write the golden files anew")

// Ending is how a client sees a stream end.
type Ending string

// The endings. Open is the one that must never happen: the client waits, or asks again for ever.
const (
	Clean  Ending = "clean"
	Failed Ending = "failed"
	Open   Ending = "open"
)

// Suite is what there is to check.
type Suite struct {
	Format dialect.Format
	// Ending reads a stream the way a client of the dialect does. It must not share code with the Format.
	Ending func(stream []byte) Ending
	// Edits lists the streams of testdata that a Tap changes, and why. All others must pass byte for byte.
	Edits map[string]string
	// Delta is one frame in the middle of an answer that needs no edit, and Start all that comes before it.
	Start, Delta string
}

// Options are the TapOptions that the suite uses.
func Options() dialect.TapOptions { return dialect.TapOptions{ID: "minted", Created: 1700000000} }

// Result is what became of a stream.
type Result struct {
	Out     []byte
	Classes []dialect.Class
	Err     error // of Close
	Tap     dialect.Tap
}

// Relay runs the stream r through a new Tap the way the relay does.
func Relay(f dialect.Format, o dialect.TapOptions, r io.Reader) Result {
	res := Result{Tap: f.NewTap(o)}
	frames := sse.NewReader(r)
	for {
		frame, err := frames.Next()
		if len(frame.Raw) > 0 {
			var c dialect.Class
			res.Out, c = res.Tap.Frame(res.Out, frame)
			res.Classes = append(res.Classes, c)
		}
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			res.Out, res.Err = res.Tap.Close(res.Out, err)
			return res
		}
	}
}

// Run checks everything on the streams in testdata.
func Run(t *testing.T, s Suite) {
	files, err := filepath.Glob("testdata/*.sse")
	if err != nil || len(files) == 0 {
		t.Fatalf("no streams in testdata: %v", err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".sse")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			s.checkEdits(t, name, in)
			s.Check(t, in)
		})
	}
}

// checkEdits compares what the client gets with what came, or, for a stream that needs edits, with the golden file.
func (s Suite) checkEdits(t *testing.T, name string, in []byte) {
	t.Helper()
	got := Relay(s.Format, Options(), bytes.NewReader(in))
	if s.Edits[name] == "" {
		if !bytes.Equal(got.Out, in) {
			t.Errorf("changed without need:\n%s", diff(in, got.Out))
		}
		return
	}
	if bytes.Equal(got.Out, in) {
		t.Errorf("listed as edited (%s), yet it is not", s.Edits[name])
	}
	golden := filepath.Join("testdata", "golden", name+".sse")
	if *update {
		if err := os.MkdirAll(filepath.Dir(golden), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(golden, got.Out, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Out, want) {
		t.Errorf("not as in %s:\n%s", golden, diff(want, got.Out))
	}
}

// diff returns the lines around the first difference.
func diff(want, got []byte) string {
	w, g := strings.Split(string(want), "\n"), strings.Split(string(got), "\n")
	for i := 0; ; i++ {
		switch {
		case i == len(w) && i == len(g):
			return "no difference but in line ends"
		case i == len(w) || i == len(g) || w[i] != g[i]:
			return fmt.Sprintf("line %d\nwant %q\ngot  %q", i+1, w[i:min(i+2, len(w))], g[i:min(i+2, len(g))])
		}
	}
}

// Check asserts what holds for any stream whose events have the right types.
func (s Suite) Check(t *testing.T, in []byte) {
	t.Helper()
	whole := s.CheckAny(t, in)
	ending := s.Ending(whole.Out)
	if (whole.Err == nil) != (ending == Clean) || ending == Open {
		t.Errorf("Close says %v, a client sees the ending %s of\n%s", whole.Err, ending, whole.Out)
	}
}

// CheckAny asserts what holds for any bytes.
func (s Suite) CheckAny(t *testing.T, in []byte) Result {
	t.Helper()
	whole := Relay(s.Format, Options(), bytes.NewReader(in))
	failed := slices.Contains(whole.Classes, dialect.Failed)
	if whole.Err == nil && (failed || !slices.Contains(whole.Classes, dialect.Terminal)) {
		t.Errorf("clean end after classes %v of\n%s", whole.Classes, whole.Out)
	}
	if failed != (whole.Tap.Failure().Message != "") && whole.Err == nil {
		t.Errorf("classes %v, failure %+v", whole.Classes, whole.Tap.Failure())
	}
	bytewise := Relay(s.Format, Options(), iotest.OneByteReader(bytes.NewReader(in)))
	if !bytes.Equal(whole.Out, bytewise.Out) {
		t.Errorf("depends on how the bytes arrive:\n%s", diff(whole.Out, bytewise.Out))
	}
	if u := whole.Tap.Usage(); min(u.Input, u.CacheRead, u.CacheWrite, u.Output, u.Reasoning, u.NanoAIU) < 0 ||
		u.Reasoning > u.Output || !u.Reported && u != (llm.Usage{NanoAIU: u.NanoAIU, Priced: u.Priced}) {
		t.Errorf("odd usage %+v", u)
	}
	again := Relay(s.Format, Options(), bytes.NewReader(whole.Out))
	if !bytes.Equal(again.Out, whole.Out) {
		t.Errorf("mended again:\n%s\nfrom %q", diff(whole.Out, again.Out), in)
	}
	return whole
}

// CheckCuts cuts the stream in behind every byte near a line end and every seventh inside the lines. Only where the part
// already says that the answer is complete may the client see a clean end.
func (s Suite) CheckCuts(t *testing.T, in []byte, complete func(part []byte) bool) {
	t.Helper()
	for n := range len(in) {
		part := in[:n]
		if near := in[max(0, n-3):min(len(in), n+3)]; n%7 != 0 && !bytes.ContainsAny(near, "\r\n") {
			continue
		}
		got := Relay(s.Format, Options(), bytes.NewReader(part))
		ending := s.Ending(got.Out)
		if ending == Open || (ending == Clean) != (got.Err == nil) || ending == Clean && !complete(part) {
			t.Fatalf("cut behind byte %d: Close says %v, a client sees the ending %s of\n%s", n, got.Err, ending, got.Out)
		}
	}
}

// CheckCutFrame cuts inside a frame: the client learns that the stream ended early, not what the half frame says.
func (s Suite) CheckCutFrame(t *testing.T) {
	t.Helper()
	in := s.Start + s.Delta
	for cut := range len(s.Delta) - 2 {
		got := Relay(s.Format, Options(), strings.NewReader(in[:len(in)-cut-3]))
		if f := got.Tap.Failure(); !strings.HasPrefix(f.Message, "upstream stream ended early") {
			t.Fatalf("cut %d bytes before the end: failure %q", cut+3, f.Message)
		}
	}
}

// CheckAllocations asserts that a delta costs none. The test that calls it must not be parallel.
func (s Suite) CheckAllocations(t *testing.T) {
	tap := s.Format.NewTap(Options())
	var out []byte
	feed := func(stream string) sse.Frame {
		r := sse.NewReader(strings.NewReader(stream))
		var last sse.Frame
		for {
			f, err := r.Next()
			if err != nil {
				return last
			}
			out, _ = tap.Frame(out[:0], f)
			last = f
		}
	}
	feed(s.Start)
	delta := feed(s.Delta)
	n := testing.AllocsPerRun(100, func() {
		var c dialect.Class
		if out, c = tap.Frame(out[:0], delta); c != dialect.Content || string(out) != s.Delta {
			t.Fatalf("class %d, got %q", c, out)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations for a delta", n)
	}
}

// Bench measures one delta.
func (s Suite) Bench(b *testing.B) {
	tap := s.Format.NewTap(Options())
	var out []byte
	r := sse.NewReader(strings.NewReader(s.Start + s.Delta))
	var delta sse.Frame
	for {
		f, err := r.Next()
		if err != nil {
			break
		}
		out, _ = tap.Frame(out[:0], f)
		delta = f
	}
	b.ReportAllocs()
	b.SetBytes(int64(len(delta.Raw)))
	for b.Loop() {
		out, _ = tap.Frame(out[:0], delta)
	}
}
