package router_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"detour/providers"
	"detour/router"
)

// dialTLS opens a bare HTTP/1.1 connection to a test server.
func dialTLS(t *testing.T, addr net.Addr) *tls.Conn {
	t.Helper()
	conn, err := tls.Dial("tcp", addr.String(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}}) //nolint:gosec // the test server's own certificate
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func TestAnAccountThatGoesAwayIsNoEmptyAnswer(t *testing.T) {
	t.Parallel()
	run(t, func(t *testing.T, h2 bool) {
		asked, account := make(chan struct{}), (*providers.Account)(nil)
		w := newWorld(t, h2, nil, func(c *router.Config, _ *fake) {
			account = providers.NewAccount(providers.AccountConfig{ID: "a", Provider: "fake"}, func(ctx context.Context) (providers.Lease, error) {
				close(asked)
				<-ctx.Done() // a slow exchange
				return providers.Lease{}, ctx.Err()
			})
			c.Accounts = []*providers.Account{account}
		})
		go func() { // ends with the exchange
			<-asked
			account.Close() // as a reload does with accounts that are no longer configured
		}()
		resp := w.post("/v1/chat/completions", hello)
		if got := text(t, resp); resp.StatusCode != http.StatusServiceUnavailable || !strings.Contains(got, "error") {
			t.Errorf("got %d %q, want 503 and a reason", resp.StatusCode, got)
		}
	})
}

// A client may end its sending side and still read. net/http takes that for a client that left, so the upstream is
// cancelled; what has been sent by then must not look like the whole.
func TestAClientThatEndsItsSideFirstGetsNoCleanEnd(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, head, host string }{
		{"relayed, streaming", "GET /slow HTTP/1.1", "api.openai.com"},
		{"served, streaming", "POST /v1/chat/completions HTTP/1.1", ""},
		{"relayed, before the answer", "GET /never HTTP/1.1", "api.openai.com"},
		{"served, before the answer", "POST /v1/chat/completions HTTP/1.1", "never"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			early := strings.HasSuffix(tc.name, "before the answer")
			begun := make(chan struct{}, 8)
			w := newWorld(t, false, func(rw http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				if !early {
					stream(rw, chunk("first"))
				}
				begun <- struct{}{}
				<-r.Context().Done()
			})
			addr, extra := w.proxy.Listener.Addr(), "X-Test-Host: api.openai.com\r\nX-Test-Real: 1\r\n"
			body := ""
			if strings.HasPrefix(tc.head, "POST") {
				addr, extra, body = w.door.Listener.Addr(), "", helloStream
			}
			conn := dialTLS(t, addr)
			_, _ = fmt.Fprintf(conn, "%s\r\nHost: 127.0.0.1\r\n%sContent-Length: %d\r\n\r\n%s", tc.head, extra, len(body), body)
			<-begun
			if err := conn.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			got, _ := io.ReadAll(conn)
			resp, err := http.ReadResponse(bufio.NewReader(strings.NewReader(string(got))), nil)
			if err != nil {
				return // nothing at all: honest
			}
			defer resp.Body.Close()
			if b, err := io.ReadAll(resp.Body); err == nil {
				t.Errorf("a whole answer of status %d: %q", resp.StatusCode, b)
			}
		})
	}
}

// obliging ends its answer properly as soon as it is told that nobody waits for the rest.
type obliging struct{ begun chan<- struct{} }

func (o obliging) RoundTrip(r *http.Request) (*http.Response, error) {
	body, w := io.Pipe()
	go func() { // ends with the request
		_, _ = io.WriteString(w, "first")
		o.begun <- struct{}{}
		<-r.Context().Done()
		_ = w.Close()
	}()
	return &http.Response{StatusCode: http.StatusOK, ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{"Content-Type": {"text/plain"}}, TransferEncoding: []string{"chunked"}, ContentLength: -1, Body: body, Request: r}, nil
}

