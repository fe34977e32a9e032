package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
)

// serveHop is the least that a gateway made of net/http can be: take the request whole, send it on, send the answer
// on. What detour's API door costs beyond it is detour's own.
func serveHop(ctx context.Context, args []string) error {
	if len(args) != 2 {
		return errors.New("hop: the base URL and the token of the upstream are wanted")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	tr := &http.Transport{MaxIdleConnsPerHost: 256, DisableCompression: true}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := hopOne(w, r, tr, args[0], args[1]); err != nil {
			panic(http.ErrAbortHandler)
		}
	})}
	return announce(ctx, s, hello{Addr: l.Addr().String()}, func() error {
		if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
}

func hopOne(w http.ResponseWriter, r *http.Request, tr *http.Transport, base, token string) error {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	out, err := http.NewRequestWithContext(r.Context(), http.MethodPost, base+"/chat/completions", bytes.NewReader(body))
	if err != nil {
		return err
	}
	out.Header.Set("Content-Type", "application/json")
	out.Header.Set("Authorization", "Bearer "+token)
	resp, err := tr.RoundTrip(out)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	maps.Copy(w.Header(), resp.Header)
	w.WriteHeader(resp.StatusCode)
	flush := http.NewResponseController(w)
	buf := make([]byte, 16<<10)
	for left := resp.ContentLength; ; {
		n, err := resp.Body.Read(buf)
		if n > 0 {
			if _, err := w.Write(buf[:n]); err != nil {
				return err
			}
			if left -= int64(n); left != 0 && err == nil {
				if err := flush.Flush(); err != nil {
					return err
				}
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
