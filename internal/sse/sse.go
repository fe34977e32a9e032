// Package sse reads and writes server-sent events (WHATWG HTML, "Server-sent events") frame by frame.
//
// It keeps the bytes: the Raw slices of all frames, concatenated, are the stream that was read. That lets a proxy
// look at every event and still forward the ones that need no edit unchanged.
package sse

import "fmt"

// MaxFrame is the largest frame that a Reader accepts unless its Limit says otherwise. Answers with images or long
// tool arguments carry single lines of several MB.
const MaxFrame = 64 << 20

// Frame is everything up to and including one blank line. All slices are valid until the next call of Next.
type Frame struct {
	Event []byte // value of the last event field, nil when there is none
	Data  []byte // values of the data fields, joined by \n
	ID    []byte // value of the last id field, nil when there is none
	Raw   []byte // all bytes of the frame: comments, unknown fields, line ends and a byte order mark included

	// HasData tells a frame with an empty data field from one without any, such as a comment. Only the former is an
	// event for a client.
	HasData bool
}

// TooLargeError says that a frame is larger than the reader's limit. The stream cannot be read any further.
type TooLargeError struct {
	Limit int // bytes
}

// Error implements error.
func (e *TooLargeError) Error() string {
	return fmt.Sprintf("event is larger than %d bytes", e.Limit)
}

// AppendFrame appends one event. An empty event name omits the event line. data must hold no line break, which JSON
// text written on one line does not.
func AppendFrame(dst []byte, event string, data []byte) []byte {
	if event != "" {
		dst = append(dst, "event: "...)
		dst = append(dst, event...)
		dst = append(dst, '\n')
	}
	dst = append(dst, "data: "...)
	dst = append(dst, data...)
	return append(dst, "\n\n"...)
}