func TestAHostThatEndsItsAnswerBecauseTheClientLeftHasNotEndedIt(t *testing.T) {
	t.Parallel()
	begun := make(chan struct{}, 1)
	w := newWorld(t, false, nil, func(c *router.Config, _ *fake) { c.Relay1 = obliging{begun} })
	conn := dialTLS(t, w.proxy.Listener.Addr())
	_, _ = io.WriteString(conn, "GET /slow HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Test-Host: api.openai.com\r\n\r\n")
	<-begun
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if b, err := io.ReadAll(resp.Body); err == nil {
		t.Errorf("a whole answer: %q", b)
	}
}

func TestEarlyHintsPassOneByOneAndWithoutHopHeaders(t *testing.T) {
	t.Parallel()
	run(t, func(t *testing.T, h2 bool) {
		w := newWorld(t, h2, func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Link", "</a.css>; rel=preload")
			if r.ProtoMajor == 1 {
				rw.Header().Set("Connection", "X-Hop")
				rw.Header().Set("X-Hop", "1")
			}
			rw.WriteHeader(http.StatusEarlyHints)
			rw.Header().Del("Link")
			plain(rw, 200, "{}")
		})
		var hints []textproto.MIMEHeader
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
			hints = append(hints, h)
			return nil
		}})
		req, _ := http.NewRequestWithContext(ctx, "GET", w.proxy.URL+"/page", nil)
		req.Header.Set("X-Test-Host", "api.openai.com")
		req.Header.Set("X-Test-Real", "1")
		resp, err := w.proxy.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if len(hints) != 1 || hints[0].Get("Link") == "" || hints[0].Get("X-Hop") != "" || resp.Header.Get("Link") != "" {
			t.Errorf("hints %v, then %v", hints, resp.Header)
		}
	})
}

// Hints arrive on a goroutine of the transport, which knows nothing of a client that leaves meanwhile.
func TestEarlyHintsWhileTheClientLeaves(t *testing.T) {
	t.Parallel()
	run(t, func(t *testing.T, h2 bool) {
		w := newWorld(t, h2, func(rw http.ResponseWriter, r *http.Request) {
			for i := 0; r.Context().Err() == nil; i++ {
				rw.Header().Set("Link", fmt.Sprint("</", i, ">; rel=preload"))
				rw.WriteHeader(http.StatusEarlyHints)
			}
		})
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				ctx, leave := context.WithCancel(t.Context())
				defer leave()
				n := 0
				ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{Got1xxResponse: func(int, textproto.MIMEHeader) error {
					if n++; n == 5 {
						leave()
					}
					return nil
				}})
				req, _ := http.NewRequestWithContext(ctx, "GET", w.proxy.URL+"/page", nil)
				req.Header.Set("X-Test-Host", "api.openai.com")
				req.Header.Set("X-Test-Real", "1")
				if resp, err := w.proxy.Client().Do(req); err == nil {
					resp.Body.Close()
				}
			})
		}
		wg.Wait()
	})
}

// slowLister lists no models until it is told to stop.
type slowLister struct {
	*fake
	asked chan struct{}
}

