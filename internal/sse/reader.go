package sse

import (
	"bytes"
	"errors"
	"io"
)

const (
	firstBuffer = 8 << 10  // enough for most reads of a network stream
	keepBuffer  = 64 << 10 // a buffer that grew past this is given back once it is empty
	emptyReads  = 100      // reads without bytes or error before giving up, as in package bufio
)

// Reader splits a stream into frames. It reads no more than one Read of its source ahead, copies no byte twice except
// when a frame outgrows the buffer, and allocates nothing per frame. It is for one goroutine.
type Reader struct {
	// Limit is the size in bytes that no frame may exceed. 0 means MaxFrame.
	Limit int

	src   io.Reader
	buf   []byte
	start int   // first byte of the frame that is being looked at
	end   int   // end of the bytes that were read
	err   error // why src gave no more; reported once the bytes before it are delivered
	fail  error // what every call returns from now on

	pos    int    // first byte of the line that is being looked at
	lf, cr finder // line ends at or after pos

	begun   bool // the first line is past, so that a byte order mark is no longer one
	afterCR bool // the byte before pos is a CR that ended a line: an LF here belongs to it
	lone    bool // the last line end was a CR without LF
	ready   bool // buf[start:pos] is a whole frame, described by cur

	cur    fields
	joined []byte // Data of the last frame, if it came in several lines
}

// fields locates what a frame holds. Offsets are relative to the start of the frame, because the buffer may move.
type fields struct {
	event, id, data span
	dataLines       int
}

type span struct {
	lo, hi int
	ok     bool
}

func (s span) of(frame []byte) []byte {
	if !s.ok {
		return nil
	}
	return frame[s.lo:s.hi:s.hi]
}

// finder remembers where a byte comes next and how far it was looked for, so that no byte is searched twice.
type finder struct {
	c    byte
	at   int // position of the last one found
	upTo int // everything before this was searched
}

// next returns the position of the first c in buf[from:end], or -1.
func (f *finder) next(buf []byte, from, end int) int {
	if f.at >= from && f.at < f.upTo {
		return f.at
	}
	from = max(from, f.upTo)
	i := bytes.IndexByte(buf[from:end], f.c)
	if i < 0 {
		f.upTo = end
		return -1
	}
	f.at = from + i
	f.upTo = f.at + 1
	return f.at
}

func (f *finder) move(by int) { f.at -= by; f.upTo -= by }

// NewReader returns a Reader of r. The caller keeps and closes r.
func NewReader(r io.Reader) *Reader {
	return &Reader{src: r, lf: finder{c: '\n', at: -1}, cr: finder{c: '\r', at: -1}}
}

// Next returns the next frame. Its error is
//   - io.EOF when the stream ended after a blank line;
//   - io.ErrUnexpectedEOF when it ended inside a frame. The returned frame then holds what came, the unfinished last
//     line included: an upstream that leaves out the last blank line is not the same as one that broke off, and only
//     the caller can tell;
//   - *TooLargeError when a frame exceeds the limit;
//   - any other error of the source, also with what came of the frame.
//
// After an error, every call returns it again with an empty frame.
func (r *Reader) Next() (Frame, error) {
	if r.ready {
		r.start, r.ready, r.cur = r.pos, false, fields{}
	}
	if r.fail != nil {
		return Frame{}, r.fail
	}
	for !r.scan() {
		if r.end-r.start > r.limit() {
			return r.give(&TooLargeError{r.limit()})
		}
		if r.err != nil {
			return r.last()
		}
		r.fill()
	}
	if r.pos-r.start > r.limit() {
		return r.give(&TooLargeError{r.limit()})
	}
	return r.frame(), nil
}

// Buffered reports whether a whole frame is already here, so that Next will not read.
func (r *Reader) Buffered() bool {
	// The frame that Next returned last is still in use: look behind it without touching what describes it.
	ahead := *r
	if r.ready {
		ahead.start, ahead.ready, ahead.cur = r.pos, false, fields{}
	}
	return r.fail == nil && ahead.scan()
}

func (r *Reader) limit() int {
	if r.Limit > 0 {
		return r.Limit
	}
	return MaxFrame
}

func (r *Reader) give(err error) (Frame, error) {
	r.fail = err
	return Frame{}, err
}

// last returns what is left when the source has ended.
func (r *Reader) last() (Frame, error) {
	if r.start == r.end {
		return r.give(r.err)
	}
	if r.pos == r.end && r.pos == r.start+1 && r.buf[r.start] == '\n' && r.cur == (fields{}) {
		// Only the LF of a CRLF whose CR already ended the frame before.
		r.ready = true
		return r.frame(), nil
	}
	r.line(r.lineStart(), r.end)
	r.pos, r.ready = r.end, true
	r.fail = r.err
	if errors.Is(r.err, io.EOF) {
		r.fail = io.ErrUnexpectedEOF
	}
	return r.frame(), r.fail
}

