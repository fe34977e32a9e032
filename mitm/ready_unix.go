//go:build unix

package mitm

import (
	"io"
	"net"
	"sync"
	"syscall"
)

// readyReader reads into a pooled buffer that it takes only once there is something to read, so that thousands of idle
// tunnels hold no buffers.
type readyReader struct {
	raw     syscall.RawConn
	buffers *sync.Pool
	attempt func(fd uintptr) bool // made once, to save an allocation a read

	buf *[]byte
	n   int
	err error
}

func newReadyReader(c *net.TCPConn, buffers *sync.Pool) (*readyReader, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	r := &readyReader{raw: raw, buffers: buffers}
	r.attempt = r.tryRead
	return r, nil
}

// next waits for bytes: n > 0 or an error. The buffer, if any, is the caller's to put back. The end of the stream is io.EOF.
func (r *readyReader) next() (buf *[]byte, n int, err error) {
	r.buf, r.n, r.err = nil, 0, nil
	err = r.raw.Read(r.attempt)
	buf, n = r.buf, r.n
	r.buf = nil
	switch {
	case err != nil:
		return buf, 0, err
	case r.err != nil:
		return buf, 0, r.err
	case n == 0:
		return buf, 0, io.EOF
	}
	return buf, n, nil
}

// tryRead returns false to be called again when the socket is readable.
func (r *readyReader) tryRead(fd uintptr) bool {
	buf := r.buffers.Get().(*[]byte) //nolint:forcetypeassert // the pool holds nothing else
	for {
		n, err := syscall.Read(int(fd), *buf)
		switch err {
		case syscall.EINTR:
			continue
		case syscall.EAGAIN:
			r.buffers.Put(buf)
			return false
		}
		r.buf, r.n, r.err = buf, n, err
		return true
	}
}
