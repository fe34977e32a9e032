package router_test

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"detour/providers"
	"detour/router"
)

func TestInvariant1_NothingIsRetriedAfterTheFirstByte(t *testing.T) {
	t.Parallel()
	run(t, func(t *testing.T, h2 bool) {
		var calls atomic.Int32
		w := newWorld(t, h2, func(rw http.ResponseWriter, r *http.Request) {
			calls.Add(1)
			stream(rw, chunk("half"))
			panic(http.ErrAbortHandler)
		}, withAccounts("a", "b"))
		got := text(t, w.post("/v1/chat/completions", helloStream))
		if n := calls.Load(); n != 1 {
			t.Errorf("upstream was called %d times, want 1", n)
		}
		if strings.Count(got, "half") != 1 || !strings.Contains(got, `"error"`) {
			t.Errorf("client got %q, want the first half once and an error event", got)
		}
	})
}

func TestInvariant1_FailoverBeforeTheFirstByte(t *testing.T) {
	t.Parallel()
	refused := &providers.Error{Kind: providers.KindLogin, Hint: "sign in again"}
	cases := []struct {
		name  string
		first http.HandlerFunc // what account a meets
		dead  bool
	}{
		{name: "5xx", first: func(rw http.ResponseWriter, _ *http.Request) { plain(rw, 502, "<html>bad</html>") }},
		{name: "reset before the headers", first: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }},
		{name: "error event as the first frame", first: func(rw http.ResponseWriter, _ *http.Request) {
			stream(rw, `data: {"error":{"message":"overloaded","code":"server_error"}}`+"\n\n")
		}},
		{name: "stream that ends before its first content", first: func(rw http.ResponseWriter, _ *http.Request) { stream(rw, ": hello\n\n") }},
		{name: "credential that cannot be had", dead: true},
		{name: "credential refused twice", first: func(rw http.ResponseWriter, _ *http.Request) { plain(rw, 401, "unauthorized: token expired") }},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			run(t, func(t *testing.T, h2 bool) {
				w := newWorld(t, h2, func(rw http.ResponseWriter, r *http.Request) {
					if r.Header.Get("X-Account") == "a" {
						tc.first(rw, r)
						return
					}
					stream(rw, chunk("whole"), finish)
				}, func(c *router.Config, f *fake) {
					if tc.dead {
						f.dead = map[string]error{"a": refused}
					}
					withAccounts("a", "b")(c, f)
				})
				resp := w.post("/v1/chat/completions", helloStream)
				if got := text(t, resp); resp.StatusCode != 200 || !strings.Contains(got, "whole") || strings.Contains(got, "error") {
					t.Errorf("got %d %q, want the second account's answer", resp.StatusCode, got)
				}
				if got := resp.Header.Get("X-Detour-Account"); got != "b" {
					t.Errorf("answered by %q, want b", got)
				}
			})
		})
	}
}

