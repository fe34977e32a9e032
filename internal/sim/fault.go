package sim

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Fault is one deviation from a healthy answer.
type Fault struct {
	// On is the operation it applies to (one of the Op constants); "": chat,
	// responses and messages. Account and Model narrow that further.
	On, Account, Model string

	// Name is one of [Faults]; "": answer with Status, Header and Body as they
	// are. Arg is what follows "=" in a directive.
	Name, Arg string
	Times     int // how many requests; 0: one; <0: all

	Status int
	Header map[string]string
	Body   string
	Gate   *Gate // of the faults gate and silence, instead of a name or a duration
}

// matches says whether the fault is meant for a request.
func (f *Fault) matches(op, account, model string) bool {
	if f.On == "" {
		if op != OpChat && op != OpResponses && op != OpMessages {
			return false
		}
	} else if f.On != op {
		return false
	}
	return (f.Account == "" || f.Account == account) && (f.Model == "" || f.Model == model)
}

// cut is a way in which an answer ends early.
type cut int

const (
	cutNone  cut = iota
	cutRST       // TCP RST, RST_STREAM
	cutAbort     // connection closed within the body
	cutEOF       // body ended properly, terminal event missing
	cutError     // error frame, then a proper end of the body
	cutHang      // silence until the client goes away
)

// effect is what all faults of a request together do to its answer.
type effect struct {
	reply *reply // instead of the answer

	delay   time.Duration // before the headers
	noStart bool          // never send headers
	first   time.Duration // between headers and first byte

	cut     cut
	at      int           // text chunks sent before cut, silence and gate
	code    string        // of the error frame
	silence time.Duration // pause within the stream
	gate    *Gate
	gateAt  int // chunks sent before gate

	bytewise   bool   // every byte in a write of its own
	big        int    // size of a single text chunk
	finish     string // finish reason
	whitespace int    // white space chunks in tool arguments
	html       bool   // HTML body with status 200
}

// reply is a whole answer.
type reply struct {
	status      int
	contentType string
	header      map[string]string
	body        string
}

// errUnknownFault makes mistakes in tests visible.
var errUnknownFault = errors.New("unknown fault")

// add lets f take effect. gates are those that f may name.
func (e *effect) add(f Fault, gates map[string]*Gate) error {
	if f.Name == "" || f.Name == "status" && f.Arg == "" {
		contentType := f.Header["Content-Type"]
		if contentType == "" {
			contentType = typeText
		}
		e.reply = &reply{status: f.Status, contentType: contentType, header: f.Header, body: f.Body}
		return nil
	}
	if r, ok := errorReply(f.Name, f.Arg); ok {
		e.reply = &r
		return nil
	}
	return e.addTransport(f, gates)
}

// addTransport adds the faults that are not answers of their own.
func (e *effect) addTransport(f Fault, gates map[string]*Gate) (err error) {
	n := 1
	if v, err := strconv.Atoi(f.Arg); err == nil {
		n = v
	}
	switch f.Name {
	case "rst":
		e.cut, e.at = cutRST, n
	case "abort":
		e.cut, e.at = cutAbort, n
	case "eof":
		e.cut, e.at = cutEOF, n
	case "stall":
		e.cut, e.at = cutHang, n
	case "error":
		at, code, _ := strings.Cut(f.Arg, ":")
		if n, err = strconv.Atoi(at); err != nil {
			n, code, err = 1, f.Arg, nil
		}
		e.cut, e.at, e.code = cutError, n, code
	case "hang":
		e.noStart = true
	case "delay":
		e.delay, err = time.ParseDuration(f.Arg)
	case "first":
		e.first, err = time.ParseDuration(f.Arg)
	case "silence":
		err = e.addSilence(f)
	case "gate":
		err = e.addGate(f, gates)
	case "bytes":
		e.bytewise = true
	case "big":
		e.big = 4 << 20
		if f.Arg != "" {
			e.big = n
		}
	case "finish":
		e.finish = f.Arg
	case "finish_error":
		e.finish = "error"
	case "whitespace":
		e.whitespace = 400
		if f.Arg != "" {
			e.whitespace = n
		}
	case "html200":
		e.html = true
	default:
		err = errUnknownFault
	}
	if err != nil {
		return fmt.Errorf("apply fault %q with argument %q: %w", f.Name, f.Arg, err)
	}
	return nil
}

// addSilence parses D or D@N.
func (e *effect) addSilence(f Fault) error {
	d, at, found := strings.Cut(f.Arg, "@")
	e.at = 1
	if found {
		n, err := strconv.Atoi(at)
		if err != nil {
			return err
		}
		e.at = n
	}
	if f.Gate != nil {
		e.gate, e.gateAt = f.Gate, e.at
		return nil
	}
	var err error
	e.silence, err = time.ParseDuration(d)
	return err
}

// addGate parses NAME or NAME@N.
func (e *effect) addGate(f Fault, gates map[string]*Gate) error {
	name, at, found := strings.Cut(f.Arg, "@")
	if found {
		n, err := strconv.Atoi(at)
		if err != nil {
			return err
		}
		e.gateAt = n
	}
	e.gate = f.Gate
	if e.gate == nil {
		e.gate = gates[name]
	}
	if e.gate == nil {
		return fmt.Errorf("no gate %q in the scenario", name)
	}
	return nil
}

// collect finds the faults of a request: the header X-Sim-Fault, the directives
// in the user text, and the queue of the scenario.
func (c *call) collect(model, userText string, directives []Directive) error {
	if name, arg, _ := strings.Cut(c.r.Header.Get("X-Sim-Fault"), "="); name != "" {
		if err := c.effect.add(Fault{Name: name, Arg: arg}, c.st.Gates); err != nil {
			return err
		}
	}
	for _, d := range directives {
		f := Fault{Name: d.Name, Arg: d.Value}
		switch d.Name {
		case "gate", "first":
		case "finish":
		case "once":
			if c.sim.seen.next(c.op+"\x00"+userText) > 0 {
				continue
			}
			fallthrough
		case "fault":
			f.Name, f.Arg, _ = strings.Cut(d.Value, "=")
		default:
			continue
		}
		if err := c.effect.add(f, c.st.Gates); err != nil {
			return err
		}
	}
	account := ""
	if c.account != nil {
		account = c.account.name
	}
	f, ok := c.sim.takeFault(func(f *Fault) bool { return f.matches(c.op, account, model) })
	if !ok {
		return nil
	}
	return c.effect.add(f, c.st.Gates)
}

// faulted applies the effects that come before the headers. It returns true
// when the request is over with that.
func (c *call) faulted() bool {
	e := &c.effect
	if !c.sleep(e.delay) {
		return true
	}
	if e.gate != nil && e.gateAt == 0 && !c.pass(e.gate) {
		return true
	}
	switch {
	case e.noStart:
		c.hang()
		return true
	case e.reply != nil:
		for k, v := range e.reply.header {
			c.w.Header().Set(k, v)
		}
		c.reply(e.reply.status, e.reply.contentType, []byte(e.reply.body))
		return true
	case e.html:
		c.reply(200, typeHTML, []byte(htmlPage("Checking your browser")))
		return true
	}
	return false
}
