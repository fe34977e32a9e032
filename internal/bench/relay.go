package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
)

// serveRelay is the least that a CONNECT proxy can be: dial, say 200, and let the kernel move bytes (splice) both ways
// until both sides have ended. It is the measure for tunnels.
func serveRelay(ctx context.Context) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	return announce(ctx, l, hello{Addr: l.Addr().String()}, func() error {
		for {
			c, err := l.Accept()
			if errors.Is(err, net.ErrClosed) {
				return nil
			}
			if err != nil {
				return fmt.Errorf("accept: %w", err)
			}
			go relayOne(c) // ends with its connections; the process ends with its listener
		}
	})
}

func relayOne(c net.Conn) {
	defer c.Close()
	br := bufio.NewReader(c)
	req, err := http.ReadRequest(br)
	if err != nil || req.Method != http.MethodConnect || br.Buffered() > 0 {
		return
	}
	up, err := net.Dial("tcp", req.Host)
	if err != nil {
		return
	}
	defer up.Close()
	if _, err := c.Write([]byte("HTTP/1.1 200 OK\r\n\r\n")); err != nil {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { splice(up, c) })
	both.Go(func() { splice(c, up) })
	both.Wait()
}

func splice(dst, src net.Conn) {
	_, _ = io.Copy(dst, src)
	if t, ok := dst.(*net.TCPConn); ok {
		_ = t.CloseWrite()
	}
}
