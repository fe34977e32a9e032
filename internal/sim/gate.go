package sim

import (
	"context"
	"sync"
)

// Gate holds simulated answers back until it is opened, so that a test can put
// a silence exactly where it wants one. The zero value is a closed gate. A Gate
// is safe for concurrent use and must not be copied.
type Gate struct {
	mu      sync.Mutex
	open    bool
	waiting int
	changed chan struct{} // closed and replaced on every change
}

// Open lets everything that waits, and everything that comes later, pass.
func (g *Gate) Open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open = true
	g.announce()
}

// Arrived blocks until n answers at once wait at the gate, or ctx ends.
func (g *Gate) Arrived(ctx context.Context, n int) error {
	return g.until(ctx, func() bool { return g.waiting >= n })
}

// wait blocks until the gate is open or ctx ends.
func (g *Gate) wait(ctx context.Context) error {
	g.mu.Lock()
	g.waiting++
	g.announce()
	g.mu.Unlock()
	defer func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.waiting--
		g.announce()
	}()
	return g.until(ctx, func() bool { return g.open })
}

// announce wakes everybody in until. g.mu is held.
func (g *Gate) announce() {
	if g.changed != nil {
		close(g.changed)
		g.changed = nil
	}
}

// until blocks until cond, which is called with g.mu held, or ctx ends.
func (g *Gate) until(ctx context.Context, cond func() bool) error {
	for {
		g.mu.Lock()
		ok := cond()
		if g.changed == nil {
			g.changed = make(chan struct{})
		}
		changed := g.changed
		g.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// isOpen says whether Open has been called.
func (g *Gate) isOpen() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.open
}
