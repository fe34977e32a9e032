package sse_test

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"detour/internal/sse"
)

func allData(frames string) []string {
	var out []string
	for data, rest, ok := sse.NextData([]byte(frames)); ok; data, rest, ok = sse.NextData(rest) {
		out = append(out, string(data))
	}
	return out
}

func TestNextData(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		frames string
		want   []string
	}{
		"nothing":                    {"", nil},
		"one":                        {"event: a\ndata: {\"x\":1}\n\n", []string{`{"x":1}`}},
		"several":                    {"data: 1\n\nevent: b\ndata:2\nid: 7\n\n", []string{"1", "2"}},
		"comments between":           {": ping\n\ndata: 1\n\n:\n: again\n\n", []string{"1"}},
		"no data":                    {"event: a\n\ndata: 1\n\n", []string{"1"}},
		"empty data":                 {"data\n\ndata:\n\n", []string{"", ""}},
		"a field that begins so":     {"database: 3\ndata: 1\n\n", []string{"1"}},
		"CRLF":                       {"event: a\r\ndata: 1\r\n\r\ndata: 2\r\n\r\n", []string{"1", "2"}},
		"CR":                         {"event: a\rdata: 1\r\rdata: 2\r\r", []string{"1", "2"}},
		"mixed":                      {"data: 1\r\n\ndata: 2\r\rdata: 3\n\r\n", []string{"1", "2", "3"}},
		"several lines":              {"data: {\ndata: \"x\":1\ndata: }\n\ndata: 2\n\n", []string{"{\n\"x\":1\n}", "2"}},
		"an end that is not whole":   {"data: 1\n\ndata: 2\n", []string{"1"}},
		"one space is no part of it": {"data:  1 \n\n", []string{" 1 "}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := allData(tc.frames); !slices.Equal(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestNextDataAllocatesNothing(t *testing.T) {
	frames := []byte(strings.Repeat("event: response.output_text.delta\ndata: {\"type\":\"x\"}\n\n", 20))
	n := testing.AllocsPerRun(100, func() {
		for _, rest, ok := sse.NextData(frames); ok; _, rest, ok = sse.NextData(rest) {
		}
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// Whatever the bytes, NextData finds what the Reader finds.
func FuzzNextData(f *testing.F) {
	f.Add([]byte("event: a\r\ndata: 1\r\n\r\ndata: 2\rdata: 3\r\r: c\n\ndata\n\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if bytes.HasPrefix(b, []byte("\uFEFF")) {
			t.Skip("a byte order mark begins a stream, not a frame in the middle")
		}
		var want []string
		r := sse.NewReader(bytes.NewReader(b))
		for {
			fr, err := r.Next()
			if err != nil {
				if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Fatal(err)
				}
				break
			}
			if fr.HasData {
				want = append(want, string(fr.Data))
			}
		}
		if got := allData(string(b)); !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}
