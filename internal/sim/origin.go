package sim

import (
	"crypto/sha256"
	"encoding/hex"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxOriginBody bounds the bodies that the origin reads.
const maxOriginBody = 64 << 20

// originHandler serves the origin, and the simulated planes on their real host
// names if the scenario wants that.
func (s *Sim) originHandler(at site) http.Handler {
	echo := s.handle(PlaneOrigin, at, s.serveOrigin)
	login := s.handle(PlaneLogin, at, s.serveLogin)
	api := s.handle(PlaneAPI, at, s.serveAPI)
	generic := s.handle(PlaneCopilot, at, s.serveCopilot)
	byPlan := map[string]http.Handler{}
	for _, plan := range []site{siteIndividual, siteBusiness, siteEnterprise} {
		byPlan["api."+string(plan)+".githubcopilot.com"] = s.handle(PlaneCopilot, plan, s.serveCopilot)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := echo
		if s.state.Load().OriginCopilot {
			switch name := hostName(r.Host); {
			case name == "github.com":
				h = login
			case name == "api.github.com":
				h = api
			case byPlan[name] != nil:
				h = byPlan[name]
			case strings.HasSuffix(name, ".githubcopilot.com"):
				h = generic
			}
		}
		h.ServeHTTP(w, r)
	})
}

// hostName is host without a port, in lower case.
func hostName(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.ToLower(host)
}

// serveOrigin serves any other web site. All answers name the site in the
// header X-Sim-Origin. The paths are
//
//	/sse?n=5&delay=10ms&size=20  n events, size bytes each
//	/big?n=1000000               n bytes
//	/ws                          a WebSocket that echoes messages
//	/status/503                  that status
//	/echo                        the request body
//	/page                        HTML
//	/gzip                        the description, compressed whatever the client asked for
//	/redirect                    302 to /page
//	/NAME.git/info/refs          the refs of a repository with one branch, for git ls-remote
//	/drop /rst /hang             no answer, in three ways
//
// and anything else answers with a JSON description of the request.
func (s *Sim) serveOrigin(c *call) {
	name := hostName(c.r.Host)
	c.w.Header().Set("X-Sim-Origin", name)
	q := c.r.URL.Query()
	switch path := c.r.URL.Path; {
	case path == "/ws":
		c.websocket()
		return
	case path == "/sse":
		c.originEvents(number(q.Get("n"), 5), q.Get("delay"), number(q.Get("size"), 20))
		return
	case path == "/big":
		c.originBig(number(q.Get("n"), 1<<20))
		return
	case path == "/drop":
		c.abort()
	case path == "/rst":
		c.reset()
	case path == "/hang":
		c.hang()
		return
	}
	if err := c.read(maxOriginBody); err != nil {
		c.reply(413, typeText, []byte(err.Error()+"\n"))
		return
	}
	switch path := c.r.URL.Path; {
	case path == "/echo":
		c.reply(200, c.r.Header.Get("Content-Type"), c.body)
	case path == "/page":
		c.reply(200, typeHTML, []byte(htmlPage(name)))
	case path == "/redirect":
		c.w.Header().Set("Location", "/page")
		c.reply(302, typeText, nil)
	case path == "/gzip":
		c.w.Header().Set("Content-Encoding", "gzip")
		c.originReply(gzipped(c.describe(name)))
	case strings.HasSuffix(path, ".git/info/refs"):
		c.reply(200, "application/x-git-upload-pack-advertisement", []byte(gitRefs))
	case strings.HasPrefix(path, "/status/"):
		status := number(strings.TrimPrefix(path, "/status/"), 200)
		if status < 200 || status > 599 {
			status = 400
		}
		c.reply(status, typeText, []byte(name+" says "+strconv.Itoa(status)+"\n"))
	default:
		c.originReply(c.describe(name))
	}
}

// originReply sends a body as it is, whatever the client accepts.
func (c *call) originReply(body []byte) {
	h := c.w.Header()
	h.Set("Content-Type", typeJSON)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	c.status(http.StatusOK)
	c.complete()
	_, _ = c.w.Write(body)
}

// gitRefs advertises one branch in Git's smart HTTP protocol (gitprotocol-http), in its pkt-line framing.
const gitRefs = "001e# service=git-upload-pack\n0000" +
	"003d1111111111111111111111111111111111111111 refs/heads/main\n0000"

// number parses s as a number that is not negative.
func number(s string, absent int) int {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 {
		return absent
	}
	return n
}

// describe renders what arrived.
func (c *call) describe(name string) []byte {
	sum := sha256.Sum256(c.body)
	return mustJSON(object{
		"origin": name, "method": c.r.Method, "path": c.r.URL.Path, "query": c.r.URL.RawQuery, "proto": c.r.Proto,
		"host": c.r.Host, "tls": c.r.TLS != nil, "headers": c.r.Header, "trailers": c.r.Trailer,
		"body_bytes": len(c.body), "body_sha256": hex.EncodeToString(sum[:]),
	})
}

// originEvents sends n events of size bytes.
func (c *call) originEvents(n int, delay string, size int) {
	pause, err := time.ParseDuration(delay)
	if err != nil && delay != "" {
		c.reply(400, typeText, []byte("delay: "+err.Error()+"\n"))
		return
	}
	c.w.Header().Set("Content-Type", typeSSE)
	c.status(http.StatusOK)
	c.w.WriteHeader(http.StatusOK)
	flush := http.NewResponseController(c.w).Flush
	filler := strings.Repeat("x", min(size, maxOriginBody))
	for i := range n {
		if i > 0 && !c.sleep(pause) {
			return
		}
		if i == n-1 {
			c.complete()
		}
		_, err := c.w.Write([]byte("id: " + strconv.Itoa(i) + "\ndata: " + strconv.Itoa(i) + " " + filler + "\n\n"))
		if err != nil || flush() != nil {
			return
		}
	}
}

// originBig sends n bytes that repeat every 64 KiB.
func (c *call) originBig(n int) {
	block := make([]byte, min(n, 64<<10))
	for i := range block {
		block[i] = byte('a' + i%26)
	}
	h := c.w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Length", strconv.Itoa(n))
	c.status(http.StatusOK)
	c.w.WriteHeader(http.StatusOK)
	for n > 0 {
		if n <= len(block) {
			c.complete()
		}
		m, err := c.w.Write(block[:min(n, len(block))])
		if err != nil {
			return
		}
		n -= m
	}
}
