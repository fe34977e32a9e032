package router

import (
	"context"
	"sync"
)

// sockets knows the WebSockets that are open: no http.Server does any more.
type sockets struct {
	mu     sync.Mutex
	open   map[*socket]struct{}
	closed bool          // none is let in any more
	empty  chan struct{} // closed when the last has gone; nil while nobody waits
}

// enter lets s in until leave.
func (o *sockets) enter(s *socket) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return false
	}
	if o.open == nil {
		o.open = map[*socket]struct{}{}
	}
	o.open[s] = struct{}{}
	return true
}

func (o *sockets) leave(s *socket) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.open, s)
	if o.empty != nil && len(o.open) == 0 {
		close(o.empty)
		o.empty = nil
	}
}

// drain lets none in any more and waits for those that are open. When ctx ends it cuts them, and still waits for them:
// everything that they do ends with their connection.
func (o *sockets) drain(ctx context.Context) {
	o.mu.Lock()
	o.closed = true
	if len(o.open) == 0 {
		o.mu.Unlock()
		return
	}
	if o.empty == nil {
		o.empty = make(chan struct{})
	}
	empty := o.empty
	o.mu.Unlock()
	select {
	case <-empty:
		return
	case <-ctx.Done():
	}
	o.mu.Lock()
	open := make([]*socket, 0, len(o.open))
	for s := range o.open {
		open = append(open, s)
	}
	o.mu.Unlock()
	for _, s := range open {
		s.cut()
	}
	<-empty
}
