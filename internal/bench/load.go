package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// loadRequests runs the job's connections side by side. Those of a paced job start each wave together.
func loadRequests(ctx context.Context, j job, d *dialler) (report, error) {
	tallies := make([]tally, j.Conns)
	var errs atomic.Int64
	var workers sync.WaitGroup
	start := time.Now()
	begin, end := start.Add(j.Warmup), start.Add(j.Warmup+j.Span)
	for i := range tallies {
		workers.Go(func() {
			w := worker{d: d, t: &tallies[i], errs: &errs, begin: begin, end: end}
			if j.Kind == kindPaced {
				w.waves(ctx, j.Waves)
			} else {
				w.steady(ctx, j.Kind == kindFresh)
			}
		})
	}
	workers.Wait()
	if errs.Load() > maxErrors {
		return report{}, fmt.Errorf("gave up after %d errors: %w", errs.Load(), tallies[0].errs[0])
	}
	took := j.Span
	if j.Kind == kindPaced {
		took = time.Since(start)
	}
	return merge(took, tallies), ctx.Err()
}

type worker struct {
	d          *dialler
	t          *tally
	errs       *atomic.Int64
	begin, end time.Time
	c          client
}

// steady sends requests until the time is up. What ends before begin is warm-up.
func (w *worker) steady(ctx context.Context, fresh bool) {
	defer w.drop()
	for now := time.Now(); now.Before(w.end) && ctx.Err() == nil && w.errs.Load() <= maxErrors; {
		s, err := w.one(ctx)
		if fresh || err != nil {
			w.drop()
		}
		if fresh {
			s.total = time.Since(now)
		}
		now = time.Now()
		w.t.all++
		switch {
		case err != nil:
			w.errs.Add(1)
			w.t.fail(err)
		case now.After(w.begin) && now.Before(w.end) && len(w.t.samples) < maxSamples:
			w.t.samples = append(w.t.samples, s)
		}
	}
}

// waves streams n answers one after the other.
func (w *worker) waves(ctx context.Context, n int) {
	defer w.drop()
	for i := range n + 1 {
		s, err := w.one(ctx)
		w.t.all++
		if err != nil {
			w.errs.Add(1)
			w.t.fail(err)
			return
		}
		if i > 0 { // the first one opened the connection
			w.t.samples = append(w.t.samples, s)
		}
	}
}

func (w *worker) one(ctx context.Context) (sample, error) {
	if w.c == nil {
		c, err := w.d.client(ctx)
		if err != nil {
			return sample{}, err
		}
		w.c = c
	}
	return w.c.do(ctx)
}

func (w *worker) drop() {
	if w.c != nil {
		w.c.close()
		w.c = nil
	}
}

// loadEvents reads one stream and measures how long ago each event was sent when it arrives. Sender and receiver share
// the machine's clock.
func loadEvents(ctx context.Context, j job, d *dialler) (report, error) {
	start := time.Now()
	c, err := d.client(ctx)
	if err != nil {
		return report{}, err
	}
	defer c.close()
	body, err := c.stream(ctx)
	if err != nil {
		return report{}, err
	}
	defer body.Close()
	var t tally
	for in := bufio.NewScanner(body); in.Scan(); {
		rest, ok := bytes.CutPrefix(in.Bytes(), []byte("data: "))
		if !ok {
			continue
		}
		stamp, _, _ := bytes.Cut(rest, []byte(" "))
		sent, err := strconv.ParseInt(string(stamp), 10, 64)
		if err != nil {
			return report{}, fmt.Errorf("parse event: %w", err)
		}
		if t.all++; t.all > j.Discard {
			t.samples = append(t.samples, sample{total: time.Duration(time.Now().UnixNano() - sent)})
		}
	}
	return merge(time.Since(start), []tally{t}), ctx.Err()
}

// loadBulk draws the job's bytes through each of its connections.
func loadBulk(ctx context.Context, j job, d *dialler) (report, error) {
	conns := make([]net.Conn, j.Conns)
	for i := range conns {
		c, err := d.raw(ctx)
		if err != nil {
			return report{}, err
		}
		defer c.Close()
		conns[i] = c
	}
	start := time.Now()
	errs := make([]error, j.Conns)
	var streams sync.WaitGroup
	for i, c := range conns {
		streams.Go(func() { errs[i] = draw(c, j.Bytes) })
	}
	streams.Wait()
	return report{Requests: j.Conns, All: j.Conns, Took: time.Since(start), Bytes: j.Bytes * int64(j.Conns)}, errors.Join(errs...)
}

func draw(c net.Conn, n int64) error {
	var ask [8]byte
	binary.BigEndian.PutUint64(ask[:], uint64(n))
	if _, err := c.Write(ask[:]); err != nil {
		return fmt.Errorf("ask for bytes: %w", err)
	}
	buf := make([]byte, 256<<10)
	for n > 0 {
		m, err := c.Read(buf)
		if err != nil {
			return fmt.Errorf("receive: %w", err)
		}
		n -= int64(m)
	}
	return nil
}

// held are open streams or tunnels.
type held struct {
	mu      sync.Mutex // guards the rest
	closers []func()
	errs    []error
}

// hold opens the job's connections, a few at a time, and leaves them open.
func hold(ctx context.Context, j job, d *dialler) *held {
	const atOnce = 32
	h := &held{}
	var next atomic.Int64
	var workers sync.WaitGroup
	for range atOnce {
		workers.Go(func() {
			for next.Add(1) <= int64(j.Conns) && ctx.Err() == nil {
				h.add(d.keep(ctx, j.Kind))
			}
		})
	}
	workers.Wait()
	return h
}

// keep opens one tunnel, or one stream whose first byte has come.
func (d *dialler) keep(ctx context.Context, k kind) (func(), error) {
	if k == kindTunnels {
		c, err := d.raw(ctx)
		if err != nil {
			return nil, err
		}
		return func() { _ = c.Close() }, nil
	}
	c, err := d.client(ctx)
	if err != nil {
		return nil, err
	}
	body, err := c.stream(ctx)
	if err == nil {
		_, err = io.ReadFull(body, make([]byte, 1))
	}
	if err != nil {
		c.close()
		return nil, err
	}
	return c.close, nil
}

func (h *held) add(close func(), err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err != nil {
		h.errs = append(h.errs, err)
		return
	}
	h.closers = append(h.closers, close)
}

func (h *held) report() report {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := report{Held: len(h.closers), Errors: len(h.errs)}
	if len(h.errs) > 0 {
		r.Error = h.errs[0].Error()
	}
	return r
}

func (h *held) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range slices.Backward(h.closers) {
		c()
	}
}
