package mitm

import (
	"context"
	"net"
	"net/http"
	"sync"
)

// live knows all that a Proxy has running: goroutines by number, and connections that no http.Server knows any more
// by name, so that Shutdown can wait for them, end them and join them.
type live struct {
	mu      sync.Mutex
	running int                    // goroutines entered and not left, and connections that an http.Server serves
	open    map[abortable]struct{} // tunnels and intercepted connections
	ended   bool                   // nothing is let in any more
	empty   chan struct{}          // closed when all is gone; nil while nobody waits
}

// abortable is ended at once, without a clean end that a peer could take for the whole of a message.
type abortable interface{ abort() }

// enter counts the caller's goroutine until leave. It returns false once the proxy has been ended.
func (l *live) enter() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return false
	}
	l.running++
	return true
}

func (l *live) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.running--
	l.signalLocked()
}

// add registers a until remove. It returns false once the proxy has been ended; a is the caller's to end then.
func (l *live) add(a abortable) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return false
	}
	if l.open == nil {
		l.open = make(map[abortable]struct{})
	}
	l.open[a] = struct{}{}
	return true
}

func (l *live) remove(a abortable) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.open, a)
	l.signalLocked()
}

// connState is an http.Server.ConnState hook that counts the goroutines of the server's connections.
func (l *live) connState(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		l.mu.Lock()
		l.running++
		l.mu.Unlock()
	case http.StateClosed, http.StateHijacked:
		l.leave()
	}
}

// wait returns nil when nothing is left, or the cause of ctx's end.
func (l *live) wait(ctx context.Context) error {
	l.mu.Lock()
	if l.emptyLocked() {
		l.mu.Unlock()
		return nil
	}
	if l.empty == nil {
		l.empty = make(chan struct{})
	}
	empty := l.empty
	l.mu.Unlock()
	select {
	case <-empty:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// end lets nothing in any more and aborts what is registered.
func (l *live) end() {
	l.mu.Lock()
	l.ended = true
	open := make([]abortable, 0, len(l.open))
	for a := range l.open {
		open = append(open, a)
	}
	l.mu.Unlock()
	for _, a := range open {
		a.abort()
	}
}

func (l *live) emptyLocked() bool { return l.running == 0 && len(l.open) == 0 }

func (l *live) signalLocked() {
	if l.empty != nil && l.emptyLocked() {
		close(l.empty)
		l.empty = nil
	}
}
