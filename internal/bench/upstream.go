package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"
)

// hello is what our own parts say when they are ready.
type hello struct {
	Addr string `json:"addr"`
	Bulk string `json:"bulk,omitempty"` // upstream: where bytes come from

	Env     map[string]string `json:"env,omitempty"` // sim: for detour
	CA      string            `json:"ca,omitempty"`  // sim: path
	Token   string            `json:"token,omitempty"`
	API     string            `json:"api,omitempty"`     // sim: base URL of the management API
	Copilot string            `json:"copilot,omitempty"` // sim: base URL of inference
}

// announce prints h and runs serve until standard input or ctx ends, which closes l.
func announce(ctx context.Context, l io.Closer, h hello, serve func() error) error {
	if err := json.NewEncoder(os.Stdout).Encode(h); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { // ends with standard input, at the latest with the process
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	return serve()
}

// serveUpstream is the origin behind the intercepted name: an answer of 1 KiB to any POST, and at /events a stream
// whose events hold the time at which they were sent. A second port sends as many bytes as it is asked for.
func serveUpstream(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("upstream", flag.ContinueOnError)
	cert, key := f.String("cert", "", "certificate"), f.String("key", "", "key")
	if err := f.Parse(args); err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	bulk, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	defer bulk.Close()
	go serveBulk(bulk) // ends with its listener
	mux := http.NewServeMux()
	answer := []byte(`{"answer":"` + string(bytes.Repeat([]byte("x"), 1024-13)) + `"}`)
	mux.HandleFunc("POST /", func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return
		}
		w.Header()["Content-Type"] = []string{"application/json"}
		w.Header()["Content-Length"] = []string{strconv.Itoa(len(answer))}
		_, _ = w.Write(answer)
	})
	mux.HandleFunc("GET /events", serveEvents)
	s := &http.Server{Handler: mux, Protocols: new(http.Protocols), ReadHeaderTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0)}
	s.Protocols.SetHTTP1(true)
	s.Protocols.SetHTTP2(true)
	s.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS13}
	return announce(ctx, s, hello{Addr: l.Addr().String(), Bulk: bulk.Addr().String()}, func() error {
		if err := s.ServeTLS(l, *cert, *key); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
}

// serveEvents sends n events, one each gap.
func serveEvents(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.Atoi(r.FormValue("n"))
	gap, err2 := time.ParseDuration(r.FormValue("gap"))
	if err := errors.Join(err, err2); err != nil || n > 100_000 {
		http.Error(w, "n and gap are wanted", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	flush := http.NewResponseController(w)
	tick := time.NewTicker(gap)
	defer tick.Stop()
	event := make([]byte, 0, 256)
	filler := bytes.Repeat([]byte("y"), 100)
	for range n {
		select {
		case <-r.Context().Done():
			return
		case <-tick.C:
		}
		event = append(event[:0], "data: "...)
		event = strconv.AppendInt(event, time.Now().UnixNano(), 10)
		event = append(append(append(event, ' '), filler...), "\n\n"...)
		if _, err := w.Write(event); err != nil || flush.Flush() != nil {
			return
		}
	}
}

// serveBulk sends to each connection as many bytes as its first eight bytes say.
func serveBulk(l net.Listener) {
	block := make([]byte, 256<<10)
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() { // ends with its connection
			defer c.Close()
			var ask [8]byte
			if _, err := io.ReadFull(c, ask[:]); err != nil {
				return
			}
			for left := binary.BigEndian.Uint64(ask[:]); left > 0; {
				n, err := c.Write(block[:min(left, uint64(len(block)))])
				if err != nil {
					return
				}
				left -= uint64(n)
			}
		}()
	}
}