func TestInvariant2_TruncatedUpstreamNeverEndsClean(t *testing.T) {
	t.Parallel()
	responsesStart := "event: response.created\ndata: {\"type\":\"response.created\",\"sequence_number\":0,\"response\":{\"id\":\"r1\",\"object\":\"response\",\"status\":\"in_progress\",\"output\":[]}}\n\n" +
		"event: response.output_item.added\ndata: {\"type\":\"response.output_item.added\",\"sequence_number\":1,\"output_index\":0,\"item\":{\"type\":\"message\",\"id\":\"m1\",\"status\":\"in_progress\",\"role\":\"assistant\",\"content\":[]}}\n\n" +
		"event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"sequence_number\":2,\"output_index\":0,\"content_index\":0,\"item_id\":\"m1\",\"delta\":\"half\"}\n\n"
	messagesStart := "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"type\":\"message\",\"role\":\"assistant\",\"content\":[],\"model\":\"x\",\"usage\":{\"input_tokens\":1,\"output_tokens\":1}}}\n\n" +
		"event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n" +
		"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"half\"}}\n\n"
	for _, tc := range []struct {
		name, path, body, sent string
		wants, never           []string
	}{
		{"chat", "/v1/chat/completions", helloStream, chunk("half"), []string{`"error"`}, []string{`"finish_reason":"stop"`}},
		{"chat cut in a frame", "/v1/chat/completions", helloStream, chunk("half") + `data: {"id":"c1","choi`, []string{`"error"`}, []string{`"choi` + "\n"}},
		{"responses", "/v1/responses", `{"model":"gpt-x","stream":true,"input":"hi"}`, responsesStart, []string{"event: response.failed", `"status":"failed"`}, []string{"response.completed"}},
		{"messages", "/v1/messages", `{"model":"gpt-x","stream":true,"max_tokens":9,"messages":[{"role":"user","content":"hi"}]}`, messagesStart, []string{"event: error"}, []string{"message_stop"}},
	} {
		for _, cut := range []string{"reset", "clean end"} {
			t.Run(tc.name+"/"+cut, func(t *testing.T) {
				t.Parallel()
				run(t, func(t *testing.T, h2 bool) {
					w := newWorld(t, h2, func(rw http.ResponseWriter, _ *http.Request) {
						stream(rw, tc.sent)
						if cut == "reset" {
							panic(http.ErrAbortHandler)
						}
					})
					got := text(t, w.post(tc.path, tc.body))
					for _, s := range tc.wants {
						if !strings.Contains(got, s) {
							t.Errorf("no %s in %q", s, got)
						}
					}
					for _, s := range tc.never {
						if strings.Contains(got, s) {
							t.Errorf("%s in a stream that was cut: %q", s, got)
						}
					}
					if e := w.exchanges(); len(e) == 1 && e[0].Error != "incomplete" && e[0].Error != "network" {
						t.Errorf("recorded as %q", e[0].Error)
					}
				})
			})
		}
	}
}

func TestInvariant3_ClientGoneCancelsUpstreamAndPenalisesNobody(t *testing.T) {
	t.Parallel()
	run(t, func(t *testing.T, h2 bool) {
		gone := make(chan struct{})
		w := newWorld(t, h2, func(rw http.ResponseWriter, r *http.Request) {
			stream(rw, chunk("first"))
			<-r.Context().Done()
			close(gone)
		})
		ctx, cancel := context.WithCancel(t.Context())
		req, _ := http.NewRequestWithContext(ctx, http.MethodPost, w.door.URL+"/v1/chat/completions", strings.NewReader(helloStream))
		resp, err := w.door.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if _, err := bufio.NewReader(resp.Body).ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		cancel()
		select {
		case <-gone:
		case <-time.After(10 * time.Second):
			t.Fatal("the upstream request was not cancelled")
		}
		if s := w.router.Accounts()[0]; s.State != "ok" {
			t.Errorf("account is %s after a client left", s.State)
		}
	})
}

func TestInvariant4_EachFrameArrivesBeforeTheNextIsSent(t *testing.T) {
	t.Parallel()
	run(t, func(t *testing.T, h2 bool) {
		next := make(chan struct{})
		w := newWorld(t, h2, func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Content-Type", "text/event-stream")
			for _, p := range []string{chunk("one"), chunk("two"), finish} {
				_, _ = io.WriteString(rw, p)
				_ = http.NewResponseController(rw).Flush()
				select {
				case <-next: // the client has it
				case <-r.Context().Done():
					return
				}
			}
		})
		resp := w.post("/v1/chat/completions", helloStream)
		br := bufio.NewReader(resp.Body)
		for _, want := range []string{"one", "two", "stop"} {
			line, err := br.ReadString('\n')
			if err != nil || !strings.Contains(line, want) {
				t.Fatalf("got %q, %v; want %s", line, err, want)
			}
			_, _ = br.ReadString('\n')
			next <- struct{}{}
		}
	})
}

