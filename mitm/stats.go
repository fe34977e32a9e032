package mitm

import "sync/atomic"

// Stats counts what a Proxy does.
type Stats struct {
	Tunnels          int64  // open tunnels
	Intercepted      int64  // open intercepted connections, those in their handshake included
	TunnelsTotal     uint64 // tunnels opened so far
	InterceptedTotal uint64 // intercepted connections accepted so far
	BytesUp          uint64 // tunnelled bytes from clients to origins; lags for up to 10 s in a busy tunnel
	BytesDown        uint64 // tunnelled bytes from origins to clients; lags likewise
}

type counters struct {
	tunnels, intercepted           atomic.Int64
	tunnelsTotal, interceptedTotal atomic.Uint64
	bytesUp, bytesDown             atomic.Uint64
}

func (s *server) stats() Stats {
	c := &s.counters
	return Stats{
		Tunnels:          c.tunnels.Load(),
		Intercepted:      c.intercepted.Load(),
		TunnelsTotal:     c.tunnelsTotal.Load(),
		InterceptedTotal: c.interceptedTotal.Load(),
		BytesUp:          c.bytesUp.Load(),
		BytesDown:        c.bytesDown.Load(),
	}
}
