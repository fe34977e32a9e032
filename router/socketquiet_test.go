package router_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"detour/internal/dialect"
	"detour/providers"
	"detour/router"
)

// pipes is a listener whose connections are in memory, so that time can be faked around them.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	c, ok := <-p
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}

func (p pipes) Close() error   { return nil }
func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }

func (p pipes) dial(context.Context, string, string) (net.Conn, error) {
	a, b := net.Pipe()
	p <- b
	return a, nil
}

// upstreamFunc answers upstream requests with a stream.
type upstreamFunc func(r *http.Request, w io.Writer)

func (f upstreamFunc) RoundTrip(r *http.Request) (*http.Response, error) {
	pr, pw := io.Pipe()
	go func() {
		f(r, pw)
		_ = pw.Close()
	}()
	stop := context.AfterFunc(r.Context(), func() { _ = pw.CloseWithError(r.Context().Err()) })
	return &http.Response{
		StatusCode: 200, ProtoMajor: 1, Header: http.Header{"Content-Type": {"text/event-stream"}}, ContentLength: -1,
		Body: struct {
			io.Reader
			io.Closer
		}{pr, closer(func() error { stop(); return pr.Close() })}, Request: r,
	}, nil
}

type closer func() error

func (c closer) Close() error { return c() }

// quiet runs a test of one WebSocket with time faked.
func quiet(t *testing.T, up upstreamFunc, test func(t *testing.T, w *world, dial func(*websocket.DialOptions) *wire)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, logs: &lockedBuffer{}, provider: &fake{base: "http://up.test", models: []providers.Model{{ID: "gpt-x", Picker: true, Endpoints: []dialect.Endpoint{dialect.EndpointResponses}}}}}
		cfg := router.Config{
			Providers: providers.NewRegistry(w.provider), Upstream: up, Relay1: up, Relay2: up, CarrierKey: bytes.Repeat([]byte("k"), 32),
			Logger: slog.New(slog.NewTextHandler(w.logs, nil)),
		}
		withAccounts("a")(&cfg, w.provider)
		var err error
		if w.router, err = router.New(cfg); err != nil {
			t.Fatal(err)
		}
		l := make(pipes)
		srv := &http.Server{Handler: w.router}
		served := make(chan struct{})
		go func() {
			defer close(served)
			_ = srv.Serve(l)
		}()
		tr := &http.Transport{DialContext: l.dial}
		defer func() {
			close(l)
			w.router.Close()
			ended, end := context.WithCancel(context.Background())
			end()
			w.router.Drain(ended)
			_ = srv.Close()
			<-served
			tr.CloseIdleConnections()
		}()
		test(t, w, func(o *websocket.DialOptions) *wire {
			o.HTTPClient = &http.Client{Transport: tr}
			conn, _, err := websocket.Dial(t.Context(), "ws://door.test/v1/responses", o)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = conn.CloseNow() })
			return &wire{t, conn}
		})
	})
}

func TestAnIdleWebSocketIsClosedAfterAnHour(t *testing.T) {
	t.Parallel()
	quiet(t, func(_ *http.Request, w io.Writer) {
		_, _ = io.WriteString(w, strings.Join(responsesSay(1, "x"), ""))
	}, func(t *testing.T, _ *world, dial func(*websocket.DialOptions) *wire) {
		c := dial(&websocket.DialOptions{})
		answered, closed := make(chan struct{}), make(chan error)
		go func() { // a pipe has no buffer, so that a ping has to be read
			for {
				_, b, err := c.conn.Read(context.Background())
				if err != nil {
					closed <- err
					return
				}
				if strings.Contains(string(b), `"type":"response.completed"`) {
					close(answered)
				}
			}
		}()
		time.Sleep(59 * time.Minute)
		c.send(create)
		<-answered
		begun := time.Now()
		err := <-closed
		if took := time.Since(begun); websocket.CloseStatus(err) != websocket.StatusNormalClosure || took < time.Hour || took > time.Hour+time.Minute {
			t.Errorf("closed after %v: %v", took, err)
		}
	})
}

func TestASilentWebSocketIsPinged(t *testing.T) {
	t.Parallel()
	quiet(t, func(r *http.Request, w io.Writer) {
		parts := responsesSay(1, "x")
		_, _ = io.WriteString(w, strings.Join(parts[:4], ""))
		select {
		case <-time.After(5 * time.Minute):
			_, _ = io.WriteString(w, strings.Join(parts[4:], ""))
		case <-r.Context().Done():
		}
	}, func(t *testing.T, _ *world, dial func(*websocket.DialOptions) *wire) {
		pings := 0
		c := dial(&websocket.DialOptions{OnPingReceived: func(context.Context, []byte) bool {
			pings++
			return pings%2 == 0 // one that does not answer each is not left for it
		}})
		c.send(create)
		for {
			_, b, err := c.conn.Read(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(b), `"type":"response.completed"`) {
				break
			}
		}
		if pings < 15 || pings > 21 {
			t.Errorf("%d pings in 5 silent minutes", pings)
		}
	})
}

func TestAClientThatNeverReadsIsLeft(t *testing.T) {
	t.Parallel()
	var gone chan time.Duration
	quiet(t, func(r *http.Request, w io.Writer) {
		begun := time.Now()
		for _, p := range responsesSay(1, strings.Repeat("x", 1<<20)) {
			_, _ = io.WriteString(w, p)
		}
		<-r.Context().Done()
		gone <- time.Since(begun)
	}, func(t *testing.T, w *world, dial func(*websocket.DialOptions) *wire) {
		gone = make(chan time.Duration, 1) // one of the bubble
		c := dial(&websocket.DialOptions{})
		c.send(create)
		if after := <-gone; after < time.Minute || after > 2*time.Minute {
			t.Errorf("left after %v", after)
		}
		synctest.Wait()
		if st := w.router.Accounts()[0].State; st != "ok" {
			t.Errorf("account is %s", st)
		}
	})
}

func TestAClientThatNeverEndsItsMessageIsLeft(t *testing.T) {
	t.Parallel()
	quiet(t, func(*http.Request, io.Writer) {}, func(t *testing.T, _ *world, dial func(*websocket.DialOptions) *wire) {
		c := dial(&websocket.DialOptions{})
		part, err := c.conn.Writer(t.Context(), websocket.MessageText)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := part.Write(bytes.Repeat([]byte(" "), 10<<10)); err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		_, _, err = c.conn.Read(t.Context())
		if took := time.Since(begun); err == nil || took < 10*time.Minute || took > 11*time.Minute {
			t.Errorf("left after %v: %v", took, err)
		}
	})
}
