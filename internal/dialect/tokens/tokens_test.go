package tokens_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	stdimage "image"
	"image/jpeg"
	"image/png"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"detour/internal/dialect/tokens"
	"detour/internal/llm"
)

func text(s string) []llm.Part { return []llm.Part{{Text: s}} }

func user(parts ...llm.Part) *llm.Request {
	return &llm.Request{Turns: []llm.Turn{{Parts: parts}}}
}

func picture(t testing.TB, w, h int, asJPEG bool) string {
	t.Helper()
	var b bytes.Buffer
	var err error
	if m := stdimage.NewGray(stdimage.Rect(0, 0, w, h)); asJPEG {
		err = jpeg.Encode(&b, m, nil)
	} else {
		err = png.Encode(&b, m)
	}
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(b.Bytes())
}

func TestCount(t *testing.T) {
	t.Parallel()
	e := tokens.New()
	schema := json.RawMessage("{\n  \"type\": \"object\"\n}")
	for name, tc := range map[string]struct {
		request *llm.Request
		family  string
		want    int
	}{
		"nothing": {&llm.Request{}, "gpt", 0},
		// The vocabulary splits "hello world" into two tokens.
		"text":                       {user(text("hello world")...), "gpt", 2 + 4},
		"system":                     {&llm.Request{System: text("hello world")}, "gpt", 2 + 4},
		"rounded up":                 {user(text("hello world")...), "claude-sonnet-4.5", 7}, // 6.9
		"newest claude":              {user(text("hello world")...), "claude-opus-4.7", 8},   // 7.8
		"hyphens for dots":           {user(text("hello world")...), "claude-opus-4-7", 8},
		"claude that is not known":   {user(text("hello world")...), "claude-zeta-6", 8},
		"a family that is not known": {user(text("hello world")...), "llama", 7}, // 6.6
		"thinking":                   {user(llm.Part{Kind: llm.PartThinking, Text: "hello world", Opaque: llm.Opaque{Kind: llm.OpaqueSignature, Value: strings.Repeat("x", 9999)}}), "gpt", 2 + 4},
		"call":                       {user(llm.Part{Kind: llm.PartCall, Call: &llm.Call{Name: "hello", Arguments: "hello world"}}), "gpt", 3 + 4},
		"result":                     {user(llm.Part{Kind: llm.PartResult, Result: &llm.Result{Parts: text("hello world")}}), "gpt", 2 + 4},
		"tool":                       {&llm.Request{Tools: []llm.Tool{{Name: "hello", Description: "hello world", Schema: schema}}}, "gpt", 3 + 5 + 8 + 346},
		"two tools share the prompt": {&llm.Request{Tools: []llm.Tool{{Name: "hello"}, {Name: "hello"}}}, "gpt", 2 + 2*8 + 346},
		"hosted tool":                {&llm.Request{Tools: []llm.Tool{{Kind: llm.ToolHosted, Name: "x", Raw: schema}}}, "gpt", 5 + 8 + 346},
		"small png":                  {user(llm.Part{Kind: llm.PartImage, Media: &llm.Media{Data: picture(t, 750, 10, false)}}), "gpt", 10 + 4},
		"jpeg, rounded up":           {user(llm.Part{Kind: llm.PartImage, Media: &llm.Media{Data: picture(t, 751, 10, true)}}), "gpt", 11 + 4},
		"large image":                {user(llm.Part{Kind: llm.PartImage, Media: &llm.Media{Data: picture(t, 4000, 3000, false)}}), "gpt", 1600 + 4},
		"image by url":               {user(llm.Part{Kind: llm.PartImage, Media: &llm.Media{URL: "https://example.com/a.png"}}), "gpt", 1500 + 4},
		"image of another kind":      {user(llm.Part{Kind: llm.PartImage, Media: &llm.Media{Data: "UklGRg=="}}), "gpt", 1500 + 4},
		"document":                   {user(llm.Part{Kind: llm.PartFile, Media: &llm.Media{Data: strings.Repeat("A", 4<<15)}}), "gpt", 2*1500 + 4},
		"document as text":           {user(llm.Part{Kind: llm.PartFile, Media: &llm.Media{Text: "hello world"}}), "gpt", 2 + 4},
		"image in a result":          {user(llm.Part{Kind: llm.PartResult, Result: &llm.Result{Parts: []llm.Part{{Kind: llm.PartImage, Media: &llm.Media{}}}}}), "gpt", 1500 + 4},
		"text that is not UTF-8":     {user(text("\xff\xfe")...), "gpt", 2 + 4},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := e.Count(tc.request, tc.family)
			if name == "text that is not UTF-8" {
				if got <= 4 || got > 20 {
					t.Errorf("got %d", got)
				}
				return
			}
			if got != tc.want {
				t.Errorf("got %d, want %d", got, tc.want)
			}
		})
	}
}

