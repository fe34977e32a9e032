package router_test

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"

	"detour/internal/dialect"
	"detour/providers"
	"detour/router"
)

// packers write each content encoding.
func packers() map[string]func(string) string {
	pack := func(open func(io.Writer) io.WriteCloser) func(string) string {
		return func(s string) string {
			var b bytes.Buffer
			z := open(&b)
			_, _ = io.WriteString(z, s)
			_ = z.Close()
			return b.String()
		}
	}
	return map[string]func(string) string{
		"zstd": pack(func(w io.Writer) io.WriteCloser {
			z, _ := zstd.NewWriter(w)
			return z
		}),
		"gzip":    pack(func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) }),
		"deflate": pack(func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) }),
		"raw deflate": pack(func(w io.Writer) io.WriteCloser {
			z, _ := flate.NewWriter(w, 6)
			return z
		}),
	}
}

func TestCompressedBodies(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false, func(rw http.ResponseWriter, _ *http.Request) { plain(rw, 200, answer) }, func(c *router.Config, _ *fake) { c.BodyLimit = 100_000 })
	pack := packers()
	bomb := strings.Repeat(" ", 50<<20)
	for _, tc := range []struct {
		name, body, encoding string
		status               int
	}{
		{"none", hello, "identity", 200},
		{"gzip", pack["gzip"](hello), "gzip", 200},
		{"gzip by its old name", pack["gzip"](hello), "X-GZip", 200},
		{"zstd", pack["zstd"](hello), "zstd", 200},
		{"deflate", pack["deflate"](hello), "deflate", 200},
		{"deflate without its wrapper", pack["raw deflate"](hello), "deflate", 200},
		{"two", pack["zstd"](pack["gzip"](hello)), "gzip, zstd", 200},
		{"several zstd frames", pack["zstd"](hello[:9]) + pack["zstd"](hello[9:]), "zstd", 200},
		{"not gzip", hello, "gzip", 400},
		{"not zstd", hello, "zstd", 400},
		{"not deflate", "\x00\x01\x02" + hello, "deflate", 400},
		{"cut off gzip", cutOff(pack["gzip"](hello)), "gzip", 400},
		{"cut off zstd", cutOff(pack["zstd"](hello)), "zstd", 400},
		{"cut off deflate", cutOff(pack["deflate"](hello)), "deflate", 400},
		{"empty zstd", "", "zstd", 400},
		{"empty gzip", "", "gzip", 400},
		{"changed zstd", flipped(pack["zstd"](hello)), "zstd", 400},
		{"a bomb", pack["gzip"](bomb), "gzip", 413},
		{"a zstd bomb", pack["zstd"](bomb), "zstd", 413},
		{"a deflate bomb", pack["deflate"](bomb), "deflate", 413},
		{"a bomb in a bomb", pack["gzip"](pack["gzip"](bomb)), "gzip, gzip", 413},
		{"unknown", hello, "snappy", 415},
		{"one of two unknown", pack["gzip"](hello), "br, gzip", 415},
		{"too many", pack["gzip"](pack["gzip"](pack["gzip"](hello))), "gzip, gzip, gzip", 415},
	} {
		resp := w.post("/v1/chat/completions", tc.body, "Content-Encoding", tc.encoding)
		if got := text(t, resp); resp.StatusCode != tc.status || tc.status != 200 && !strings.Contains(got, `"error"`) {
			t.Errorf("%s: status %d, want %d: %s", tc.name, resp.StatusCode, tc.status, got)
		}
		if accept := resp.Header.Get("Accept-Encoding"); (tc.status == 415) != (accept == "zstd, gzip, deflate") {
			t.Errorf("%s: status %d with Accept-Encoding %q", tc.name, resp.StatusCode, accept)
		}
	}
	if resp := w.post("/v1/chat/completions", windowed(64<<20), "Content-Encoding", "zstd"); resp.StatusCode != 400 {
		t.Errorf("a frame that asks for 64 MiB of memory: status %d", resp.StatusCode)
	}
}

func cutOff(s string) string { return s[:len(s)-5] }

// flipped changes a byte in the middle.
func flipped(s string) string {
	b := []byte(s)
	b[len(b)/2] ^= 0xff
	return string(b)
}

// windowed is a zstd frame whose head asks for a window of n bytes, a power of two.
func windowed(n int) string {
	exponent := 0
	for 1<<(10+exponent) < n {
		exponent++
	}
	return "\x28\xb5\x2f\xfd\x00" + string([]byte{byte(exponent << 3)}) + "\x01\x00\x00"
}

