package all_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"detour/internal/dialect"
	"detour/internal/secret"
	"detour/internal/sim"
	"detour/providers"
	"detour/providers/all"
	"detour/providers/copilot"
	"detour/providers/keyed"
)

// Every service over real connections, in both HTTP versions: the key is verified, the models are listed, one of each is
// asked in its own dialect, a wrong key is the owner's to mend, and what the service refuses is classified.
func TestServicesInBothHTTPVersions(t *testing.T) {
	t.Parallel()
	s, err := sim.Start(sim.Options{TLS: true, HTTP2: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(s.CAPEM())
	for provider, service := range map[string]string{
		"openai": sim.ServiceOpenAI, "anthropic": sim.ServiceAnthropic, "zai": sim.ServiceZAI, "zhipuai-coding-plan": sim.ServiceZAI, "deepseek": sim.ServiceDeepSeek,
		"openrouter": sim.ServiceOpenRouter, "gemini": sim.ServiceGemini, "openai-compatible": sim.ServiceLocal,
	} {
		for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
			t.Run(provider+" "+proto, func(t *testing.T) {
				t.Parallel()
				p := new(http.Protocols)
				p.SetHTTP1(proto == "HTTP/1.1")
				p.SetHTTP2(proto == "HTTP/2.0")
				transport := &http.Transport{Protocols: p, TLSClientConfig: &tls.Config{RootCAs: roots}}
				t.Cleanup(transport.CloseIdleConnections)
				upstream := all.Registry(copilot.New(copilot.Options{}), keyed.Options{Transport: transport})[provider].(*keyed.Provider)
				open := func(key string) *providers.Account {
					a, err := upstream.Open(providers.AccountConfig{ID: "a", Secret: secret.New(key), BaseURL: s.ServiceURL(service)})
					if err != nil {
						t.Fatal(err)
					}
					t.Cleanup(a.Close)
					return a
				}
				good := open(s.Account(service).Token())
				if err := upstream.Verify(t.Context(), good); err != nil {
					t.Errorf("verify: %v", err)
				}
				wrong := open("wrong-" + sim.Marker)
				err := upstream.Verify(t.Context(), wrong)
				if e := providers.AsError(err); err == nil || e.Kind != providers.KindLogin || strings.Contains(fmt.Sprint(e, e.Hint), sim.Marker) || !strings.Contains(e.Hint, "detour login --provider "+provider) {
					t.Errorf("verify a wrong key: %v, hint %q", err, e.Hint)
				}
				models, err := upstream.Models(t.Context(), good)
				if err != nil || len(models) == 0 {
					t.Fatalf("models: %v, %v", models, err)
				}
				send := func(m providers.Model, e dialect.Endpoint, stream bool) (*http.Response, error) {
					body := fmt.Sprintf(`{"model":%q,"stream":%t,"max_tokens":50,"messages":[{"role":"user","content":"hi"}]}`, m.ID, stream)
					switch e {
					case dialect.EndpointResponses:
						body = fmt.Sprintf(`{"model":%q,"stream":%t,"input":"hi"}`, m.ID, stream)
					case dialect.EndpointEmbeddings:
						body = fmt.Sprintf(`{"model":%q,"input":["hi"]}`, m.ID)
					case dialect.EndpointCountTokens:
						body = strings.Replace(body, `"max_tokens":50,`, ``, 1)
					}
					req, err := upstream.NewRequest(t.Context(), good, &providers.Call{Endpoint: e, Model: m, Body: []byte(body), Header: http.Header{}, Stream: stream})
					if err != nil {
						t.Fatal(err)
					}
					resp, err := transport.RoundTrip(req)
					if err != nil {
						t.Fatal(err)
					}
					return resp, upstream.Check(resp)
				}
				for _, m := range models {
					for _, e := range upstream.Dialects(m) {
						for _, stream := range []bool{false, true} {
							if stream && (e == dialect.EndpointEmbeddings || e == dialect.EndpointCountTokens) {
								continue
							}
							resp, err := send(m, e, stream)
							b, _ := io.ReadAll(resp.Body)
							resp.Body.Close()
							if err != nil || resp.Proto != proto || len(b) == 0 || stream != strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") {
								t.Errorf("%s on %s, stream %t: %v, %s %s", m.ID, e, stream, err, resp.Proto, b)
							}
						}
					}
				}
				resp, err := send(providers.Model{ID: "no-such-model"}, upstream.Dialects(models[0])[0], false)
				resp.Body.Close()
				if e := providers.AsError(err); err == nil || e.Kind != providers.KindModel {
					t.Errorf("a model that is not there: %v", err)
				}
			})
		}
	}
}