// Cutting long texts into chunks must not change the figure by more than a token for each cut.
func TestChunksAddUp(t *testing.T) {
	t.Parallel()
	e := tokens.New()
	line := "the quick brown fox über die Brücke 日本語 jumps\n"
	short := e.Count(user(text(line)...), "gpt") - 4
	const n = 2000
	got, want := e.Count(user(text(strings.Repeat(line, n))...), "gpt")-4, short*n
	if cuts := len(line) * n / (8 << 10); got < want-want/100 || got > want+want/100+2*cuts {
		t.Errorf("got %d, want about %d", got, want)
	}
}

func TestTextBeyondTheLimitIsExtrapolated(t *testing.T) {
	t.Parallel()
	e := tokens.New()
	half := strings.Repeat("hello world ", 1<<19/12)
	one := e.Count(user(text(half)...), "gpt") - 4
	parts := make([]llm.Part, 12)
	for i := range parts {
		parts[i].Text = half
	}
	if got := e.Count(user(parts...), "gpt") - 4; got < 119*one/10 || got > 121*one/10 {
		t.Errorf("got %d for twelve times %d", got, one)
	}
}

// White space takes the square of its length, so no chunk may have much of it, and no text may be lost between chunks.
func TestChunksAreBounded(t *testing.T) {
	t.Parallel()
	blanks := regexp.MustCompile(`[\s\x{3000}]{65}`)
	for name, s := range map[string]string{
		"one letter": "a", "blanks": " ", "line breaks": "\n ", "blanks before letters": strings.Repeat(" ", 70) + "x", "words": "word and word\n",
		"not UTF-8": "\xe6", "chinese": "日", "wide blanks": "\u3000", "text before blanks": strings.Repeat("x", 5000) + strings.Repeat(" ", 100),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			whole := strings.Repeat(s, 64<<10/len(s))
			for rest := whole; rest != ""; {
				n := tokens.Chunk(rest)
				if n <= 0 || n > 8<<10+utf8.UTFMax || blanks.MatchString(rest[:n]) {
					t.Fatalf("chunk of %d bytes: %.200q", n, rest[:max(n, 0)])
				}
				if utf8.ValidString(whole) && !utf8.ValidString(rest[:n]) {
					t.Fatalf("chunk ends inside a character: %q", rest[max(0, n-8):n])
				}
				rest = rest[n:]
			}
			if n := tokens.New().Count(user(text(whole)...), "gpt"); n < 5 {
				t.Errorf("got %d", n)
			}
		})
	}
}

func TestConcurrentCountsAgree(t *testing.T) {
	t.Parallel()
	e := tokens.New()
	r := user(text("hello world")...)
	var wg sync.WaitGroup
	got := make([]int, 8)
	for i := range got {
		wg.Go(func() { got[i] = e.Count(r, "gpt") })
	}
	wg.Wait()
	for _, n := range got {
		if n != 6 {
			t.Errorf("got %v", got)
		}
	}
}

func BenchmarkCount(b *testing.B) {
	source, err := os.ReadFile("tokens_test.go")
	if err != nil {
		b.Fatal(err)
	}
	r := &llm.Request{}
	size := 0
	for i := 0; size < 285<<10; i++ {
		s := fmt.Sprintf("file %d\n%s", i, source)
		r.Turns = append(r.Turns, llm.Turn{Parts: text(s)})
		size += len(s)
	}
	e := tokens.New()
	e.Count(&llm.Request{System: text("x")}, "gpt")
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for b.Loop() {
		e.Count(r, "gpt")
	}
}
