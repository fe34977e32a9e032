package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"detour/internal/app"
)

// healthTimeout bounds how long a door may take to answer.
const healthTimeout = 2 * time.Second

// doorState is one door as it is configured, and what is found there.
type doorState struct {
	Name      string      `json:"name"` // api or proxy
	Address   string      `json:"address"`
	Listening bool        `json:"listening"`
	Detour    *app.Health `json:"detour,omitempty"` // of the detour that answers there
	Problem   string      `json:"problem,omitempty"`
}

// doors looks at both doors: where the detour that runs has opened them, else where they are configured.
func doors(ctx context.Context, s settings) []doorState {
	server, proxy := s.config.Server, s.config.ProxyMode
	running, _ := app.FindRunning(s.paths)
	for _, d := range []struct {
		address string
		host    *string
		port    *int
	}{{running.API, &server.Host, &server.Port}, {running.Proxy, &proxy.Host, &proxy.Port}} {
		if host, port, err := net.SplitHostPort(d.address); err == nil {
			if n, err := strconv.Atoi(port); err == nil {
				*d.host, *d.port = host, n
			}
		}
	}
	return []doorState{
		inspectDoor(ctx, "api", server.Host, server.Port, server.TLSCert),
		inspectDoor(ctx, "proxy", proxy.Host, proxy.Port, proxy.TLSCert),
	}
}

func inspectDoor(ctx context.Context, name, host string, port int, cert string) doorState {
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
		if ip.To4() == nil {
			host = "::1"
		}
	}
	d := doorState{Name: name, Address: net.JoinHostPort(host, strconv.Itoa(port))}
	if port == 0 {
		d.Problem = "the port is chosen anew at each start"
		return d
	}
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	health, listening, err := askHealth(ctx, d.Address, cert)
	d.Listening, d.Detour = listening, health
	if listening && err != nil {
		d.Problem = "something listens there that is not this detour: " + err.Error()
	}
	return d
}

// askHealth asks the detour at address how it is. listening tells whether anything took the connection.
func askHealth(ctx context.Context, address, cert string) (health *app.Health, listening bool, err error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, false, err
	}
	_ = conn.Close()
	transport := &http.Transport{DisableKeepAlives: true} // no proxy: the door is here
	url := "http://" + address + "/health"
	if cert != "" {
		if transport.TLSClientConfig, err = pinned(cert); err != nil {
			return nil, true, err
		}
		url = "https://" + address + "/health"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, true, err
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return nil, true, err
	}
	defer resp.Body.Close()
	const largest = 1 << 20
	body, err := io.ReadAll(io.LimitReader(resp.Body, largest))
	if err != nil {
		return nil, true, err
	}
	health = new(app.Health)
	if resp.StatusCode != http.StatusOK || json.Unmarshal(body, health) != nil || health.Status == "" {
		return nil, true, fmt.Errorf("it answers /health with status %d", resp.StatusCode)
	}
	return health, true, nil
}

// pinned accepts exactly the certificate in file, whatever name it is for: the door is asked for by its address.
func pinned(file string) (*tls.Config, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, fmt.Errorf("read %s: it does not begin with a certificate", file)
	}
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: true, //nolint:gosec // VerifyConnection compares the very certificate
		VerifyConnection: func(s tls.ConnectionState) error {
			if len(s.PeerCertificates) == 0 || !bytes.Equal(s.PeerCertificates[0].Raw, block.Bytes) {
				return errors.New("its certificate is not the one in " + file)
			}
			return nil
		},
	}, nil
}

func (d *doorState) print(f *facts) {
	subject := d.Name + " door"
	f.add(subject, "address", text(d.Address))
	switch {
	case d.Detour != nil:
		f.add(subject, "state", cell{"open, detour " + d.Detour.Version + " up for " + span(time.Duration(d.Detour.Uptime)*time.Second), "open"})
	case d.Listening:
		f.add(subject, "state", text("taken"))
		f.add(subject, "problem", text(d.Problem))
	case d.Problem != "":
		f.add(subject, "state", cell{d.Problem, "unknown"})
	default:
		f.add(subject, "state", text("closed"))
	}
}

// running is what the detour behind the doors says, nil when none does.
func running(doors []doorState) *app.Health {
	for i := range doors {
		if doors[i].Detour != nil {
			return doors[i].Detour
		}
	}
	return nil
}

// printRunning shows what waits in the files, and how the budgets stand.
func printRunning(f *facts, h *app.Health, now time.Time) {
	if c := h.Config; c != nil {
		if c.Problem != "" {
			f.add("running detour", "problem", cell{"for " + span(now.Sub(c.Since)) + " the files cannot be used, and what ran before goes on: " + oneLine(c.Problem), oneLine(c.Problem)})
		}
		if len(c.Restart) > 0 {
			f.add("running detour", "restart_for", cell{strings.Join(c.Restart, ", ") + ": changed, and taken up by a new start", strings.Join(c.Restart, " ")})
		}
		for _, n := range c.Notices {
			f.add("running detour", "notice", text(n))
		}
	}
	for _, b := range h.Budgets {
		name := "budget " + b.Name
		if b.Of != "" {
			name += " of " + b.Of
		}
		spent := number(b.Spent).plain + " of " + number(b.Limit).plain + " " + strings.ReplaceAll(b.Unit, "_", " ")
		if b.Spent >= b.Limit {
			spent += ", so requests are refused"
		}
		f.add(name, b.Period, cell{spent + "; begins anew " + when(b.Resets, now).human, number(b.Spent).plain + " of " + number(b.Limit).plain + " " + b.Unit})
	}
}

// oneLine puts a list of mistakes into one line.
func oneLine(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r == '\n' }), ";")
}

// printAccount shows how a running detour sees the account. Both doors of one detour say the same; the first tells.
func (d *doorState) printAccount(f *facts, id string, now time.Time) {
	if d.Detour == nil || d.Name == "proxy" && hasField(*f, "account "+id, "running") {
		return
	}
	for _, a := range d.Detour.Accounts {
		if a.ID != id {
			continue
		}
		human := a.State
		if a.Why != "" {
			human += " (" + a.Why + ")"
		}
		if !a.Until.IsZero() {
			human += ", again " + when(a.Until, now).human
		}
		f.add("account "+id, "running", cell{fmt.Sprintf("%s, %d served", human, a.Served), a.State})
		printLimits(f, "account "+id, &a, now)
	}
}

func hasField(f facts, subject, field string) bool {
	for _, a := range f {
		if a.subject == subject && a.field == field {
			return true
		}
	}
	return false
}
