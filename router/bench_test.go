package router_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"detour/internal/dialect"
	"detour/providers"
	"detour/router"
)

// instant is an upstream that answers at once, in this process.
type instant struct{ contentType, body string }

func (i instant) RoundTrip(r *http.Request) (*http.Response, error) {
	_, _ = io.Copy(io.Discard, r.Body)
	return &http.Response{
		StatusCode: 200, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Header: http.Header{"Content-Type": {i.contentType}}, Body: io.NopCloser(strings.NewReader(i.body)), ContentLength: int64(len(i.body)),
	}, nil
}

// discard is a client that reads everything at once.
type discard struct{ h http.Header }

func (d *discard) Header() http.Header         { return d.h }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) WriteHeader(int)             {}
func (d *discard) Flush()                      {}

// BenchmarkServe is what the router itself costs for one request whose model speaks the client's dialect.
func BenchmarkServe(b *testing.B) {
	for name, up := range map[string]instant{
		"whole":    {"application/json", answer},
		"streamed": {"text/event-stream", strings.Repeat(chunk("hello "), 20) + finish},
	} {
		b.Run(name, func(b *testing.B) {
			f := &fake{base: "https://upstream.invalid", models: []providers.Model{{ID: "gpt-x", Endpoints: []dialect.Endpoint{dialect.EndpointChat}}}}
			cfg := router.Config{Providers: providers.NewRegistry(f), Upstream: up, Relay1: up, Relay2: up, CarrierKey: []byte("k"), Logger: slog.New(slog.DiscardHandler)}
			withAccounts("a", "b", "c")(&cfg, f)
			r, err := router.New(cfg)
			if err != nil {
				b.Fatal(err)
			}
			defer r.Close()
			r.Warm(b.Context())
			body := hello
			if name == "streamed" {
				body = helloStream
			}
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					req := httptest.NewRequest(http.MethodPost, "/v1/chat/completions", strings.NewReader(body))
					r.ServeHTTP(&discard{http.Header{}}, req)
				}
			})
		})
	}
}
