package sim

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"strconv"
	"strings"

	"github.com/coder/websocket"

	"detour/internal/sse"
)

// socketWriter is the ResponseWriter of one frame: the events that are written
// to it become frames, and a whole answer, which is an error, becomes an error
// frame.
type socketWriter struct {
	s      *socket
	c      *call
	header http.Header
	status int
	buf    []byte // what is written and not yet whole

	id    string            // of an answer that ended well
	items []json.RawMessage // of it, each as it was when it was done
	ended bool              // a terminal frame went out
}

func (w *socketWriter) Header() http.Header { return w.header }

func (w *socketWriter) WriteHeader(status int) { w.status = status }

func (w *socketWriter) Flush() {}

// Hijack hands out the connection to faults that break it.
func (w *socketWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) { return w.s.raw, nil, nil }

func (w *socketWriter) Write(b []byte) (int, error) {
	w.buf = append(w.buf, b...)
	if w.header.Get("Content-Type") != typeSSE || !bytes.HasSuffix(w.buf, []byte("\n\n")) {
		return len(b), nil
	}
	frames := w.buf
	w.buf = nil
	for data, rest, ok := sse.NextData(frames); ok; data, rest, ok = sse.NextData(rest) {
		if string(data) == "[DONE]" {
			continue
		}
		if err := w.event(data); err != nil {
			return 0, err
		}
	}
	return len(b), nil
}

// event sends one event. Unlike in a stream, an error is nested, and quotas
// come with it and with the end of the answer.
func (w *socketWriter) event(data []byte) error {
	var e struct {
		Type, Code, Message string
		Item                json.RawMessage
		Response            struct{ ID string }
	}
	if err := json.Unmarshal(data, &e); err != nil {
		return err
	}
	switch e.Type {
	case "error":
		w.ended = true
		return w.send(object{"type": "error", "error": object{"code": e.Code, "message": e.Message}, "copilot_quota_snapshots": w.c.socketSnapshots()})
	case "response.output_item.done":
		w.items = append(w.items, e.Item)
	case "response.completed", "response.incomplete", "response.failed":
		w.ended = true
		if e.Type != "response.failed" {
			w.id = e.Response.ID
		}
		data = append(bytes.TrimSuffix(data, []byte("}")), `,"copilot_quota_snapshots":`...)
		data = append(append(data, mustJSON(w.c.socketSnapshots())...), '}')
	}
	return w.s.conn.Write(context.Background(), websocket.MessageText, data) // ends with the connection
}

func (w *socketWriter) send(o object) error {
	return w.s.conn.Write(context.Background(), websocket.MessageText, mustJSON(o))
}

// finish ends the frame. An answer without an end ends the connection.
func (w *socketWriter) finish() bool {
	if w.header.Get("Content-Type") != typeSSE && w.status != 0 {
		w.fail(w.status, w.buf)
		return true
	}
	if !w.ended {
		_ = w.s.conn.Close(websocket.StatusNormalClosure, "")
	}
	return w.ended
}

// fail sends an error frame. The body is the one that the error has over HTTP.
func (w *socketWriter) fail(status int, body []byte) {
	w.c.status(status)
	w.c.complete()
	var e struct {
		Error struct{ Code, Message string }
	}
	if json.Unmarshal(body, &e) != nil || e.Error.Message == "" {
		e.Error.Code, e.Error.Message = strconv.Itoa(status), strings.TrimSpace(string(body))
	}
	_ = w.send(object{"type": "error", "error": object{"code": e.Error.Code, "message": e.Error.Message}, "copilot_quota_snapshots": w.c.socketSnapshots()})
}

// entitlement renders one as frames have it.
func entitlement(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }
