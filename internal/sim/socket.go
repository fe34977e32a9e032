package sim

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/coder/websocket"
)

// socket is the WebSocket of /responses. Each text frame is a request, with its
// members at the top level; the events of the answer are text frames. It
// remembers its answers, so that a request can go on from one.
type socket struct {
	*call
	conn *websocket.Conn
	raw  net.Conn
	said map[string][]json.RawMessage // the conversation up to each answer, by its id
}

// upgrades says whether the request wants to become a WebSocket.
func upgrades(r *http.Request) bool {
	return r.ProtoMajor == 1 && strings.EqualFold(r.Header.Get("Upgrade"), "websocket")
}

// socket serves the connection until the client leaves it or a fault ends it.
func (c *call) socket() {
	s := &socket{call: c, said: map[string][]json.RawMessage{}}
	var err error
	s.conn, err = websocket.Accept(taken{c.w, &s.raw}, c.r, &websocket.AcceptOptions{InsecureSkipVerify: true, CompressionMode: websocket.CompressionNoContextTakeover})
	if err != nil {
		c.status(http.StatusBadRequest)
		c.complete()
		return
	}
	c.status(http.StatusSwitchingProtocols)
	c.complete()
	s.conn.SetReadLimit(defaultMaxBody)
	ctx, cancel := context.WithCancel(c.r.Context())
	var reading sync.WaitGroup
	defer reading.Wait()
	defer func() { _ = s.conn.CloseNow() }()
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = s.raw.Close() }) // the Sim is closed
	defer stop()
	frames := make(chan []byte)
	reading.Go(func() {
		defer cancel() // whatever is being answered: the client is gone
		for {
			_, b, err := s.conn.Read(context.Background()) // ends with the connection
			if err != nil {
				return
			}
			select {
			case frames <- b:
			case <-ctx.Done():
				return
			}
		}
	})
	for {
		select {
		case b := <-frames:
			if !s.answer(ctx, b) {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

// taken notes the connection that is taken over.
type taken struct {
	http.ResponseWriter
	raw *net.Conn
}

func (t taken) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	raw, buffered, err := http.NewResponseController(t.ResponseWriter).Hijack()
	*t.raw = raw
	return raw, buffered, err
}

// answer answers one frame. It returns false when the connection is to end
// without a word.
func (s *socket) answer(ctx context.Context, frame []byte) (open bool) {
	r := s.r.WithContext(ctx)
	w := &socketWriter{s: s, header: http.Header{}}
	c := &call{sim: s.sim, st: s.sim.state.Load(), w: w, r: r, site: s.site, op: OpResponses, account: s.account, who: s.who, onSocket: true}
	if s.sim.log != nil {
		c.begin(PlaneCopilot)
		c.note(func(r *Request) { r.Op, r.Account, r.Body, r.Socket = OpResponses, s.account.name, frame, true })
		defer c.end()
	}
	defer func() {
		if v := recover(); v != nil {
			if err, ok := v.(error); !ok || !errors.Is(err, http.ErrAbortHandler) {
				panic(v)
			}
			open = false // abrupt, as the fault wants it
		}
	}()
	w.c = c
	items, err := s.request(c, frame)
	if err != nil {
		w.fail(err.status, []byte(err.body))
		return true
	}
	c.infer(decodeResponses, c.responses)
	if !w.finish() {
		return false
	}
	if w.id != "" {
		s.said[w.id] = append(items, w.items...)
	}
	return true
}

// request makes c's body of a frame: the members of the request, streamed, with
// the whole conversation as its input, which it also returns.
func (s *socket) request(c *call, frame []byte) ([]json.RawMessage, *reply) {
	wrong := func(code, message string) *reply { return &reply{status: 400, body: codeBody(code, message)} }
	var members map[string]json.RawMessage
	if err := json.Unmarshal(frame, &members); err != nil {
		return nil, wrong("invalid_request_body", "invalid frame: "+err.Error())
	}
	var kind, initiator, previous string
	_ = json.Unmarshal(members["type"], &kind) // not a string: not the right one either
	_ = json.Unmarshal(members["initiator"], &initiator)
	_ = json.Unmarshal(members["previous_response_id"], &previous)
	switch {
	case kind != "response.create":
		return nil, wrong("invalid_request_body", "frames must be of type response.create, with the request's members beside it")
	case members["response"] != nil:
		return nil, wrong("invalid_request_body", "the request's members must not be nested")
	}
	for _, name := range []string{"type", "initiator", "previous_response_id"} {
		delete(members, name)
	}
	var own []json.RawMessage
	if in := bytes.TrimSpace(members["input"]); len(in) > 0 && in[0] == '"' {
		own = []json.RawMessage{json.RawMessage(`{"type":"message","role":"user","content":` + string(in) + `}`)}
	} else if err := json.Unmarshal(members["input"], &own); err != nil {
		return nil, wrong("invalid_request_body", "input must be a string or a list of items")
	}
	said, ok := s.said[previous]
	if previous != "" && !ok {
		return nil, wrong("previous_response_not_found", "Previous response with id '"+previous+"' not found.")
	}
	items := append(slices.Clip(said), own...)
	members["input"] = mustJSON(items)
	members["stream"] = json.RawMessage("true")
	c.body = mustJSON(members)
	c.r.Header = c.r.Header.Clone()
	c.r.Header.Del("X-Initiator") // it is in the frame
	if initiator != "" {
		c.r.Header.Set("X-Initiator", initiator)
	}
	return items, nil
}

// socketSnapshots are the quotas as frames carry them.
func (c *call) socketSnapshots() object {
	premium := object{"entitlement": "-1", "percent_remaining": 100.0, "overage_permitted": false, "overage_count": 0, "reset_date": resetDate(c.sim.now())}
	if c.who.Entitlement >= 0 {
		_, percent, overage := c.who.remaining(c.who.Used + c.account.Premium())
		premium["entitlement"], premium["percent_remaining"] = entitlement(c.who.entitlement()), percent
		premium["overage_permitted"], premium["overage_count"] = c.who.Overage, overage
	}
	return object{"premium_interactions": premium}
}