func (s slowLister) Models(ctx context.Context, _ *providers.Account) ([]providers.Model, error) {
	close(s.asked)
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestCloseDoesNotWaitForAListingThatHangs(t *testing.T) {
	t.Parallel()
	slow := slowLister{asked: make(chan struct{})}
	w := newWorld(t, false, nil, func(c *router.Config, f *fake) {
		slow.fake = f
		c.Providers = providers.NewRegistry(slow)
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go w.router.Warm(ctx)
	<-slow.asked
	closed := make(chan struct{})
	go func() { defer close(closed); w.router.Close() }()
	select {
	case <-closed:
	case <-time.After(5 * time.Second):
		t.Error("close waits for the upstream")
		<-closed
	}
}

func TestALongModelNameIsNotRepeatedInFull(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false, nil)
	name := strings.Repeat("m", 1<<20)
	resp := w.post("/v1/chat/completions", strings.Replace(hello, "gpt-x", name, 1))
	got := text(t, resp)
	if resp.StatusCode != 404 || len(got) > 4096 {
		t.Errorf("status %d, %d bytes", resp.StatusCode, len(got))
	}
	if n := len(w.logs.String()); n > 8192 {
		t.Errorf("%d bytes of log", n)
	}
}

func TestARelayedStreamShowsItsHeadersAtOnce(t *testing.T) {
	t.Parallel()
	run(t, func(t *testing.T, h2 bool) {
		release := make(chan struct{})
		w := newWorld(t, h2, func(rw http.ResponseWriter, _ *http.Request) {
			stream(rw, "") // the head alone
			<-release
			stream(rw, "late")
		})
		timer := time.AfterFunc(10*time.Second, func() { t.Error("no head"); close(release) })
		resp := w.do(w.proxy, "GET", "/events", "", "X-Test-Host", "api.openai.com", "X-Test-Real", "1")
		if timer.Stop() {
			close(release)
		}
		if got := text(t, resp); got != "late" {
			t.Errorf("got %q", got)
		}
	})
}

func TestAnUpstreamsCORSHeadersDoNotOpenTheDoor(t *testing.T) {
	t.Parallel()
	for _, body := range []string{hello, helloStream} {
		w := newWorld(t, false, func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Access-Control-Allow-Origin", "*")
			rw.Header().Set("Access-Control-Allow-Credentials", "true")
			if body == hello {
				plain(rw, 200, answer)
			} else {
				stream(rw, chunk("x"), finish)
			}
		})
		resp := w.post("/v1/chat/completions", body)
		for k := range resp.Header {
			if strings.HasPrefix(k, "Access-Control-") {
				t.Errorf("%s: %v", k, resp.Header[k])
			}
		}
	}
}

// Asking again for an answer that is too large costs the owner the same again and cannot end better.
func TestAnAnswerOverTheLimitIsAskedForOnce(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	w := newWorld(t, false, func(rw http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		stream(rw, chunk(strings.Repeat("x", 5000)), finish)
	}, withAccounts("a", "b"), func(c *router.Config, _ *fake) { c.EventLimit = 1000 })
	resp := w.post("/v1/chat/completions", helloStream)
	if got := text(t, resp); resp.StatusCode != http.StatusBadGateway || calls.Load() != 1 {
		t.Errorf("status %d after %d calls: %s", resp.StatusCode, calls.Load(), got)
	}
}

// What an upstream began to answer, it may charge for: another account may try, but the same one is not asked again
// and again.
func TestABrokenAnswerIsNotAskedForAgainAndAgain(t *testing.T) {
	t.Parallel()
	for name, upstream := range map[string]http.HandlerFunc{
		"cut": func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Length", "1000")
			plain(rw, 200, answer)
			_ = http.NewResponseController(rw).Flush()
			panic(http.ErrAbortHandler)
		},
		"not JSON":       func(rw http.ResponseWriter, _ *http.Request) { plain(rw, 200, "what") },
		"in-band":        func(rw http.ResponseWriter, _ *http.Request) { stream(rw, `data: {"error":{"message":"no"}}`+"\n\n") },
		"nothing at all": func(rw http.ResponseWriter, _ *http.Request) { stream(rw, "") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var calls atomic.Int32
			w := newWorld(t, false, func(rw http.ResponseWriter, r *http.Request) {
				calls.Add(1)
				upstream(rw, r)
			}, withAccounts("a", "b"))
			if resp := w.post("/v1/chat/completions", helloStream); resp.StatusCode < 500 || calls.Load() != 2 {
				t.Errorf("status %d after %d calls, want each account asked once", resp.StatusCode, calls.Load())
			}
		})
	}
}

func TestTrailersThatWereNotAnnouncedPass(t *testing.T) {
	t.Parallel()
	run(t, func(t *testing.T, h2 bool) {
		w := newWorld(t, h2, func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Trailer", "X-Said")
			stream(rw, "body")
			rw.Header().Set("X-Said", "1")
			rw.Header().Set(http.TrailerPrefix+"X-Unsaid", "2")
		})
		resp := w.do(w.proxy, "GET", "/t", "", "X-Test-Host", "api.openai.com", "X-Test-Real", "1")
		if got := text(t, resp); got != "body" || resp.Trailer.Get("X-Said") != "1" || resp.Trailer.Get("X-Unsaid") != "2" {
			t.Errorf("got %q, trailers %v", got, resp.Trailer)
		}
	})
}

