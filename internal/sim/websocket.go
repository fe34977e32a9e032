package sim

import (
	"bufio"
	"context"
	"crypto/sha1" //nolint:gosec // RFC 6455 section 1.3 wants it
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
)

// WebSocket opcodes, RFC 6455 section 5.2.
const (
	wsClose = 0x8
	wsPing  = 0x9
	wsPong  = 0xA
)

// maxWSFrame bounds a frame.
const maxWSFrame = 16 << 20

// websocket upgrades the connection (HTTP/1.1 only) and echoes messages, frame
// by frame, until the client closes.
func (c *call) websocket() {
	r := c.r
	key := r.Header.Get("Sec-Websocket-Key")
	if r.Method != http.MethodGet || !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") || key == "" {
		c.w.Header().Set("Upgrade", "websocket")
		c.reply(http.StatusUpgradeRequired, typeText, []byte("this is a WebSocket\n"))
		return
	}
	conn, rw, err := http.NewResponseController(c.w).Hijack()
	if err != nil {
		c.reply(http.StatusNotImplemented, typeText, []byte("WebSocket needs HTTP/1.1\n"))
		return
	}
	defer conn.Close()
	stop := context.AfterFunc(r.Context(), func() { _ = conn.Close() })
	defer stop()
	c.status(http.StatusSwitchingProtocols)
	c.complete()
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) //nolint:gosec // see above
	head := "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " +
		base64.StdEncoding.EncodeToString(sum[:]) + "\r\nX-Sim-Origin: " + hostName(r.Host) + "\r\n"
	if p, _, _ := strings.Cut(r.Header.Get("Sec-Websocket-Protocol"), ","); p != "" {
		head += "Sec-WebSocket-Protocol: " + strings.TrimSpace(p) + "\r\n"
	}
	if _, err := io.WriteString(conn, head+"\r\n"); err != nil {
		return
	}
	for echoFrame(rw.Reader, conn) == nil {
	}
}

// errWSDone ends an echo.
var errWSDone = errors.New("websocket closed")

// echoFrame reads one frame and answers it.
func echoFrame(r *bufio.Reader, w net.Conn) error {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return err
	}
	n := uint64(head[1] & 0x7f)
	switch n {
	case 126:
		var b [2]byte
		if _, err := io.ReadFull(r, b[:]); err != nil {
			return err
		}
		n = uint64(binary.BigEndian.Uint16(b[:]))
	case 127:
		var b [8]byte
		if _, err := io.ReadFull(r, b[:]); err != nil {
			return err
		}
		n = binary.BigEndian.Uint64(b[:])
	}
	if n > maxWSFrame || head[1]&0x80 == 0 {
		return errWSDone // too long, or not masked
	}
	var mask [4]byte
	if _, err := io.ReadFull(r, mask[:]); err != nil {
		return err
	}
	payload := make([]byte, n)
	if _, err := io.ReadFull(r, payload); err != nil {
		return err
	}
	for i := range payload {
		payload[i] ^= mask[i%4]
	}
	first := head[0]
	switch first & 0x0f {
	case wsPing:
		first = 0x80 | wsPong
	case wsPong:
		return nil
	}
	if _, err := w.Write(append(frameHead(first, n), payload...)); err != nil {
		return err
	}
	if head[0]&0x0f == wsClose {
		return errWSDone
	}
	return nil
}

// frameHead renders the head of a frame that is not masked.
func frameHead(first byte, n uint64) []byte {
	switch {
	case n < 126:
		return []byte{first, byte(n)}
	case n < 1<<16:
		return binary.BigEndian.AppendUint16([]byte{first, 126}, uint16(n))
	}
	return binary.BigEndian.AppendUint64([]byte{first, 127}, n)
}
