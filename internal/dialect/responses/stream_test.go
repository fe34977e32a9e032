package responses_test

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"golang.org/x/tools/txtar"

	"detour/internal/llm"
)

func TestStreamsTranslateAsRecorded(t *testing.T) {
	t.Parallel()
	for name, in := range streams(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			events := decode(bytes.NewReader(in))
			out := encode(events, options())
			golden(t, "testdata/translated/"+name+".txtar",
				txtar.File{Name: "in", Data: in}, txtar.File{Name: "events", Data: []byte(show(events))}, txtar.File{Name: "out", Data: out})
			observe(t, out)
		})
	}
}

func TestStreamDoesNotDependOnHowBytesArrive(t *testing.T) {
	t.Parallel()
	for name, in := range streams(t) {
		whole := decode(bytes.NewReader(in))
		if got := decode(iotest.OneByteReader(bytes.NewReader(in))); !reflect.DeepEqual(got, whole) {
			t.Errorf("%s: byte by byte\n%s\nwhole\n%s", name, show(got), show(whole))
		}
	}
}

func TestTranslatedStreamIsAFixedPoint(t *testing.T) {
	t.Parallel()
	for name, in := range streams(t) {
		once := encode(decode(bytes.NewReader(in)), options())
		o := options()
		again := encode(decode(bytes.NewReader(once)), o)
		if !bytes.Equal(once, again) && !strings.Contains(string(once), "response.failed") {
			t.Errorf("%s:\n%s\nbecame\n%s", name, show(decode(bytes.NewReader(once))), show(decode(bytes.NewReader(again))))
		}
	}
}

func TestCutStreamNeverFinishes(t *testing.T) {
	t.Parallel()
	for name, in := range streams(t) {
		frames := bytes.SplitAfter(in, []byte("\n\n"))
		for n := range frames {
			part := bytes.Join(frames[:n], nil)
			if bytes.Contains(part, []byte("event: response.completed")) || bytes.Contains(part, []byte("event: response.incomplete")) ||
				bytes.Contains(part, []byte(`"type":"response.completed"`)) {
				continue
			}
			events := decode(bytes.NewReader(part))
			last := events[len(events)-1]
			if last.Kind != llm.EventFailure || last.Err == nil {
				t.Fatalf("%s cut behind event %d:\n%s", name, n, show(events))
			}
			out := encode(events, options())
			checkStream(t, out)
			if !bytes.Contains(out, []byte("event: response.failed\n")) {
				t.Fatalf("%s cut behind event %d:\n%s", name, n, out)
			}
		}
	}
}
