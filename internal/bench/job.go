package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"
)

// kind is what a load generator does.
type kind string

const (
	kindRequests kind = "requests" // each connection sends one request after the other
	kindFresh    kind = "fresh"    // the same with a connection for each request
	kindEvents   kind = "events"   // one stream, how late its events are
	kindPaced    kind = "paced"    // waves of concurrent streams, how late their first bytes are
	kindIdle     kind = "idle"     // streams are opened and held until standard input ends
	kindBulk     kind = "bulk"     // bytes through tunnels
	kindTunnels  kind = "tunnels"  // tunnels are opened and held until standard input ends
)

// job is the order to a load generator.
type job struct {
	Kind    kind              `json:"kind"`
	Proxy   string            `json:"proxy,omitempty"` // CONNECT proxy, "" for none
	Dial    string            `json:"dial,omitempty"`  // where to connect without a proxy
	Scheme  string            `json:"scheme"`
	Host    string            `json:"host"` // host:port, as in the URL and in CONNECT
	Path    string            `json:"path"`
	Body    string            `json:"body,omitempty"` // "" makes a GET
	Header  map[string]string `json:"header,omitempty"`
	H2      bool              `json:"h2,omitempty"`
	CA      string            `json:"ca,omitempty"` // PEM file, the only trusted roots
	Conns   int               `json:"conns"`
	Warmup  time.Duration     `json:"warmup"`
	Span    time.Duration     `json:"span"`  // of measuring
	Limit   time.Duration     `json:"limit"` // of the whole job
	Bytes   int64             `json:"bytes,omitempty"`
	Waves   int               `json:"waves,omitempty"`
	Discard int               `json:"discard,omitempty"` // first events of a stream that do not count
	Marker  string            `json:"marker,omitempty"`  // what the first byte is the first byte of; "" for the body
}

// report is what a load generator found.
type report struct {
	Requests int           `json:"requests"` // that counted
	All      int           `json:"all"`      // warm-up included: what the processor time was spent on
	Errors   int           `json:"errors"`
	Error    string        `json:"error,omitempty"` // the first one
	Took     time.Duration `json:"took"`            // by the requests that counted
	P50      time.Duration `json:"p50"`
	P95      time.Duration `json:"p95"`
	P99      time.Duration `json:"p99"`
	First50  time.Duration `json:"first50"` // to the job's marker
	First95  time.Duration `json:"first95"`
	Bytes    int64         `json:"bytes,omitempty"`
	Held     int           `json:"held,omitempty"` // open now
}

const (
	maxSamples = 2 << 20 // of one job
	maxErrors  = 200     // of one job: more end it
)

// sample is one request or event that counted: until its end, and until the job's marker.
type sample struct{ total, first time.Duration }

// tally is what one worker saw.
type tally struct {
	samples []sample
	all     int
	errs    []error
}

func (t *tally) fail(err error) { t.errs = append(t.errs, err) }

// merge makes the report of all workers.
func merge(took time.Duration, tallies []tally) report {
	var r report
	var total, first []time.Duration
	r.Took = took
	for _, t := range tallies {
		r.All += t.all
		r.Errors += len(t.errs)
		if len(t.errs) > 0 && r.Error == "" {
			r.Error = t.errs[0].Error()
		}
		for _, s := range t.samples {
			total = append(total, s.total)
			first = append(first, s.first)
		}
	}
	r.Requests = len(total)
	slices.Sort(total)
	slices.Sort(first)
	r.P50, r.P95, r.P99 = quantile(total, .50), quantile(total, .95), quantile(total, .99)
	r.First50, r.First95 = quantile(first, .50), quantile(first, .95)
	return r
}

// quantile of sorted values by the nearest rank; 0 when there are none.
func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

// generateLoad reads a job, does it and prints the report.
func generateLoad(ctx context.Context, in io.Reader, out io.Writer) error {
	dec := json.NewDecoder(in)
	var j job
	if err := dec.Decode(&j); err != nil {
		return fmt.Errorf("read job: %w", err)
	}
	d, err := newDialler(j)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, j.Limit)
	defer cancel()
	enc := json.NewEncoder(out)
	var r report
	switch j.Kind {
	case kindRequests, kindFresh, kindPaced:
		r, err = loadRequests(ctx, j, d)
	case kindEvents:
		r, err = loadEvents(ctx, j, d)
	case kindBulk:
		r, err = loadBulk(ctx, j, d)
	case kindIdle, kindTunnels:
		h := hold(ctx, j, d)
		defer h.close()
		if err := enc.Encode(h.report()); err != nil {
			return err
		}
		go func() { // ends with the process
			_, _ = io.Copy(io.Discard, in)
			cancel()
		}()
		<-ctx.Done()
		return nil
	default:
		return fmt.Errorf("unknown job %q", j.Kind)
	}
	if err != nil {
		return err
	}
	return enc.Encode(r)
}

// tlsConfig trusts the job's roots only.
func tlsConfig(j job) (*tls.Config, error) {
	if j.Scheme != "https" {
		return nil, nil //nolint:nilnil // no TLS
	}
	pem, err := os.ReadFile(j.CA)
	if err != nil {
		return nil, fmt.Errorf("read roots: %w", err)
	}
	c := &tls.Config{RootCAs: x509.NewCertPool(), ServerName: hostOf(j.Host), NextProtos: []string{"http/1.1"}}
	if j.H2 {
		c.NextProtos = []string{"h2"}
	}
	if !c.RootCAs.AppendCertsFromPEM(pem) {
		return nil, errors.New("read roots: no certificate in " + j.CA)
	}
	return c, nil
}