func TestInvariant5_UnmatchedRequestsAreRelayedByteForByte(t *testing.T) {
	t.Parallel()
	body := strings.Repeat("x\x00\xff", 5000)
	for _, tc := range []struct{ name, method, path, mode string }{
		{"a path that nobody serves", "PUT", "/v1/files/a%2Fb?q=1;2&&z=%zz", ""},
		{"an operation in passthrough mode", "POST", "/v1/chat/completions?beta=true", "passthrough"},
		{"an operation by another method", "DELETE", "/v1/chat/completions", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			run(t, func(t *testing.T, h2 bool) {
				w := newWorld(t, h2, func(rw http.ResponseWriter, r *http.Request) {
					got, _ := io.ReadAll(r.Body)
					if r.Method != tc.method || r.RequestURI != tc.path || string(got) != body {
						t.Errorf("origin saw %s %s and %d bytes, want %s %s and %d", r.Method, r.RequestURI, len(got), tc.method, tc.path, len(body))
					}
					if r.Header.Get("Authorization") != "Bearer the-clients-own" || r.Header.Get("X-Forwarded-For") != "10.9.8.7" || r.Header.Get("X-Route-Mode") != "" {
						t.Errorf("origin saw headers %v", r.Header)
					}
					if r.Header.Get("Accept-Encoding") != "br" {
						t.Errorf("Accept-Encoding became %q", r.Header.Get("Accept-Encoding"))
					}
					rw.Header().Set("Trailer", "X-Sum")
					rw.Header().Set("Content-Encoding", "br")
					rw.WriteHeader(418)
					_, _ = io.WriteString(rw, body)
					rw.Header().Set("X-Sum", "42")
				})
				headers := []string{"X-Test-Host", "api.openai.com", "X-Test-Real", "1", "Authorization", "Bearer the-clients-own", "X-Forwarded-For", "10.9.8.7", "Accept-Encoding", "br"}
				if tc.mode != "" {
					headers = append(headers, "X-Route-Mode", tc.mode)
				}
				resp := w.do(w.proxy, tc.method, tc.path, body, headers...)
				got := text(t, resp)
				if resp.StatusCode != 418 || got != body || resp.Trailer.Get("X-Sum") != "42" || resp.Header.Get("Content-Encoding") != "br" {
					t.Errorf("client got %d, %d bytes, trailer %v", resp.StatusCode, len(got), resp.Trailer)
				}
			})
		})
	}
}

func TestInvariant5_ACutRelayedAnswerIsCutForTheClient(t *testing.T) {
	t.Parallel()
	run(t, func(t *testing.T, h2 bool) {
		w := newWorld(t, h2, func(rw http.ResponseWriter, _ *http.Request) {
			stream(rw, "part")
			panic(http.ErrAbortHandler)
		})
		resp := w.do(w.proxy, "GET", "/files/1", "", "X-Test-Host", "api.openai.com", "X-Test-Real", "1")
		if b, err := io.ReadAll(resp.Body); err == nil {
			t.Errorf("client read %q to a clean end", b)
		}
	})
}

func TestInvariant6_ClientCredentialsStayWithTheClient(t *testing.T) {
	t.Parallel()
	run(t, func(t *testing.T, h2 bool) {
		w := newWorld(t, h2, func(rw http.ResponseWriter, r *http.Request) {
			var dump bytes.Buffer
			_ = r.Header.Write(&dump)
			if strings.Contains(dump.String(), "the-clients-own") {
				t.Errorf("the upstream got the client's credential:\n%s", dump.String())
			}
			if !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer "+ourToken) {
				t.Errorf("the upstream got %q", r.Header.Get("Authorization"))
			}
			plain(rw, 200, answer)
		})
		for _, s := range []string{"Authorization", "X-Api-Key", "Cookie"} {
			if resp := w.do(w.proxy, "POST", "/v1/chat/completions", hello, "X-Test-Host", "api.openai.com", s, "the-clients-own"); resp.StatusCode != 200 {
				t.Errorf("%s: status %d: %s", s, resp.StatusCode, text(t, resp))
			}
		}
	})
}

