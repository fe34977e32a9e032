package sim_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"detour/internal/sim"
)

func TestCannedAnswers(t *testing.T) {
	t.Parallel()
	for _, record := range []int{0, -1} {
		r := start(t, sim.Options{Record: record, Scenario: &sim.Scenario{Canned: true}})
		for path, s := range surfaces {
			body := fmt.Sprintf(s.body, "hello")
			first, second := r.infer(path, body), r.infer(path, body)
			if first.status != 200 || first.body != second.body || !strings.Contains(first.body, s.terminal) || !strings.Contains(first.body, "benchmark") {
				t.Errorf("%s: %d %s", path, first.status, first.body)
			}
			if !strings.HasPrefix(first.header.Get("Content-Type"), "text/event-stream") || first.header.Get("X-Quota-Snapshot-Chat") == "" {
				t.Errorf("%s: headers %v", path, first.header)
			}
			plain := r.infer(path, strings.Replace(body, `"stream":true`, `"stream": false`, 1))
			if plain.status != 200 || plain.header.Get("Content-Length") != fmt.Sprint(len(plain.body)) {
				t.Errorf("%s plain: %d %v", path, plain.status, plain.header)
			}
			plain.json(t)
		}
		if g := r.infer("/chat/completions", `{"model":"gpt-5.4"}`); g.status != 400 || !strings.Contains(g.body, "unsupported_api_for_model") {
			t.Errorf("wrong surface: %d %s", g.status, g.body)
		}
		if g := r.send("POST", r.CopilotURL()+"/chat/completions", chatHello); g.status != 401 {
			t.Errorf("no token: %d", g.status)
		}
	}
}

func TestCannedStreamsArePaced(t *testing.T) {
	t.Parallel()
	r := start(t, sim.Options{Record: -1, Scenario: &sim.Scenario{Canned: true, Chunks: 4, ChunkDelay: 5 * time.Millisecond}})
	begin := time.Now()
	g := r.infer("/chat/completions", fmt.Sprintf(surfaces["/chat/completions"].body, "x"))
	if n := len(decoded(t, g.body)); time.Since(begin) < time.Duration(n-1)*5*time.Millisecond || n < 8 {
		t.Errorf("%d frames in %v", n, time.Since(begin))
	}
}

func TestPeekFindsMembersAnywhere(t *testing.T) {
	t.Parallel()
	r := start(t, sim.Options{Scenario: &sim.Scenario{Canned: true}})
	for _, body := range []string{
		`{"messages":[{"model":"no","stream":false,"content":"a \"model\": {["}],"n":1,"stream":true,"model":"gpt-4.1"}`,
		"{\n \"stream\" : true ,\n \"x\" : null, \"model\" : \"gpt-4.1\" }",
		`{"a":{"b":[1,{"model":"no"}]},"model":"gpt-4.1","c":-1.5e3,"stream":true}`,
		`{"x":"\"","model":"gpt-4.1","stream":true}`,
	} {
		if g := r.infer("/chat/completions", body); g.status != 200 || !strings.Contains(g.body, "[DONE]") {
			t.Errorf("%s: %d %s", body, g.status, g.body)
		}
	}
	for _, body := range []string{``, `{`, `[]`, `{"model"`, `{"model":`, `{"model":"`, `"x`, `{"a":{`} {
		if g := r.infer("/chat/completions", body); g.status != 400 {
			t.Errorf("%q: %d", body, g.status)
		}
	}
}

func BenchmarkChat(b *testing.B) {
	for _, bc := range []struct {
		name   string
		canned bool
		body   string
	}{
		{"canned", true, chatHello}, {"canned_stream", true, strings.Replace(chatHello, "{", `{"stream":true,`, 1)},
		{"rendered", false, chatHello}, {"rendered_stream", false, strings.Replace(chatHello, "{", `{"stream":true,`, 1)},
	} {
		b.Run(bc.name, func(b *testing.B) {
			r := start(b, sim.Options{Record: -1, Scenario: &sim.Scenario{Canned: bc.canned}})
			r.client.Transport.(*http.Transport).MaxIdleConnsPerHost = 64
			token := "Bearer " + r.token("alice")
			url := r.CopilotURL() + "/chat/completions"
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					req, err := http.NewRequest("POST", url, strings.NewReader(bc.body))
					if err != nil {
						b.Error(err)
						return
					}
					req.Header.Set("Authorization", token)
					resp, err := r.client.Do(req)
					if err != nil {
						b.Error(err)
						return
					}
					if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != 200 {
						b.Error(resp.StatusCode, err)
					}
					resp.Body.Close()
				}
			})
		})
	}
}