// An upstream that marks the end of its answer by closing tells nobody whether that was all. The same must hold for
// what the client gets.
func TestAnAnswerThatEndsByClosingStaysOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false, func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Transfer-Encoding", "identity")
		_, _ = io.WriteString(rw, "perhaps all")
	})
	conn := dialTLS(t, w.proxy.Listener.Addr())
	_, _ = io.WriteString(conn, "GET /c HTTP/1.1\r\nHost: x\r\nX-Test-Host: api.openai.com\r\nX-Test-Real: 1\r\n\r\n")
	got, err := io.ReadAll(conn)
	if err != nil || strings.Contains(strings.ToLower(string(got)), "chunked") || !strings.HasSuffix(string(got), "\r\n\r\nperhaps all") {
		t.Errorf("got %q, %v", got, err)
	}
}

// panicky is a provider with a bug.
type panicky struct{ *fake }

func (panicky) Check(*http.Response) error { panic("a bug") }

func TestAPanicGivesTheAccountBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false, func(rw http.ResponseWriter, _ *http.Request) { plain(rw, 200, answer) }, func(c *router.Config, f *fake) {
		c.Providers = providers.NewRegistry(panicky{f})
	})
	req, _ := http.NewRequestWithContext(t.Context(), "POST", w.door.URL+"/v1/chat/completions", strings.NewReader(hello))
	if resp, err := w.door.Client().Do(req); err == nil {
		resp.Body.Close()
		t.Errorf("status %d", resp.StatusCode)
	}
	if s := w.router.Accounts()[0]; s.Active != 0 {
		t.Errorf("account %+v", s)
	}
}

// A client decides how much reasoning of other accounts a request carries: taking it out must not take the square of it.
func TestReasoningOfOthersIsTakenOutInOneGo(t *testing.T) {
	t.Parallel()
	const done = `{"id":"r","object":"response","status":"completed","output":[]}`
	var got string
	w := newWorld(t, false, func(rw http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got = string(b)
		plain(rw, 200, done)
	})
	foreign := `{"type":"reasoning","id":"x","summary":[],"encrypted_content":"dtr1.r.AAAA"}`
	many := strings.Repeat(foreign+",", 100_000)
	for _, tc := range []struct{ input, want string }{
		{`[` + foreign + `]`, `[]`},
		{`[ {"type":"message","role":"user","content":"a"} , ` + foreign + ` ]`, `[{"type":"message","role":"user","content":"a"}]`},
		{`[` + many + `{"role":"user","content":"b"},` + many + foreign + `]`, `[{"role":"user","content":"b"}]`},
		{`[ {"role":"user","content":"c"} ]`, `[ {"role":"user","content":"c"} ]`},
	} {
		resp := w.post("/v1/responses", `{"model":"gpt-x", "input":`+tc.input+`,"z":1}`)
		if resp.StatusCode != 200 || got != `{"model":"gpt-x", "input":`+tc.want+`,"z":1}` {
			t.Errorf("status %d, upstream got %.300s, want input %s", resp.StatusCode, got, tc.want)
		}
	}
	if resp := w.post("/v1/responses", `{"model":"gpt-x","input":[{"type":"compaction","encrypted_content":"dtr1.r.AAAA"}]}`); resp.StatusCode != 400 {
		t.Errorf("a compaction of others: status %d, want 400", resp.StatusCode)
	}
}

// deadlines notes the read deadlines that a handler sets.
type deadlines struct {
	*httptest.ResponseRecorder
	set []time.Time
}

func (d *deadlines) SetReadDeadline(t time.Time) error {
	d.set = append(d.set, t)
	return nil
}

func TestReadingABodyIsBoundedInTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false, func(rw http.ResponseWriter, _ *http.Request) { plain(rw, 200, answer) })
	rec := &deadlines{ResponseRecorder: httptest.NewRecorder()}
	w.router.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), "POST", "/v1/chat/completions", strings.NewReader(hello)))
	if rec.Code != 200 || len(rec.set) != 2 || rec.set[0].IsZero() || !rec.set[1].IsZero() {
		t.Errorf("status %d, deadlines %v, want one that is lifted again", rec.Code, rec.set)
	}
}
