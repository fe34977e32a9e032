package mitm_test

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"testing"

	"detour/mitm"
)

// These are for regressions. Client, proxy and origin share one process, so the numbers say little by themselves.

func benchRun(b *testing.B, f func(b *testing.B, v version)) {
	for _, v := range []version{http1, http2} {
		b.Run(v.name, func(b *testing.B) { f(b, v) })
	}
}

func BenchmarkInterceptedRequest(b *testing.B) {
	body := make([]byte, 1024)
	benchRun(b, func(b *testing.B, v version) {
		r := newRig(b, func(p *mitm.Proxy) { p.Handler = http.HandlerFunc(copyBody); p.Logger = nil })
		c := r.client(b, v)
		b.ReportAllocs()
		for b.Loop() {
			resp, err := c.Post("https://"+host+"/", "application/json", bytes.NewReader(body))
			if err != nil {
				b.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
	})
}

func BenchmarkInterceptedConnection(b *testing.B) {
	benchRun(b, func(b *testing.B, v version) {
		r := newRig(b, func(p *mitm.Proxy) { p.Logger = nil })
		c := r.client(b, v)
		b.ReportAllocs()
		for b.Loop() {
			req, _ := http.NewRequest("GET", "https://"+host+"/", nil)
			req.Close = true
			resp, err := c.Do(req)
			if err != nil {
				b.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
	})
}

func BenchmarkForwardedRequest(b *testing.B) {
	addr := serveHTTP(b, copyBody)
	r := newRig(b, func(p *mitm.Proxy) { p.DialContext = dialTo(addr); p.Logger = nil })
	c := r.client(b, http1)
	body := make([]byte, 1024)
	b.ReportAllocs()
	for b.Loop() {
		resp, err := c.Post("http://plain.test/", "application/json", bytes.NewReader(body))
		if err != nil {
			b.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
}

func BenchmarkTunnelThroughput(b *testing.B) {
	const chunk = 1 << 20
	block := make([]byte, chunk)
	source := origin(b, func(c *net.TCPConn) {
		for {
			if _, err := c.Write(block); err != nil {
				return
			}
		}
	})
	read := func(b *testing.B, c net.Conn) {
		buf := make([]byte, 64<<10)
		b.SetBytes(chunk)
		for b.Loop() {
			for left := chunk; left > 0; {
				n, err := c.Read(buf[:min(left, len(buf))])
				if err != nil {
					b.Fatal(err)
				}
				left -= n
			}
		}
	}
	b.Run("direct", func(b *testing.B) {
		c, err := net.Dial("tcp", source)
		if err != nil {
			b.Fatal(err)
		}
		defer c.Close()
		read(b, c)
	})
	b.Run("tunnel", func(b *testing.B) {
		r := newRig(b, func(p *mitm.Proxy) { p.DialContext = dialTo(source); p.Logger = nil })
		c := r.connect(b, "o.test:443", 200)
		defer c.Close()
		read(b, c)
	})
}

func BenchmarkTunnelOpenAndClose(b *testing.B) {
	addr := origin(b, echo)
	r := newRig(b, func(p *mitm.Proxy) { p.DialContext = dialTo(addr); p.Logger = nil })
	b.ReportAllocs()
	for b.Loop() {
		c := r.connect(b, "o.test:443", 200)
		_ = c.Close()
	}
}

func BenchmarkParseAuthority(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := mitm.ParseAuthority("api.githubcopilot.com:443"); err != nil {
			b.Fatal(err)
		}
	}
}
