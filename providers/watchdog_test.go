package providers_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"detour/providers"
)

// slow is a transport that answers after a while, with a body whose reads each take as long as told.
type slow struct {
	headers time.Duration
	reads   []time.Duration
	end     error // after the reads
}

func (s slow) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := pass(r.Context(), s.headers); err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: 200, Body: &slowBody{r.Context(), s.reads, s.end}, Request: r}, nil
}

func pass(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

type slowBody struct {
	ctx   context.Context
	reads []time.Duration
	end   error
}

func (b *slowBody) Read(p []byte) (int, error) {
	if len(b.reads) == 0 {
		return 0, b.end
	}
	if err := pass(b.ctx, b.reads[0]); err != nil {
		return 0, err
	}
	b.reads = b.reads[1:]
	p[0] = 'x'
	return 1, nil
}

func (*slowBody) Close() error { return nil }

func TestWatchdog(t *testing.T) {
	t.Parallel()
	reset := errors.New("connection reset")
	for name, tc := range map[string]struct {
		upstream slow
		leaves   time.Duration // when the client goes away; 0: never
		read     string        // of the body
		kind     string
		after    time.Duration
	}{
		"steady":                {upstream: slow{headers: 50 * time.Second, reads: []time.Duration{50 * time.Second, 50 * time.Second, 50 * time.Second}, end: io.EOF}, read: "xxx", kind: "nil", after: 200 * time.Second},
		"silent from the start": {upstream: slow{headers: time.Hour}, kind: "stalled", after: time.Minute},
		"silent after headers":  {upstream: slow{headers: 50 * time.Second, reads: []time.Duration{time.Hour}}, kind: "stalled", after: 110 * time.Second},
		"silent in the middle":  {upstream: slow{reads: []time.Duration{time.Second, time.Hour}}, read: "x", kind: "stalled", after: 61 * time.Second},
		"breaks":                {upstream: slow{reads: []time.Duration{time.Second}, end: reset}, read: "x", kind: "network", after: time.Second},
		"client leaves early":   {upstream: slow{headers: time.Hour}, leaves: 30 * time.Second, kind: "canceled", after: 30 * time.Second},
		"client leaves late":    {upstream: slow{reads: []time.Duration{time.Second, time.Hour}}, leaves: 30 * time.Second, read: "x", kind: "canceled", after: 30 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if tc.leaves > 0 {
					time.AfterFunc(tc.leaves, cancel)
				}
				req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://upstream.test/", nil)
				if err != nil {
					t.Fatal(err)
				}
				start := time.Now()
				var read []byte
				resp, err := (&providers.Watchdog{Base: tc.upstream, Stall: time.Minute}).RoundTrip(req)
				if err == nil {
					read, err = io.ReadAll(resp.Body)
					if closed := resp.Body.Close(); closed != nil {
						t.Error(closed)
					}
				}
				if string(read) != tc.read || kindOf(err) != tc.kind {
					t.Errorf("read %q, %v, want %q, %s", read, err, tc.read, tc.kind)
				}
				if d := time.Since(start); d != tc.after {
					t.Errorf("ended after %v, want %v", d, tc.after)
				}
			})
		})
	}
}
