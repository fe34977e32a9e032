package dial_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"

	"detour/internal/dial"
)

func TestTransportThroughConnectProxy(t *testing.T) {
	t.Parallel()
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s enc=%q", r.Proto, r.Host, r.Header.Get("Accept-Encoding"))
	}))
	srv.EnableHTTP2 = true
	srv.StartTLS()
	t.Cleanup(srv.Close)
	root := rootFile(t)
	for _, want := range []string{"HTTP/1.1", "HTTP/2.0"} {
		for _, scheme := range []string{"http", "https"} {
			t.Run(scheme+" "+want, func(t *testing.T) {
				t.Parallel()
				p := &httpProxy{routes: map[string]string{"example.com:443": srv.Listener.Addr().String()}, auth: "u:p"}
				handle := p.handle
				if scheme == "https" {
					handle = tlsOver(t, handle)
				}
				d := newDialer(t, dial.Options{Proxy: scheme + "://u:p@" + serve(t, handle), RootCAs: root})
				var protocols http.Protocols
				protocols.SetHTTP1(want == "HTTP/1.1")
				protocols.SetHTTP2(want == "HTTP/2.0")
				tr := d.Transport(&protocols)
				defer tr.CloseIdleConnections()
				for range 2 {
					body := get(t, tr, "https://example.com/")
					if body != want+` example.com enc=""` {
						t.Errorf("got %q", body)
					}
				}
				if got := p.all(); len(got) != 1 {
					t.Errorf("the connection was not reused: %q", got)
				}
			})
		}
	}
}

func get(t *testing.T, rt http.RoundTripper, url string) string {
	t.Helper()
	body, err := roundTrip(t, rt, url)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func roundTrip(t *testing.T, rt http.RoundTripper, url string) (string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := rt.RoundTrip(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return string(b), err
}

func TestPlainHTTPGoesInAbsoluteForm(t *testing.T) {
	t.Parallel()
	direct := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "direct %s %s", r.Host, r.RequestURI)
	}))
	t.Cleanup(direct.Close)
	root := rootFile(t)
	for _, scheme := range []string{"http", "https"} {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			p := &httpProxy{auth: "u:p"}
			handle := p.handle
			if scheme == "https" {
				handle = tlsOver(t, handle)
			}
			d := newDialer(t, dial.Options{
				Proxy: scheme + "://u:p@" + serve(t, handle), RootCAs: root,
				Hosts: map[string]string{"pinned.example": direct.Listener.Addr().String()},
			})
			tr := d.Transport(nil)
			defer tr.CloseIdleConnections()
			for _, c := range []struct{ url, want string }{
				{"http://api.example.com/x?y", "absolute http://api.example.com/x?y"},
				{"http://api.example.com:8080/", "absolute http://api.example.com:8080/"},
				{"http://pinned.example/p", "direct pinned.example /p"},
				{direct.URL + "/q", "direct " + direct.Listener.Addr().String() + " /q"},
			} {
				if got := get(t, tr, c.url); got != c.want {
					t.Errorf("%s: got %q, want %q", c.url, got, c.want)
				}
			}
			if got := p.all(); !slices.Equal(got, []string{"GET http://api.example.com/x?y", "GET http://api.example.com:8080/"}) {
				t.Errorf("proxy saw %q", got)
			}
		})
	}
}

func TestTransportErrorsHideCredentials(t *testing.T) {
	t.Parallel()
	p := &httpProxy{auth: "u:right"}
	closed := func(c net.Conn) { c.Close() }
	for name, handle := range map[string]func(net.Conn){"407": p.handle, "closed": closed} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDialer(t, dial.Options{Proxy: "http://u:mArKeR@" + serve(t, handle)})
			tr := d.Transport(nil)
			defer tr.CloseIdleConnections()
			for _, url := range []string{"https://api.example.com/", "http://api.example.com/"} {
				body, err := roundTrip(t, tr, url) // a plain request may get the proxy's 407 as its answer
				if s := fmt.Sprintf("%s %v %+v", body, err, err); strings.Contains(s, "mArKeR") {
					t.Errorf("%s: %s", url, s)
				}
				if err == nil && name == "closed" {
					t.Errorf("%s: no error", url)
				}
			}
		})
	}
}

func TestTransportSettings(t *testing.T) {
	t.Parallel()
	tr := newDialer(t, dial.Options{}).Transport(nil)
	switch {
	case tr.Proxy != nil:
		t.Error("reads proxies elsewhere")
	case !tr.DisableCompression:
		t.Error("touches encodings")
	case tr.ResponseHeaderTimeout != 0:
		t.Error("limits the time to the first byte")
	case tr.TLSClientConfig.MinVersion < tls.VersionTLS12 || tr.TLSClientConfig.InsecureSkipVerify:
		t.Error("weak TLS")
	case tr.MaxIdleConnsPerHost < 200 || tr.MaxConnsPerHost != 0:
		t.Error("does not keep 200 connections")
	case !tr.Protocols.HTTP1() || !tr.Protocols.HTTP2():
		t.Errorf("protocols %v", tr.Protocols)
	case tr.HTTP2.SendPingTimeout == 0:
		t.Error("dead HTTP/2 connections are not found")
	}
}

func TestExtraRootsDoNotReplaceTheSystems(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/etc/ssl/certs/ca-certificates.crt"); err != nil {
		t.Skip("no /etc/ssl/certs/ca-certificates.crt to compare with")
	}
	with := newDialer(t, dial.Options{RootCAs: rootFile(t)}).Transport(nil).TLSClientConfig.RootCAs
	pem, err := os.ReadFile(rootFile(t))
	if err != nil {
		t.Fatal(err)
	}
	alone := newPool(t, pem)
	if with.Equal(alone) {
		t.Error("only the extra root is trusted")
	}
}