func TestCompressedBodiesOnEveryOperationOfBothDoors(t *testing.T) {
	t.Parallel()
	run(t, func(t *testing.T, h2 bool) {
		seen := make(chan *http.Request, 1)
		bodies := make(chan string, 1)
		w := newWorld(t, h2, func(rw http.ResponseWriter, r *http.Request) {
			b, _ := io.ReadAll(r.Body)
			seen <- r
			bodies <- string(b)
			plain(rw, 200, answer)
		}, func(_ *router.Config, f *fake) {
			f.models = append(f.models, providers.Model{ID: "gpt-r", Endpoints: []dialect.Endpoint{dialect.EndpointResponses}})
		})
		for _, tc := range []struct{ host, path, body string }{
			{"api.openai.com", "/v1/chat/completions", hello},
			{"api.openai.com", "/v1/responses", `{"model":"gpt-x","input":"hi"}`},
			{"api.openai.com", "/v1/embeddings", `{"model":"embed","input":["hi"]}`},
			{"api.anthropic.com", "/v1/messages", `{"model":"gpt-x","max_tokens":1,"messages":[{"role":"user","content":"hi"}]}`},
			{"api.anthropic.com", "/v1/messages/count_tokens", `{"model":"gpt-x","messages":[{"role":"user","content":"hi"}]}`},
			{"api.githubcopilot.com", "/responses", `{"model":"gpt-r","input":"hi"}`},
		} {
			for name, pack := range packers() {
				if name == "raw deflate" {
					continue
				}
				for _, door := range []string{"api", "proxy"} {
					s, headers := w.door, []string{"Content-Encoding", name}
					if door == "proxy" {
						s, headers = w.proxy, append(headers, "X-Test-Host", tc.host)
					}
					resp := w.do(s, http.MethodPost, tc.path, pack(tc.body), headers...)
					if got := text(t, resp); resp.StatusCode != 200 {
						t.Fatalf("%s %s through the %s door: %d %s", name, tc.path, door, resp.StatusCode, got)
					}
					if r, body := <-seen, <-bodies; body != tc.body || r.Header.Get("Content-Encoding") != "" {
						t.Errorf("%s %s: the upstream got %q, Content-Encoding %q", name, tc.path, body, r.Header.Get("Content-Encoding"))
					}
				}
			}
		}
	})
}

func TestRelayedBodiesStayCompressed(t *testing.T) {
	t.Parallel()
	run(t, func(t *testing.T, h2 bool) {
		type got struct{ body, encoding string }
		seen := make(chan got, 1)
		w := newWorld(t, h2, func(rw http.ResponseWriter, r *http.Request) {
			b, _ := io.ReadAll(r.Body)
			seen <- got{string(b), r.Header.Get("Content-Encoding")}
			plain(rw, 200, answer)
		})
		packed := packers()["zstd"](hello)
		for _, tc := range []struct{ path, mode, encoding string }{
			{"/v1/chat/completions", "passthrough", "zstd"},
			{"/v1/files", "", "zstd"},
			{"/v1/chat/completions", "passthrough", "snappy"}, // none of our business
		} {
			resp := w.do(w.proxy, http.MethodPost, tc.path, packed, "X-Test-Host", "api.openai.com", "X-Test-Real", "1", "Content-Encoding", tc.encoding, "X-Route-Mode", tc.mode)
			if resp.StatusCode != 200 {
				t.Fatalf("%s: %d %s", tc.path, resp.StatusCode, text(t, resp))
			}
			if g := <-seen; g.body != packed || g.encoding != tc.encoding {
				t.Errorf("%s: the host got %q as %q", tc.path, g.body, g.encoding)
			}
		}
	})
}

// A rule that names a model needs to look into bodies; those that cannot be read go where the other rules send them.
func TestBodiesThatCannotBeDecodedAreStillRelayed(t *testing.T) {
	t.Parallel()
	type got struct{ body, encoding string }
	seen := make(chan got, 1)
	w := newWorld(t, false, func(rw http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		seen <- got{string(b), r.Header.Get("Content-Encoding")}
		plain(rw, 200, answer)
	}, func(c *router.Config, _ *fake) {
		c.Rules = []router.Rule{{Model: "gpt-x", Mode: router.ModeRoute}}
		c.ProxyMode = router.ModePassthrough
	})
	pack := packers()
	for _, tc := range []struct{ name, body, encoding string }{
		{"unknown", "\x01\x02\x03", "br"},
		{"not zstd", strings.Repeat("x", 5000), "zstd"},
		{"cut off", cutOff(pack["gzip"](strings.ReplaceAll(hello, "gpt-x", "other"))), "gzip"},
		{"another model", pack["zstd"](strings.ReplaceAll(hello, "gpt-x", "other")), "zstd"},
	} {
		resp := w.do(w.proxy, http.MethodPost, "/v1/chat/completions", tc.body, "X-Test-Host", "api.openai.com", "X-Test-Real", "1", "Content-Encoding", tc.encoding)
		if resp.StatusCode != 200 {
			t.Errorf("%s: %d %s", tc.name, resp.StatusCode, text(t, resp))
			continue
		}
		if g := <-seen; g.body != tc.body || g.encoding != tc.encoding {
			t.Errorf("%s: the host got %q as %q", tc.name, g.body, g.encoding)
		}
	}
}
