package sse_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"detour/internal/sse"
)

// event is a Frame whose slices are strings, so that it can be kept and compared.
type event struct {
	Event, Data, ID, Raw string
	HasData              bool
}

// readAll returns copies of all frames and the error that ended the stream.
func readAll(r *sse.Reader) (events []event, err error) {
	for {
		f, err := r.Next()
		if len(f.Raw) > 0 {
			events = append(events, event{string(f.Event), string(f.Data), string(f.ID), string(f.Raw), f.HasData})
		}
		if err != nil {
			return events, err
		}
	}
}

func TestReaderSplitsFrames(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		in   string
		want []event
		err  error
	}{
		{"empty stream", "", nil, io.EOF},
		{"LF", "event: a\ndata: 1\n\n", []event{{"a", "1", "", "event: a\ndata: 1\n\n", true}}, io.EOF},
		{"CRLF", "data: 1\r\n\r\ndata: 2\r\n\r\n",
			[]event{{"", "1", "", "data: 1\r\n\r\n", true}, {"", "2", "", "data: 2\r\n\r\n", true}}, io.EOF},
		{"CR alone", "data: 1\r\rdata: 2\r\r",
			[]event{{"", "1", "", "data: 1\r\r", true}, {"", "2", "", "data: 2\r\r", true}}, io.EOF},
		{"CR then CRLF", "data: 1\r\r\ndata: 2\n\n",
			[]event{{"", "1", "", "data: 1\r\r", true}, {"", "2", "", "\ndata: 2\n\n", true}}, io.EOF},
		{"CR then CRLF at the end", "data: 1\r\r\n",
			[]event{{"", "1", "", "data: 1\r\r", true}, {"", "", "", "\n", false}}, io.EOF},
		{"no space after the colon", "data:1\nevent:e\n\n", []event{{"e", "1", "", "data:1\nevent:e\n\n", true}}, io.EOF},
		{"only one space is dropped", "data:  1\n\n", []event{{"", " 1", "", "data:  1\n\n", true}}, io.EOF},
		{"empty data is data", "data:\n\n", []event{{"", "", "", "data:\n\n", true}}, io.EOF},
		{"field without colon", "data\n\n", []event{{"", "", "", "data\n\n", true}}, io.EOF},
		{"several data lines", "data: a\nid: 7\ndata: b\ndata\n\n",
			[]event{{"", "a\nb\n", "7", "data: a\nid: 7\ndata: b\ndata\n\n", true}}, io.EOF},
		{"several data lines with CRLF", "data: a\r\ndata: b\r\n\r\n",
			[]event{{"", "a\nb", "", "data: a\r\ndata: b\r\n\r\n", true}}, io.EOF},
		{"comment", ": ping\n\n", []event{{"", "", "", ": ping\n\n", false}}, io.EOF},
		{"comment inside an event", ": x\ndata: 1\n\n", []event{{"", "1", "", ": x\ndata: 1\n\n", true}}, io.EOF},
		{"unknown field", "retry: 3\ndata: 1\nfoo: bar\n\n", []event{{"", "1", "", "retry: 3\ndata: 1\nfoo: bar\n\n", true}}, io.EOF},
		{"extra blank lines", "\n\ndata: 1\n\n\n",
			[]event{{Raw: "\n"}, {Raw: "\n"}, {"", "1", "", "data: 1\n\n", true}, {Raw: "\n"}}, io.EOF},
		{"byte order mark", "\uFEFFdata: 1\n\n", []event{{"", "1", "", "\uFEFFdata: 1\n\n", true}}, io.EOF},
		{"byte order mark on a blank line", "\uFEFF\n", []event{{Raw: "\uFEFF\n"}}, io.EOF},
		{"second byte order mark is text", "\uFEFF\n\uFEFFdata: 1\n\n",
			[]event{{Raw: "\uFEFF\n"}, {Raw: "\uFEFFdata: 1\n\n"}}, io.EOF},
		{"id with NUL is ignored", "id: a\x00b\ndata: 1\n\n", []event{{"", "1", "", "id: a\x00b\ndata: 1\n\n", true}}, io.EOF},
		{"no blank line at the end", "data: 1\n", []event{{"", "1", "", "data: 1\n", true}}, io.ErrUnexpectedEOF},
		{"cut inside a line", "data: 1\n\nevent: x\ndata: {\"a",
			[]event{{"", "1", "", "data: 1\n\n", true}, {"x", "{\"a", "", "event: x\ndata: {\"a", true}}, io.ErrUnexpectedEOF},
		{"cut inside CRLF", "data: 1\r\n\r", []event{{"", "1", "", "data: 1\r\n\r", true}}, io.EOF},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			for how, wrap := range map[string]func(io.Reader) io.Reader{
				"whole":         func(r io.Reader) io.Reader { return r },
				"bytewise":      iotest.OneByteReader,
				"data with EOF": iotest.DataErrReader,
			} {
				got, err := readAll(sse.NewReader(wrap(strings.NewReader(tc.in))))
				if !errors.Is(err, tc.err) || err != tc.err {
					t.Errorf("%s: error %v, want %v", how, err, tc.err)
				}
				if !equal(got, tc.want) {
					t.Errorf("%s: got %#v, want %#v", how, got, tc.want)
				}
			}
		})
	}
}