// scan advances over whole lines until one is blank and reports whether it found one.
func (r *Reader) scan() bool {
	for {
		if r.afterCR && r.pos < r.end {
			r.afterCR = false
			r.lone = r.buf[r.pos] != '\n'
			if !r.lone {
				r.pos++
			}
		}
		eol := r.lineEnd()
		if eol < 0 {
			return false
		}
		lo := r.lineStart()
		next, ok := r.afterLine(eol, lo == eol)
		if !ok {
			return false
		}
		r.line(lo, eol)
		r.begun, r.pos = true, next
		if lo == eol {
			r.ready = true
			return true
		}
	}
}

// lineStart returns where the text of the line at pos begins: behind the byte order mark if the stream has one.
func (r *Reader) lineStart() int {
	if !r.begun && bytes.HasPrefix(r.buf[r.pos:r.end], []byte("\uFEFF")) {
		return r.pos + len("\uFEFF")
	}
	return r.pos
}

func (r *Reader) lineEnd() int {
	lf := r.lf.next(r.buf, r.pos, r.end)
	upTo := r.end
	if lf >= 0 {
		upTo = lf
	}
	if cr := r.cr.next(r.buf, r.pos, r.end); cr >= 0 && cr < upTo {
		return cr
	}
	return lf
}

// afterLine returns where the line after the one that ends at eol begins. ok is false when that is not known yet.
//
// A CR may be the first half of a CRLF. After a blank line that decides what belongs to the frame, and a client should
// get the whole of it at once. So a CR that ends the buffer waits for the next byte, unless the stream has already
// shown that its lines end in a CR alone: then waiting would hold the frame back until the next one.
func (r *Reader) afterLine(eol int, blank bool) (next int, ok bool) {
	switch {
	case r.buf[eol] == '\n':
		r.lone = false
		return eol + 1, true
	case !blank || r.lone:
		r.afterCR = true
		return eol + 1, true
	case eol+1 < r.end:
		if r.buf[eol+1] == '\n' {
			return eol + 2, true
		}
		r.lone = true
		return eol + 1, true
	default:
		return eol + 1, errors.Is(r.err, io.EOF)
	}
}

// line notes where the field of the line buf[lo:hi] lies.
func (r *Reader) line(lo, hi int) {
	name, value, _ := bytes.Cut(r.buf[lo:hi], []byte(":"))
	value = bytes.TrimPrefix(value, []byte(" "))
	at := span{lo: hi - len(value) - r.start, hi: hi - r.start, ok: true}
	switch string(name) {
	case "data":
		if r.cur.dataLines++; r.cur.dataLines == 1 {
			r.cur.data = at
		}
	case "event":
		r.cur.event = at
	case "id":
		if bytes.IndexByte(value, 0) < 0 {
			r.cur.id = at
		}
	}
}

// frame describes buf[start:pos].
func (r *Reader) frame() Frame {
	raw := r.buf[r.start:r.pos:r.pos]
	f := Frame{
		Event:   r.cur.event.of(raw),
		Data:    r.cur.data.of(raw),
		ID:      r.cur.id.of(raw),
		Raw:     raw,
		HasData: r.cur.dataLines > 0,
	}
	if r.cur.dataLines > 1 {
		r.joined = appendData(r.joined[:0], raw[r.cur.data.lo:])
		f.Data = r.joined
	}
	return f
}

// appendData joins the data fields of lines, of which the first begins with the first value itself.
func appendData(dst, lines []byte) []byte {
	first := true
	for len(lines) > 0 {
		line := lines
		if eol := bytes.IndexAny(lines, "\r\n"); eol >= 0 {
			line, lines = lines[:eol], lines[eol+1:]
		} else {
			lines = nil
		}
		if first {
			dst, first = append(dst, line...), false
			continue
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		if string(name) != "data" {
			continue
		}
		dst = append(dst, '\n')
		dst = append(dst, bytes.TrimPrefix(value, []byte(" "))...)
	}
	return dst
}

// fill reads once more from the source, behind the bytes of the unfinished frame.
func (r *Reader) fill() {
	r.compact()
	if r.end == len(r.buf) {
		grown := make([]byte, max(firstBuffer, 2*len(r.buf)))
		copy(grown, r.buf[:r.end])
		r.buf = grown
	}
	for range emptyReads {
		n, err := r.src.Read(r.buf[r.end:])
		r.end += n
		if err != nil {
			r.err = err
		}
		if n > 0 || err != nil {
			return
		}
	}
	r.err = io.ErrNoProgress
}

// compact moves the unfinished frame to the front of the buffer.
func (r *Reader) compact() {
	if r.start == 0 {
		return
	}
	if r.start == r.end && len(r.buf) > keepBuffer {
		r.buf = make([]byte, firstBuffer)
	} else {
		copy(r.buf, r.buf[r.start:r.end])
	}
	r.pos -= r.start
	r.end -= r.start
	r.lf.move(r.start)
	r.cr.move(r.start)
	r.start = 0
}
