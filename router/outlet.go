package router

import (
	"net/http"
	"sync"
	"time"

	"detour/providers"
)

// pingInterval is how long a client is left without a sign of life: proxies and clients give up after a minute or so.
const pingInterval = 15 * time.Second

// outlet is where a stream goes out: it holds the status back until there is something to send, and tells the client
// that the exchange lives while the upstream is silent. It is used by the exchange's goroutine and by one timer; after
// close nothing is written any more.
type outlet struct {
	x    *exchange
	resp *http.Response // of the upstream, for the headers
	ping func([]byte) []byte

	mu     sync.Mutex // guards what follows and every use of x.w
	flush  *http.ResponseController
	timer  *time.Timer
	closed bool
	began  bool
	err    error
	buf    []byte // for pings
}

func newOutlet(x *exchange, resp *http.Response, ping func([]byte) []byte) *outlet {
	o := &outlet{x: x, resp: resp, ping: ping, flush: http.NewResponseController(x.w)}
	if ping != nil {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.timer = time.AfterFunc(pingInterval, o.beat) // stopped by close; beat checks closed under mu
	}
	return o
}

// beat writes a sign of life. A status that was held back goes out with it: from then on nothing can be retried.
func (o *outlet) beat() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed || o.err != nil {
		return
	}
	o.buf = o.ping(o.buf[:0])
	o.write(o.buf)
	o.timer.Reset(pingInterval)
}

// send writes one or more whole events. Its error means that the client is gone.
func (o *outlet) send(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.timer != nil {
		o.timer.Reset(pingInterval)
	}
	o.write(b)
	return o.err
}

// write begins the answer if need be. The caller holds mu.
func (o *outlet) write(b []byte) {
	if o.err != nil {
		return
	}
	if !o.began {
		o.began = true
		o.x.begin(o.resp)
	}
	_, err := o.x.w.Write(b)
	if err == nil {
		err = o.flush.Flush()
	}
	if err != nil {
		o.err = &providers.Error{Kind: providers.KindCanceled, Err: err}
	}
}

// abandon gives the answer up so that another attempt may be made, unless something was sent.
func (o *outlet) abandon() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.began {
		return false
	}
	o.closed = true
	return true
}

// close ends the use of the response writer by the timer.
func (o *outlet) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	if o.timer != nil {
		o.timer.Stop()
	}
}