func TestInvariant8_NoSecretInLogsErrorsOrAnswers(t *testing.T) {
	t.Parallel()
	for _, status := range []int{200, 400, 401, 402, 403, 429, 500} {
		w := newWorld(t, false, func(rw http.ResponseWriter, _ *http.Request) { plain(rw, status, answer) })
		resp := w.post("/v1/chat/completions", hello, "Authorization", "Bearer client-marker-secret")
		var head bytes.Buffer
		_ = resp.Header.Write(&head)
		for where, s := range map[string]string{"answer": text(t, resp), "headers": head.String(), "logs": w.logs.String()} {
			if strings.Contains(s, "marker-secret") {
				t.Errorf("status %d: a credential is in the %s: %s", status, where, s)
			}
		}
	}
}

func TestInvariant9_SameRequestSameBytes(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var seen []string
	w := newWorld(t, false, func(rw http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		mu.Lock()
		seen = append(seen, string(b))
		mu.Unlock()
		plain(rw, 200, answer)
	}, func(c *router.Config, _ *fake) { c.Models.Alias = map[string]string{"fast": "gpt-x"} })
	for range 3 {
		text(t, w.post("/v1/chat/completions", `{"z":1,"model":"fast","messages":[{"role":"user","content":"hi"}],"a":{"y":1,"b":2}}`))
	}
	if seen[0] != seen[1] || seen[1] != seen[2] {
		t.Errorf("upstream bodies differ: %q", seen)
	}
}

func TestInvariant10_UnknownFieldsSurviveByteForByte(t *testing.T) {
	t.Parallel()
	run(t, func(t *testing.T, h2 bool) {
		odd := `{"model":"gpt-x", "messages" : [{"role":"user","content":"hi \u00e9 <>&","x_new":[1.0,1e3,{"b":1,"a":2}]}],"x_future":{"deep":[null,true,  12345678901234567890]}}`
		w := newWorld(t, h2, func(rw http.ResponseWriter, r *http.Request) {
			if b, _ := io.ReadAll(r.Body); string(b) != odd {
				t.Errorf("upstream got %s", b)
			}
			plain(rw, 200, strings.Replace(answer, `"id":"c1"`, `"id":"c1","x_future": {"b" : 1e3}`, 1))
		})
		if got := text(t, w.post("/v1/chat/completions", odd)); !strings.Contains(got, `"x_future": {"b" : 1e3}`) {
			t.Errorf("client got %s", got)
		}
	})
}

func TestInvariant1_InBandFailureInEveryDialectFailsOver(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, path, body, bad string }{
		{"responses", "/v1/responses", `{"model":"gpt-x","stream":true,"input":"hi"}`,
			"event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"id\":\"r\"}}\n\nevent: response.failed\ndata: {\"type\":\"response.failed\",\"response\":{\"id\":\"r\",\"status\":\"failed\",\"error\":{\"code\":\"server_error\",\"message\":\"boom\"}}}\n\n"},
		{"messages", "/v1/messages", `{"model":"gpt-x","stream":true,"max_tokens":9,"messages":[{"role":"user","content":"hi"}]}`,
			"event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"busy\"}}\n\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var accounts []string
			var mu sync.Mutex
			w := newWorld(t, false, func(rw http.ResponseWriter, r *http.Request) {
				mu.Lock()
				accounts = append(accounts, r.Header.Get("X-Account"))
				mu.Unlock()
				stream(rw, tc.bad)
			}, withAccounts("a", "b"), func(c *router.Config, _ *fake) { c.Retry.Connection = 1 })
			resp := w.post(tc.path, tc.body)
			if resp.StatusCode < 500 {
				t.Errorf("status %d, want the failure as a plain error: %s", resp.StatusCode, text(t, resp))
			}
			mu.Lock()
			defer mu.Unlock()
			if len(accounts) < 2 || accounts[0] == accounts[1] {
				t.Errorf("tried %v, want both accounts", accounts)
			}
		})
	}
}
