//go:build !unix

package mitm

import (
	"net"
	"sync"
)

// readyReader reads into a pooled buffer.
type readyReader struct {
	conn    *net.TCPConn
	buffers *sync.Pool
}

func newReadyReader(c *net.TCPConn, buffers *sync.Pool) (*readyReader, error) {
	return &readyReader{conn: c, buffers: buffers}, nil
}

// next waits for bytes: n > 0 or an error. The buffer is the caller's to put back. The end of the stream is io.EOF.
func (r *readyReader) next() (buf *[]byte, n int, err error) {
	buf = r.buffers.Get().(*[]byte) //nolint:forcetypeassert // the pool holds nothing else
	n, err = r.conn.Read(*buf)
	return buf, n, err
}
