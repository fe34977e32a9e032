package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestQuantileIsTheNearestRank(t *testing.T) {
	t.Parallel()
	var values []time.Duration
	for i := range 100 {
		values = append(values, time.Duration(i))
	}
	for _, c := range []struct {
		name   string
		values []time.Duration
		q      float64
		want   time.Duration
	}{
		{"none", nil, .5, 0},
		{"one", values[7:8], .99, 7},
		{"middle", values, .50, 50},
		{"high", values, .99, 99},
		{"top", values, 1, 99},
	} {
		if got := quantile(c.values, c.q); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestMedian(t *testing.T) {
	t.Parallel()
	if got := median(nil); !math.IsNaN(got) {
		t.Errorf("of nothing: %v", got)
	}
	if got := median([]float64{9, 1, 5}); got != 5 {
		t.Errorf("of three: %v, want 5", got)
	}
	if got := median([]float64{4, 1, 2, 9}); got != 3 {
		t.Errorf("of four: %v, want 3", got)
	}
}

func TestVerdictNamesEachTargetAndWhetherItWasMet(t *testing.T) {
	t.Parallel()
	r := result{System: sysDetour}
	r.add(mRatio, .48)
	r.add(mAdd50, 151)
	r.add(mCPU, 55)
	r.judge(targets{mRatio: atLeast(.45), mAdd50: atMost(150), mCPU: atMost(55)})
	want := "× direct ≥ 0.45 ok · +p50 µs ≤ 150 MISSED · CPU µs/req ≤ 55 ok"
	if got := r.verdict(); got != want {
		t.Errorf("verdict %q, want %q", got, want)
	}
	o := outcome{Results: []result{r}}
	if met, missed := o.missed(); met != 2 || missed != 1 {
		t.Errorf("%d met and %d missed, want 2 and 1", met, missed)
	}
}

func TestTableIsAligned(t *testing.T) {
	t.Parallel()
	a, b := result{Group: "group", System: "direct"}, result{Group: "group", System: "detour", Note: "noted"}
	a.add(mRate, 12345)
	b.add(mRate, 678)
	b.add(mCPU, 12.34)
	var out bytes.Buffer
	printGroup(&out, []result{a, b})
	want := "group     req/s  CPU µs/req   target\n" +
		"  direct  12345\n" +
		"  detour    678        12.3   noted\n\n"
	if out.String() != want {
		t.Errorf("table is\n%s\nwant\n%s", out.String(), want)
	}
}

// world is an upstream with a relay in front of it, in this process.
func newWorld(t *testing.T) (upstream *httptest.Server, relay string, j job) {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /events", serveEvents)
	mux.HandleFunc("POST /", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if r.URL.Path == "/broken" {
			http.Error(w, "broken", http.StatusTeapot)
			return
		}
		_, _ = io.WriteString(w, "the answer")
	})
	upstream = httptest.NewServer(mux)
	t.Cleanup(upstream.Close)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go relayOne(c)
		}
	}()
	host := upstream.Listener.Addr().String()
	return upstream, l.Addr().String(), job{
		Scheme: "http", Host: host, Dial: host, Path: "/", Body: "{}", Conns: 2, Span: 50 * time.Millisecond, Limit: 10 * time.Second,
	}
}

func generate(t *testing.T, j job) (report, error) {
	t.Helper()
	in, err := json.Marshal(j)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := generateLoad(t.Context(), bytes.NewReader(in), &out); err != nil {
		return report{}, err
	}
	var r report
	return r, json.Unmarshal(out.Bytes(), &r)
}

func TestLoadCountsRequestsDirectAndRelayed(t *testing.T) {
	t.Parallel()
	_, relay, j := newWorld(t)
	for _, k := range []kind{kindRequests, kindFresh} {
		for _, proxy := range []string{"", relay} {
			j.Kind, j.Proxy, j.Marker = k, proxy, "answer"
			r, err := generate(t, j)
			if err != nil {
				t.Fatal(err)
			}
			if r.Requests == 0 || r.Errors != 0 || r.P50 <= 0 || r.First50 <= 0 || r.First50 > r.P99 {
				t.Errorf("%s by %q: %+v", k, proxy, r)
			}
		}
	}
}

func TestLoadReportsWhatWentWrong(t *testing.T) {
	t.Parallel()
	_, _, j := newWorld(t)
	j.Kind = kindRequests
	for name, change := range map[string]func(*job){
		"status 418": func(j *job) { j.Path = "/broken" },
		`no "never"`: func(j *job) { j.Marker = "never" },
	} {
		broken := j
		change(&broken)
		r, err := generate(t, broken)
		said := r.Error
		if err != nil {
			said = err.Error()
		}
		if !strings.Contains(said, name) {
			t.Errorf("%s: reported %q", name, said)
		}
		if err == nil && (r.Errors == 0 || r.Requests != 0) {
			t.Errorf("%s: %d errors, %d good requests", name, r.Errors, r.Requests)
		}
	}
}

func TestEventsAreMeasuredFromTheirStamps(t *testing.T) {
	t.Parallel()
	_, relay, j := newWorld(t)
	j.Kind, j.Proxy, j.Body, j.Path, j.Discard = kindEvents, relay, "", "/events?n=20&gap=1ms", 5
	r, err := generate(t, j)
	if err != nil {
		t.Fatal(err)
	}
	if r.Requests != 15 || r.All != 20 || r.P50 <= 0 || r.P50 > time.Second {
		t.Errorf("report %+v", r)
	}
}

func TestBulkComesWhole(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go serveBulk(l)
	_, relay, j := newWorld(t)
	j.Kind, j.Proxy, j.Host, j.Bytes = kindBulk, relay, l.Addr().String(), 3<<20+7
	r, err := generate(t, j)
	if err != nil {
		t.Fatal(err)
	}
	if r.Bytes != 2*(3<<20+7) {
		t.Errorf("%d bytes", r.Bytes)
	}
}

func TestHoldKeepsWhatItOpenedUntilInputEnds(t *testing.T) {
	t.Parallel()
	upstream, _, j := newWorld(t)
	j.Kind, j.Conns, j.Limit = kindTunnels, 3, 10*time.Second
	in, order := io.Pipe()
	out, results := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- generateLoad(context.WithoutCancel(t.Context()), in, results) }()
	if err := json.NewEncoder(order).Encode(j); err != nil {
		t.Fatal(err)
	}
	var r report
	if err := json.NewDecoder(out).Decode(&r); err != nil {
		t.Fatal(err)
	}
	if r.Held != 3 || r.Errors != 0 {
		t.Errorf("report %+v from %s", r, upstream.URL)
	}
	_ = order.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
