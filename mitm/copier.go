package mitm

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

const (
	copyBuffer = 16 << 10
	// bulk is how much a direction carries through user space before the kernel moves its bytes.
	bulk = 256 << 10
	// spliceSpell is for how long the kernel moves bytes before it is asked how many. A direction that carried less
	// than bulk meanwhile goes back to user space.
	spliceSpell = 10 * time.Second
)

// copier copies from connection to connection.
//
// Between two *net.TCPConn it has a choice: read and write through a small buffer, or let the kernel move the bytes
// (splice on Linux), which halves the processor time but holds a pipe, two descriptors, for each direction even while
// nothing moves. So it starts in user space and lets the kernel do the work only of directions that carry much. On
// Unix a direction with nothing to read holds no buffer either.
type copier struct {
	buffers sync.Pool // *[]byte of copyBuffer bytes
	bulk    int64
	spell   time.Duration
}

func newCopier() *copier {
	return &copier{
		buffers: sync.Pool{New: func() any { b := make([]byte, copyBuffer); return &b }},
		bulk:    bulk,
		spell:   spliceSpell,
	}
}

// copy copies from src to dst until src ends, which is nil, or either fails. It calls count with what has been written
// since the last call. It sets the read deadline of src.
func (c *copier) copy(dst, src net.Conn, count func(int64)) error {
	from, ok := src.(*net.TCPConn)
	if !ok {
		return c.copyBuffered(dst, src, count)
	}
	to, ok := dst.(*net.TCPConn)
	if !ok {
		return c.copyBuffered(dst, src, count)
	}
	for {
		if err := c.copySome(to, from, count); err != nil {
			return cleanEOF(err)
		}
		if err := c.spliceWhileBusy(to, from, count); err != nil {
			return cleanEOF(err)
		}
	}
}

// copySome copies bulk bytes through user space, or fewer and an error, io.EOF included.
func (c *copier) copySome(dst, src *net.TCPConn, count func(int64)) error {
	r, err := newReadyReader(src, &c.buffers)
	if err != nil {
		return err
	}
	for done := int64(0); done < c.bulk; {
		buf, n, err := r.next()
		if n > 0 {
			var wrote int
			wrote, err = dst.Write((*buf)[:n])
			done += int64(wrote)
			count(int64(wrote))
		}
		if buf != nil {
			c.buffers.Put(buf)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// spliceWhileBusy copies in the kernel. It returns nil when a spell has carried less than bulk.
func (c *copier) spliceWhileBusy(dst, src *net.TCPConn, count func(int64)) error {
	for {
		if err := src.SetReadDeadline(time.Now().Add(c.spell)); err != nil {
			return err
		}
		n, err := dst.ReadFrom(src)
		count(n)
		switch {
		case err == nil:
			return io.EOF
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return err
		case n < c.bulk:
			return src.SetReadDeadline(time.Time{})
		}
	}
}

// copyBuffered is for connections that the kernel cannot join, such as TLS ones.
func (c *copier) copyBuffered(dst io.Writer, src io.Reader, count func(int64)) error {
	buf := c.buffers.Get().(*[]byte) //nolint:forcetypeassert // the pool holds nothing else
	defer c.buffers.Put(buf)
	for {
		n, err := src.Read(*buf)
		if n > 0 {
			wrote, werr := dst.Write((*buf)[:n])
			count(int64(wrote))
			if werr != nil {
				return werr
			}
		}
		if err != nil {
			return cleanEOF(err)
		}
	}
}

func cleanEOF(err error) error {
	if err == io.EOF { //nolint:errorlint // a wrapped io.EOF is not a clean end
		return nil
	}
	return err
}
