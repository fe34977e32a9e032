package sim

import (
	"encoding/json"
	"strings"
	"sync"
)

// Directive is an instruction in the user text of a request: [[sim:name=value]].
// A text may hold several. The names are
//
//	text=…            the answer, literally
//	reasoning=…       a reasoning summary before it
//	tool=NAME {json}  a tool call; several make parallel calls. After the result
//	                  of a tool has come back the answer is plain text
//	chunks=N          streamed in N text chunks
//	size=N            an answer of N bytes
//	delay=50ms        between chunks
//	first=50ms        before the first byte
//	finish=REASON     another finish reason: length, content_filter, error, …
//	fault=NAME[=ARG]  a fault, see [Faults]
//	once=NAME[=ARG]   the same, for the first request with this user text only
//	gate=NAME[@N]     wait at Scenario.Gates[NAME], before text chunk N (0: before the headers)
type Directive struct{ Name, Value string }

const directiveStart = "[[sim:"

// Directives returns the directives in text, and text without them.
func Directives(text string) ([]Directive, string) {
	if !strings.Contains(text, directiveStart) {
		return nil, text
	}
	var found []Directive
	var rest strings.Builder
	for {
		before, after, ok := strings.Cut(text, directiveStart)
		rest.WriteString(before)
		if !ok {
			return found, strings.TrimSpace(rest.String())
		}
		inner, tail, ok := cutDirective(after)
		if !ok {
			rest.WriteString(directiveStart + after)
			return found, strings.TrimSpace(rest.String())
		}
		name, value, _ := strings.Cut(inner, "=")
		found = append(found, Directive{Name: strings.TrimSpace(name), Value: value})
		text = tail
	}
}

// cutDirective splits s after the directive that it starts with. The arguments
// of a tool are JSON and may hold the closing brackets themselves.
func cutDirective(s string) (inner, tail string, ok bool) {
	if strings.HasPrefix(s, "tool=") {
		open := strings.IndexByte(s, '{')
		end := strings.Index(s, "]]")
		if open >= 0 && open < end {
			var raw json.RawMessage
			d := json.NewDecoder(strings.NewReader(s[open:]))
			if d.Decode(&raw) == nil {
				n := open + int(d.InputOffset())
				if tail, ok := strings.CutPrefix(strings.TrimLeft(s[n:], " "), "]]"); ok {
					return s[:n], tail, true
				}
			}
		}
	}
	return strings.Cut(s, "]]")
}

// tally counts how often keys were seen. It is safe for concurrent use.
type tally struct {
	mu   sync.Mutex
	seen map[string]int
}

func newTally() *tally { return &tally{seen: map[string]int{}} }

// maxTally bounds the keys remembered.
const maxTally = 100_000

// next counts key and returns how often it had been seen before.
func (t *tally) next(key string) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.seen[key]
	if n == 0 && len(t.seen) >= maxTally {
		return 0
	}
	t.seen[key] = n + 1
	return n
}