func equal(a, b []event) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// TestReaderScansALargeEventOnce has an event come in as many pieces as it has bytes. If each piece made the reader scan
// what it has again, that would take for ever.
func TestReaderScansALargeEventOnce(t *testing.T) {
	t.Parallel()
	event := "data: " + strings.Repeat("é", 1<<19) + "\n\n"
	f, err := sse.NewReader(iotest.OneByteReader(strings.NewReader(event))).Next()
	if err != nil || string(f.Raw) != event {
		t.Errorf("%d bytes of %d, %v", len(f.Raw), len(event), err)
	}
}

func TestReaderRepeatsItsError(t *testing.T) {
	t.Parallel()
	r := sse.NewReader(strings.NewReader("data: 1"))
	for i := range 3 {
		f, err := r.Next()
		if err != io.ErrUnexpectedEOF || (len(f.Raw) > 0) != (i == 0) {
			t.Fatalf("call %d: frame %q, error %v", i, f.Raw, err)
		}
	}
}

func TestReaderGivesPartialFrameWithSourceError(t *testing.T) {
	t.Parallel()
	reset := errors.New("connection reset")
	r := sse.NewReader(io.MultiReader(strings.NewReader("data: 1\n\ndata: 2"), iotest.ErrReader(reset)))
	got, err := readAll(r)
	if err != reset || len(got) != 2 || got[1].Data != "2" {
		t.Fatalf("got %#v, %v", got, err)
	}
}

func TestReaderRefusesFrameOverLimit(t *testing.T) {
	t.Parallel()
	frame := "data: " + strings.Repeat("x", 92) + "\n\n" // 100 bytes
	for _, in := range []string{frame, frame[:99] + "y", strings.Repeat("x", 1000)} {
		for _, wrap := range []func(io.Reader) io.Reader{func(r io.Reader) io.Reader { return r }, iotest.OneByteReader} {
			r := sse.NewReader(wrap(strings.NewReader("data: 1\n\n" + in)))
			r.Limit = 99
			got, err := readAll(r)
			var large *sse.TooLargeError
			if !errors.As(err, &large) || large.Limit != 99 || len(got) != 1 {
				t.Errorf("%.20q…: %d frames, error %v", in, len(got), err)
			}
		}
	}
	r := sse.NewReader(strings.NewReader(frame))
	r.Limit = 100
	if got, err := readAll(r); err != io.EOF || len(got) != 1 {
		t.Errorf("frame of exactly the limit: %d frames, %v", len(got), err)
	}
}

func TestReaderNeedsProgress(t *testing.T) {
	t.Parallel()
	if _, err := sse.NewReader(stuck{}).Next(); err != io.ErrNoProgress {
		t.Fatalf("got %v", err)
	}
}

type stuck struct{}

func (stuck) Read([]byte) (int, error) { return 0, nil }

// A CRLF stream is delivered with whole line ends, yet a stream of bare CRs is not held back by one frame.
func TestReaderDeliversWithoutWaitingForTheNextFrame(t *testing.T) {
	t.Parallel()
	for _, in := range []string{"data: 1\n\n", "data: 1\r\n\r\n", "data: 1\r\r"} {
		reads := 0
		r := sse.NewReader(readerFunc(func(p []byte) (int, error) {
			if reads++; reads > 1 {
				return 0, errors.New("read again")
			}
			return copy(p, in), nil
		}))
		if f, err := r.Next(); err != nil || string(f.Raw) != in {
			t.Errorf("%q: got %q, %v", in, f.Raw, err)
		}
	}
}

