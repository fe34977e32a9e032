package mitm_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"detour/mitm"
)

func TestExpectContinue(t *testing.T) {
	t.Parallel()
	run(t, func(t *testing.T, v version) {
		r := newRig(t, func(p *mitm.Proxy) { p.Handler = http.HandlerFunc(copyBody) })
		req, _ := http.NewRequest("POST", "https://"+host+"/", strings.NewReader("body"))
		req.Header.Set("Expect", "100-continue") // the client sends the body after 100, or after its patience
		resp, err := r.client(t, v).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if got := readAll(t, resp.Body); got != "body" {
			t.Errorf("got %q", got)
		}
	})
}

// copyBody reads all before it writes: over HTTP/1.1 net/http takes the first bytes of an answer for the end of reading.
func copyBody(w http.ResponseWriter, r *http.Request) {
	if b, err := io.ReadAll(r.Body); err == nil {
		_, _ = w.Write(b)
	}
}

func TestTrailersBothWays(t *testing.T) {
	t.Parallel()
	run(t, func(t *testing.T, v version) {
		r := newRig(t, func(p *mitm.Proxy) {
			p.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Trailer", "X-Sum")
				copyBody(w, r)
				w.Header().Set("X-Sum", "of "+r.Trailer.Get("X-Sum"))
			})
		})
		req, _ := http.NewRequest("POST", "https://"+host+"/", io.MultiReader(strings.NewReader("body")))
		req.Trailer = http.Header{"X-Sum": {"17"}}
		resp, err := r.client(t, v).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if got := readAll(t, resp.Body); got != "body" || resp.Trailer.Get("X-Sum") != "of 17" {
			t.Errorf("got %q, trailer %v", got, resp.Trailer)
		}
	})
}

// An event is in the client's hands before the handler writes the next one.
func TestInvariant4_EventReachesClientBeforeTheNextIsWritten(t *testing.T) {
	t.Parallel()
	run(t, func(t *testing.T, v version) {
		next := make(chan struct{})
		r := newRig(t, func(p *mitm.Proxy) { p.Handler = eventStream(next) })
		checkEvents(t, r.client(t, v), "https://"+host+"/", next)
	})
}

// eventStream writes the next event when it is told that the last one has arrived.
func eventStream(next <-chan struct{}) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_ = http.NewResponseController(w).Flush()
		for i := range 5 {
			select {
			case <-next:
			case <-r.Context().Done():
				return
			}
			fmt.Fprintf(w, "data: %d\n\n", i)
			_ = http.NewResponseController(w).Flush()
		}
	}
}

func checkEvents(t *testing.T, c *http.Client, url string, next chan<- struct{}) {
	t.Helper()
	resp, err := c.Get(url) // returns with the head, before any event
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	br := bufio.NewReader(resp.Body)
	for i := range 5 {
		next <- struct{}{}
		line, err := br.ReadString('\n')
		if want := fmt.Sprintf("data: %d\n", i); err != nil || line != want {
			t.Fatalf("got %q, %v; want %q", line, err, want)
		}
		_, _ = br.ReadString('\n')
	}
	if _, err := br.ReadByte(); err != io.EOF {
		t.Errorf("end: %v", err)
	}
}

func TestCancelReachesHandler(t *testing.T) {
	t.Parallel()
	run(t, func(t *testing.T, v version) {
		started, ended := make(chan struct{}), make(chan error, 1)
		r := newRig(t, func(p *mitm.Proxy) {
			p.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				_ = http.NewResponseController(w).Flush()
				close(started)
				<-r.Context().Done()
				ended <- r.Context().Err()
			})
		})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		req, _ := http.NewRequestWithContext(ctx, "POST", "https://"+host+"/", strings.NewReader("x"))
		resp, err := r.client(t, v).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		wait(t, started, "request")
		cancel()
		if err := wait(t, ended, "end of the handler's context"); err != context.Canceled {
			t.Errorf("got %v", err)
		}
	})
}

