package mitm

import (
	"bufio"
	"net"
)

// earlyConn is a connection of which some bytes have been read before.
type earlyConn struct {
	net.Conn
	early []byte // comes first; touched by the reading side only
}

// Read implements net.Conn.
func (c *earlyConn) Read(p []byte) (int, error) {
	if len(c.early) == 0 {
		return c.Conn.Read(p)
	}
	n := copy(p, c.early)
	if c.early = c.early[n:]; len(c.early) == 0 {
		c.early = nil
	}
	return n, nil
}

// buffered returns a copy of what r holds, nil for nothing, so that r itself can be forgotten.
func buffered(r *bufio.Reader) []byte {
	if r.Buffered() == 0 {
		return nil
	}
	early, _ := r.Peek(r.Buffered()) // serves from the buffer and cannot fail
	return append([]byte(nil), early...)
}
