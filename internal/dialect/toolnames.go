package dialect

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"encoding/json"
	"strings"

	"detour/internal/llm"
)

// ToolNames gives tools names that an upstream's dialect allows, and leads back from them. The zero value is not ready;
// use NewToolNames.
type ToolNames struct {
	limit int
	wire  map[string]declared // by name on the wire
	names map[string]string   // namespace + "\x00" + name → name on the wire
}

type declared struct {
	tool    llm.Tool
	wrapped bool // a free-text or native tool that went out as a function with one string, "input"
}

// NewToolNames names tools for a dialect whose names have at most limit bytes of [A-Za-z0-9_-]. wrapped says which
// tools go out as functions although they are none. Of two tools that come to the same name the second is renamed.
func NewToolNames(tools []llm.Tool, limit int, wrapped func(*llm.Tool) bool) *ToolNames {
	n := &ToolNames{limit: limit, wire: map[string]declared{}, names: map[string]string{}}
	for i := range tools {
		t := &tools[i]
		key := t.Namespace + "\x00" + t.Name
		if _, done := n.names[key]; done {
			continue
		}
		full := t.Name
		if t.Namespace != "" {
			full = t.Namespace + "__" + t.Name
		}
		name := n.legal(full)
		if _, taken := n.wire[name]; taken {
			name = n.hashed(full, key)
		}
		n.names[key] = name
		n.wire[name] = declared{*t, wrapped != nil && wrapped(t)}
	}
	return n
}

// Wire is the name on the wire of a tool, whether it was declared or only occurs in the history.
func (n *ToolNames) Wire(namespace, name string) string {
	if w, ok := n.names[namespace+"\x00"+name]; ok {
		return w
	}
	if namespace != "" {
		name = namespace + "__" + name
	}
	return n.legal(name)
}

// Declared leads from a name on the wire to the tool that the client declared.
func (n *ToolNames) Declared(wire string) (t llm.Tool, wrapped, ok bool) {
	if n == nil {
		return llm.Tool{}, false, false
	}
	d, ok := n.wire[wire]
	return d.tool, d.wrapped, ok
}

// legal returns name itself when the dialect allows it, else a name that is the same each time.
func (n *ToolNames) legal(name string) string {
	if len(name) <= n.limit && legalName(name) {
		return name
	}
	return n.hashed(name, name)
}

func (n *ToolNames) hashed(name, of string) string {
	sum := sha256.Sum256([]byte(of))
	clean := strings.Map(func(r rune) rune {
		if legalName(string(r)) {
			return r
		}
		return '_'
	}, name)
	return clean[:min(len(clean), n.limit-9)] + "_" + hex.EncodeToString(sum[:4])
}

func legalName(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '-':
		default:
			return false
		}
	}
	return s != ""
}

// CallID returns id itself when it is legal everywhere ([A-Za-z0-9_-], at most 64 bytes), else one that is the same
// each time, so that calls and results still find each other and history translates to the same bytes.
func CallID(id string) string {
	if len(id) <= 64 && legalName(id) {
		return id
	}
	sum := sha256.Sum256([]byte(id))
	return "call_" + strings.ToLower(base32.StdEncoding.EncodeToString(sum[:])[:24])
}

// Restorer puts an answer's tool calls back into the words of the client: the declared name, namespace and kind, and
// the free text of a wrapped tool. It is a step between a Decoder and an Encoder, for one answer.
type Restorer struct {
	Tools   *ToolNames
	wrapped map[int][]byte // arguments held back, by block
	part    llm.Part
	call    llm.Call
}

// Step appends what e becomes.
func (r *Restorer) Step(dst []llm.Event, e llm.Event) []llm.Event {
	switch e.Kind {
	case llm.EventBlock:
		if e.Part == nil || e.Part.Call == nil || e.Part.Call.Namespace != "" {
			break // with a namespace it is in the client's words already
		}
		t, wrapped, ok := r.Tools.Declared(e.Part.Call.Name)
		if !ok {
			break
		}
		r.part, r.call = *e.Part, *e.Part.Call
		r.part.Call = &r.call
		r.call.Name, r.call.Namespace = t.Name, t.Namespace
		if wrapped {
			r.call.Kind, r.call.Type = t.Kind, t.Type
			if r.wrapped == nil {
				r.wrapped = map[int][]byte{}
			}
			r.wrapped[e.Block] = []byte{}
		}
		e.Part = &r.part
	case llm.EventArgs:
		if held, ok := r.wrapped[e.Block]; ok {
			r.wrapped[e.Block] = append(held, e.Delta...)
			return dst
		}
	case llm.EventStop:
		if held, ok := r.wrapped[e.Block]; ok {
			delete(r.wrapped, e.Block)
			dst = append(dst, llm.Event{Kind: llm.EventArgs, Block: e.Block, Delta: Unwrap(held)})
		}
	}
	return append(dst, e)
}

// Unwrap takes the free text out of a wrapped tool's arguments. What is no wrapper is the text itself. Models that have
// seen other tools for patches name the text as those do, or write a command line of which it is the argument.
func Unwrap(arguments []byte) []byte {
	var w map[string]json.RawMessage
	if json.Unmarshal(arguments, &w) != nil {
		return arguments
	}
	for _, key := range []string{"input", "patch", "diff"} {
		var text string
		if raw, ok := w[key]; ok && json.Unmarshal(raw, &text) == nil {
			return []byte(text)
		}
	}
	var command []string
	if json.Unmarshal(w["command"], &command) == nil && len(command) == 2 {
		return []byte(command[1])
	}
	return arguments
}

// Wrap makes the arguments of a wrapped tool of its free text.
func Wrap(text string) []byte {
	b, _ := json.Marshal(struct {
		Input string `json:"input"`
	}{text})
	return b
}

// WrapperSchema is the JSON Schema of a wrapped tool's arguments.
const WrapperSchema = `{"type":"object","properties":{"input":{"type":"string"}},"required":["input"],"additionalProperties":false}`
