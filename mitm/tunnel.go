package mitm

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
	"unicode"
)

// tunnel dials the target and starts copying. It has returned, and with it what net/http keeps for a request, while the
// tunnel runs.
func (s *server) tunnel(w http.ResponseWriter, r *http.Request, t *target) {
	if s.counters.tunnels.Add(1) > s.maxTunnels {
		s.counters.tunnels.Add(-1)
		w.Header().Set("Retry-After", "1")
		refuse(w, http.StatusServiceUnavailable, "too many open tunnels")
		return
	}
	started := false
	defer func() {
		if !started {
			s.counters.tunnels.Add(-1)
		}
	}()
	origin, err := s.dialTarget(r.Context(), t.authority)
	if err != nil {
		status, reason := dialFailure(err)
		s.log.Info("tunnel not opened", "host", t.host, "port", t.port, "err", err)
		refuse(w, status, "dial "+t.authority+": "+reason)
		return
	}
	client, early, err := takeOver(w)
	if err != nil {
		_ = origin.Close()
		s.log.Debug("connect not answered", "host", t.host, "port", t.port, "err", err)
		return
	}
	started = true
	s.counters.tunnelsTotal.Add(1)
	watchPeer(origin)
	tn := &tunnel{server: s, target: t, client: client, origin: origin, since: time.Now()}
	tn.start(early)
}

func (s *server) dialTarget(ctx context.Context, authority string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, s.dialTimeout)
	defer cancel()
	return s.dial(ctx, "tcp", authority)
}

// tunnel is one running pair of connections. Two goroutines copy; the last one to return closes and reports.
type tunnel struct {
	server   *server
	target   *target
	client   net.Conn
	origin   net.Conn
	since    time.Time
	up, down atomic.Uint64 // bytes, by direction
	running  atomic.Int32  // directions still copying
	failure  atomic.Pointer[error]
	cut      *time.Timer // set with failure
}

// drainGrace is how long one direction may go on after the other failed. An origin that refuses an upload sends its
// answer right before its reset; without the grace the answer would race with the failed write.
const drainGrace = 100 * time.Millisecond

// start begins to copy: early and then what client sends to origin, and the other way round. Both goroutines are owned
// by the server, stopped by abort (directly, or through live.end), and joined by live.wait.
func (t *tunnel) start(early []byte) {
	live := &t.server.live
	if !live.add(t) {
		t.abort()
		t.server.counters.tunnels.Add(-1)
		return
	}
	t.running.Store(2)
	go func() {
		defer t.leave()
		if len(early) > 0 {
			n, err := t.origin.Write(early)
			t.count(&t.up, &t.server.counters.bytesUp, int64(n))
			if err != nil {
				t.fail(fmt.Errorf("copy to origin: %w", err))
				return
			}
		}
		t.copy(t.origin, t.client, &t.up, &t.server.counters.bytesUp, "to origin")
	}()
	go func() {
		defer t.leave()
		t.copy(t.client, t.origin, &t.down, &t.server.counters.bytesDown, "to client")
	}()
}

func (t *tunnel) copy(dst, src net.Conn, mine, all *atomic.Uint64, direction string) {
	err := t.server.copier.copy(dst, src, func(n int64) { t.count(mine, all, n) })
	if err == nil {
		err = closeWrite(dst)
	}
	if errors.Is(err, errors.ErrUnsupported) {
		// dst cannot be told that this is all but by closing it, which ends the other direction too.
		_ = dst.Close()
		return
	}
	if err != nil {
		t.fail(fmt.Errorf("copy %s: %w", direction, err))
	}
}

func (t *tunnel) count(mine, all *atomic.Uint64, n int64) {
	mine.Add(uint64(n))
	all.Add(uint64(n))
}

// fail remembers the first error and soon ends the other direction.
func (t *tunnel) fail(err error) {
	if t.failure.CompareAndSwap(nil, &err) {
		t.cut = time.AfterFunc(drainGrace, t.abort) // stopped by the last leave
	}
}

// abort ends both directions with a reset, so that a cut answer does not look like a whole one.
func (t *tunnel) abort() {
	abortConn(t.client)
	abortConn(t.origin)
}

// leave is the end of one direction's goroutine.
func (t *tunnel) leave() {
	if t.running.Add(-1) > 0 {
		return
	}
	attrs := []any{
		"host", t.target.host, "port", t.target.port, "bytes_up", t.up.Load(), "bytes_down", t.down.Load(),
		"duration", time.Since(t.since),
	}
	if err := t.failure.Load(); err != nil {
		t.cut.Stop()
		t.abort()
		attrs = append(attrs, "err", *err)
	} else {
		_ = t.client.Close()
		_ = t.origin.Close()
	}
	t.server.log.Debug("tunnel closed", attrs...)
	t.server.counters.tunnels.Add(-1)
	t.server.live.remove(t)
}

const maxReason = 200

// dialFailure makes of a dial error the status and the reason that the client is told.
func dialFailure(err error) (status int, reason string) {
	if t, ok := errors.AsType[net.Error](err); ok && t.Timeout() {
		return http.StatusGatewayTimeout, "timed out"
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		if dns.IsNotFound {
			return http.StatusBadGateway, "no such host"
		}
		return http.StatusBadGateway, "name lookup failed"
	}
	for _, known := range []syscall.Errno{syscall.ECONNREFUSED, syscall.EHOSTUNREACH, syscall.ENETUNREACH} {
		if errors.Is(err, known) {
			return http.StatusBadGateway, known.Error()
		}
	}
	reason = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, err.Error())
	return http.StatusBadGateway, strings.ToValidUTF8(reason[:min(len(reason), maxReason)], "")
}