func TestBufferedTellsWhetherNextReads(t *testing.T) {
	t.Parallel()
	reads := 0
	src := readerFunc(func(p []byte) (int, error) {
		reads++
		switch reads {
		case 1:
			return copy(p, "data: a\ndata: b\n\ndata: 2\n\ndata: 3"), nil
		case 2:
			return copy(p, "\n\n"), nil
		default:
			return 0, io.EOF
		}
	})
	r := sse.NewReader(src)
	if r.Buffered() {
		t.Error("buffered before the first read")
	}
	for i, want := range []bool{true, false, false} {
		f, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		data := string(f.Data)
		if got := r.Buffered(); got != want {
			t.Errorf("after frame %d: Buffered = %v, want %v", i, got, want)
		}
		if string(f.Data) != data {
			t.Errorf("Buffered changed the frame from %q to %q", data, f.Data)
		}
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestReaderAllocatesNothingPerFrame(t *testing.T) {
	frame := "event: x\ndata: {\"delta\":\"hello\"}\n\n: ping\n\ndata: a\ndata: b\n\n"
	r := sse.NewReader(endless(frame))
	next := func() {
		if _, err := r.Next(); err != nil {
			t.Fatal(err)
		}
		r.Buffered()
	}
	for range 1000 {
		next()
	}
	if n := testing.AllocsPerRun(1000, next); n != 0 {
		t.Errorf("%v allocations per frame", n)
	}
}

// endless repeats s for ever.
func endless(s string) io.Reader {
	at := 0
	return readerFunc(func(p []byte) (n int, err error) {
		for n < len(p) {
			c := copy(p[n:], s[at:])
			at = (at + c) % len(s)
			n += c
		}
		return n, nil
	})
}

func TestReaderKeepsEveryByteOfTheFixtures(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.sse")
	if err != nil || len(files) == 0 {
		t.Fatalf("no fixtures: %v", err)
	}
	for _, name := range files {
		in, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		checkStream(t, in)
	}
}

// checkStream asserts what holds for any input: no byte is lost, and the frames do not depend on how it was cut.
func checkStream(t *testing.T, in []byte) {
	t.Helper()
	whole, err := readAll(sse.NewReader(bytes.NewReader(in)))
	var raw []byte
	for _, e := range whole {
		raw = append(raw, e.Raw...)
	}
	if !bytes.Equal(raw, in) {
		t.Errorf("raw frames are %q, input is %q", raw, in)
	}
	if err != io.EOF && err != io.ErrUnexpectedEOF {
		t.Errorf("error %v", err)
	}
	bytewise, err1 := readAll(sse.NewReader(iotest.OneByteReader(bytes.NewReader(in))))
	if !equal(whole, bytewise) || err != err1 {
		t.Errorf("whole %#v %v, byte by byte %#v %v", whole, err, bytewise, err1)
	}
}

func FuzzReader(f *testing.F) {
	for _, s := range []string{"data: 1\n\n", "\uFEFFdata: 1\r\n\r\n: c\r\rdata: 2\r\r\n", "data: a\r\ndata\n\r", "event", "\r", "\r\n\r\r\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) { checkStream(t, in) })
}

func TestAppendFrameReadsBack(t *testing.T) {
	t.Parallel()
	out := sse.AppendFrame(nil, "", []byte(`{"a":1}`))
	out = sse.AppendFrame(out, "error", nil)
	if want := "data: {\"a\":1}\n\nevent: error\ndata: \n\n"; string(out) != want {
		t.Errorf("got %q, want %q", out, want)
	}
}

func BenchmarkReader4MBEvent(b *testing.B) {
	for _, tc := range []struct{ name, event string }{
		{"one line", "data: " + strings.Repeat("x", 4<<20) + "\n\n"},
		{"CR lines", strings.Repeat("data: xxxxxxxxxx\r", 4<<20/17) + "\r"},
	} {
		b.Run(tc.name, func(b *testing.B) {
			b.SetBytes(int64(len(tc.event)))
			for b.Loop() {
				r := sse.NewReader(iotest.HalfReader(strings.NewReader(tc.event)))
				if _, err := r.Next(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkReaderDelta(b *testing.B) {
	frame := "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"Hello\"}}\n\n"
	r := sse.NewReader(endless(frame))
	b.SetBytes(int64(len(frame)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Next(); err != nil {
			b.Fatal(err)
		}
	}
}