func TestPanicInHandlerEndsOneExchange(t *testing.T) {
	t.Parallel()
	run(t, func(t *testing.T, v version) {
		r := newRig(t, func(p *mitm.Proxy) {
			p.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch r.URL.Path {
				case "/panic":
					_, _ = io.WriteString(w, "half")
					_ = http.NewResponseController(w).Flush()
					panic("handler broke")
				case "/abort":
					panic(http.ErrAbortHandler)
				}
			})
		})
		c := r.client(t, v)
		if resp, err := c.Get("https://" + host + "/panic"); err == nil {
			if b, err := io.ReadAll(resp.Body); err == nil {
				t.Errorf("a clean end after %q", b)
			}
			resp.Body.Close()
		}
		if _, err := c.Get("https://" + host + "/abort"); err == nil {
			t.Error("an answer to an aborted request")
		}
		get(t, c, "https://"+host+"/", 200)
		line := r.logs.wait(t, "handler panicked")
		if line["panic"] != "handler broke" || line["level"] != "ERROR" || !strings.Contains(fmt.Sprint(line["stack"]), "exchange_test.go") {
			t.Errorf("log: %v", line)
		}
		if n := strings.Count(r.logs.String(), "handler panicked"); n != 1 {
			t.Errorf("%d panics logged; http.ErrAbortHandler is none", n)
		}
	})
}

func TestOversizedInnerHeadGets431(t *testing.T) {
	t.Parallel()
	run(t, func(t *testing.T, v version) {
		r := newRig(t, func(p *mitm.Proxy) { p.MaxHeaderBytes = 8 << 10 })
		req, _ := http.NewRequest("GET", "https://"+host+"/", nil)
		req.Header.Set("X", strings.Repeat("x", 32<<10))
		resp, err := r.client(t, v).Do(req)
		if err != nil {
			if v.major == 2 { // the client obeys the limit that the server announced
				return
			}
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("got %s", resp.Status)
		}
	})
}

func TestWebSocketThroughInterception(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(p *mitm.Proxy) { p.Handler = http.HandlerFunc(echoWebSocket) })
	checkWebSocket(t, "wss://"+host+"/", r.client(t, http1))
	eventually(t, "the upgraded connection is forgotten", func() bool { return r.Stats().Intercepted == 0 })
}

func TestConcurrentStreams(t *testing.T) {
	t.Parallel()
	run(t, func(t *testing.T, v version) {
		const n = 200
		var all sync.WaitGroup // done when all requests are in their handlers at once
		all.Add(n)
		r := newRig(t, func(p *mitm.Proxy) {
			p.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				all.Done()
				all.Wait()
				copyBody(w, r)
			})
		})
		c := r.client(t, v)
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() {
				want := strings.Repeat(fmt.Sprint(i, " "), 1000)
				resp, err := c.Post("https://"+host+"/", "text/plain", strings.NewReader(want))
				if err != nil {
					t.Error(err)
					return
				}
				defer resp.Body.Close()
				if b, err := io.ReadAll(resp.Body); err != nil || string(b) != want {
					t.Errorf("stream %d: %d bytes, %v", i, len(b), err)
				}
			})
		}
		wg.Wait()
	})
}

// A new connection for each request, many at a time: not one may fail.
func TestConnectionCloseStorm(t *testing.T) {
	t.Parallel()
	run(t, func(t *testing.T, v version) {
		r := newRig(t, func(p *mitm.Proxy) { p.Handler = http.HandlerFunc(copyBody) })
		c := r.client(t, v)
		const workers, each = 8, 40
		var wg sync.WaitGroup
		for range workers {
			wg.Go(func() {
				for range each {
					req, _ := http.NewRequest("POST", "https://"+host+"/", bytes.NewReader([]byte("body")))
					req.Close = true
					resp, err := c.Do(req)
					if err != nil {
						t.Error(err)
						return
					}
					b, err := io.ReadAll(resp.Body)
					resp.Body.Close()
					if err != nil || string(b) != "body" {
						t.Errorf("got %q, %v", b, err)
					}
				}
			})
		}
		wg.Wait()
		if s := r.Stats(); s.InterceptedTotal < workers*each {
			t.Errorf("%d connections for %d requests", s.InterceptedTotal, workers*each)
		}
		eventually(t, "all connections are forgotten", func() bool {
			c.CloseIdleConnections() // the client dials ahead of need, and may still be dialling
			return r.Stats().Intercepted == 0
		})
	})
}
