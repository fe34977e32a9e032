package sim

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// BrainRequest is a request for an answer, independent of the surface.
type BrainRequest struct {
	Surface    string // OpChat, OpResponses or OpMessages
	Account    string
	Model      string
	Stream     bool
	User       string // last user text, without directives
	Directives []Directive
	Tools      []Tool
	Results    []ToolResult // tool results since the last turn of the assistant
	Turns      int          // messages in the request
	Body       []byte       // the whole request; must not be changed
}

// Tool is a tool that the request offers.
type Tool struct {
	Name   string
	Space  string          // responses: the namespace that the tool is in
	Type   string          // function, custom, …; messages: "" for client tools
	Schema json.RawMessage // of its arguments, may be nil
}

// ToolResult is what a client answered to a tool call.
type ToolResult struct {
	ID   string
	Name string // of the tool, when the request shows it
	Text string
}

// BrainAnswer is what the model says. The zero value stands for the default
// answer.
type BrainAnswer struct {
	Text      string
	Reasoning string
	Calls     []ToolCall
	Chunks    int           // text chunks of a stream; 0: Scenario.Chunks
	Delay     time.Duration // between chunks; 0: Scenario.ChunkDelay
	Finish    string        // "": stop or tool_calls
}

// ToolCall is a call of a tool by the model.
type ToolCall struct {
	ID        string // "": the Sim makes one
	Name      string
	Arguments string // JSON; for custom tools the input text
}

func (a *BrainAnswer) empty() bool {
	return a.Text == "" && a.Reasoning == "" && len(a.Calls) == 0 && a.Finish == ""
}

// ShellBrain returns a Brain that drives an agent: it runs command with the
// agent's shell tool, and ends with a text once the result has come back.
// Requests without a shell tool get the default answer.
func ShellBrain(command string) func(BrainRequest) BrainAnswer {
	return func(r BrainRequest) BrainAnswer {
		if len(r.Results) > 0 {
			return BrainAnswer{}
		}
		for _, t := range r.Tools {
			if call, ok := shellCall(t, command); ok {
				return BrainAnswer{Text: "I will run a command.", Calls: []ToolCall{call}}
			}
		}
		return BrainAnswer{}
	}
}

// shellCall makes a call of t, if t looks like a shell.
func shellCall(t Tool, command string) (ToolCall, bool) {
	switch strings.ToLower(t.Name) {
	case "bash", "shell", "sh", "exec_command", "run_shell_command", "shell_command", "run_terminal_command", "run_in_terminal", "local_shell":
	default:
		return ToolCall{}, false
	}
	var schema struct {
		Properties map[string]struct {
			Type string `json:"type"`
		} `json:"properties"`
		Required []string `json:"required"`
	}
	_ = json.Unmarshal(t.Schema, &schema) // no schema: the commonest argument
	args := object{}
	for _, name := range schema.Required {
		if schema.Properties[name].Type == "string" {
			args[name] = "run a command"
		}
	}
	name := "command"
	if _, ok := schema.Properties["cmd"]; ok {
		name = "cmd"
	}
	args[name] = command
	if schema.Properties[name].Type == "array" {
		args[name] = []string{"bash", "-lc", command}
	}
	return ToolCall{Name: t.Name, Arguments: string(mustJSON(args))}, true
}

// Limits of what the default answer repeats from the request, in bytes.
const (
	maxEcho       = 500
	maxEchoResult = 200
)

// clip shortens s to at most n bytes, at a character boundary.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// defaultAnswer obeys the directives in the user text, and repeats the text
// when there are none.
func defaultAnswer(a *ask) BrainAnswer {
	var b BrainAnswer
	literal := false
	size := 0
	for _, d := range a.directives {
		switch d.Name {
		case "text":
			b.Text, literal = d.Value, true
		case "reasoning":
			b.Reasoning = d.Value
		case "tool":
			name, args, _ := strings.Cut(strings.TrimSpace(d.Value), " ")
			if args = strings.TrimSpace(args); args == "" {
				args = "{}"
			}
			if len(a.tools) > 0 && len(a.results) == 0 {
				b.Calls = append(b.Calls, ToolCall{Name: name, Arguments: args})
			}
		case "chunks":
			b.Chunks, _ = strconv.Atoi(d.Value) // not a number: the scenario's
		case "size":
			size, _ = strconv.Atoi(d.Value)
		case "delay":
			b.Delay, _ = time.ParseDuration(d.Value)
		}
	}
	if size > 0 {
		b.Text = sized(a.modelID, min(size, 64<<20))
		return b
	}
	if !literal && len(b.Calls) == 0 {
		b.Text = "simulated answer from " + a.modelID + " to: " + clip(a.user, maxEcho)
		for _, r := range a.results {
			b.Text += " (tool " + r.Name + " said: " + clip(strings.TrimSpace(r.Text), maxEchoResult) + ")"
		}
		for _, text := range a.compacted {
			b.Text += " (compacted: " + clip(text, maxEcho) + ")"
		}
	}
	return b
}

// sized returns a text of n bytes.
func sized(model string, n int) string {
	line := "simulated text from " + model + " of a given size. "
	return strings.Repeat(line, n/len(line)+1)[:n]
}

// answer is a BrainAnswer made ready to be sent.
type answer struct {
	chunks    []string // of the text
	reasoning []string
	calls     []ToolCall // with ids
	finish    string     // stop, tool_calls, length, content_filter, error, …
	delay     time.Duration
	endless   bool // the arguments of the call are white space without an end

	compaction bool // in the place of an answer

	cached, output, thought int // tokens
}

// text is the whole text.
func (a *answer) text() string { return strings.Join(a.chunks, "") }

// plan decides what to answer.
func (c *call) plan(a *ask) *answer {
	var b BrainAnswer
	if c.st.Brain != nil {
		b = c.st.Brain(BrainRequest{
			Surface: c.op, Account: c.account.name, Model: a.modelID, Stream: a.stream, User: a.user,
			Directives: a.directives, Tools: a.tools, Results: a.results, Turns: len(a.turns), Body: c.body,
		})
	}
	if b.empty() {
		b = defaultAnswer(a)
	}
	if b.Chunks == 0 {
		b.Chunks = c.st.Chunks
	}
	if b.Delay == 0 {
		b.Delay = c.st.ChunkDelay
	}
	out := &answer{calls: b.Calls, finish: b.Finish, delay: b.Delay}
	if b.Reasoning != "" {
		out.reasoning = words(b.Reasoning)
	} else if a.reasoning {
		out.reasoning = words("Thinking about " + clip(a.user, 80))
	}
	e := &c.effect
	switch {
	case e.big > 0:
		out.chunks = []string{sized(a.modelID, e.big)}
	case b.Chunks > 0:
		out.chunks = pieces(b.Text, b.Chunks)
	case b.Text != "":
		out.chunks = words(b.Text)
	}
	if a.maxTokens > 0 && len(out.chunks) > a.maxTokens && len(out.calls) == 0 {
		out.chunks, out.finish = out.chunks[:a.maxTokens], "length"
	}
	if e.whitespace > 0 {
		out.endless, out.finish = true, "length"
		name := "noop"
		if len(a.tools) > 0 {
			name = a.tools[0].Name
		}
		out.calls = []ToolCall{{Name: name, Arguments: `{"value":` + strings.Repeat("\n      ", e.whitespace)}}
	}
	c.complement(a, out)
	return out
}

// complement fills in ids, the finish reason and token counts.
func (c *call) complement(a *ask, out *answer) {
	for i := range out.calls {
		if out.calls[i].ID != "" {
			continue
		}
		switch {
		case a.model.claude():
			out.calls[i].ID = "toolu_vrtx_" + c.sim.ids.hex(24)
		default:
			out.calls[i].ID = "call_" + c.sim.ids.hex(24)
		}
	}
	if out.finish == "" {
		out.finish = "stop"
		if len(out.calls) > 0 {
			out.finish = "tool_calls"
		}
	}
	if c.effect.finish != "" {
		out.finish = c.effect.finish
	}
	out.thought = len(out.reasoning)
	out.output = len(out.chunks) + out.thought
	for _, call := range out.calls {
		out.output += len(call.Arguments)/4 + 1
	}
	out.output = max(out.output, 1)
	if len(a.turns) > 2 {
		out.cached = a.prompt / 2
	}
}

// words splits s after each space.
func words(s string) []string { return strings.SplitAfter(s, " ") }

// pieces splits s into n pieces of about the same length; a text that is too
// short for that is repeated.
func pieces(s string, n int) []string {
	n = min(n, 1<<20)
	if s == "" {
		s = "chunk "
	}
	if utf8.RuneCountInString(s) < n {
		all := make([]string, n)
		for i := range all {
			all[i] = "w" + strconv.Itoa(i) + " "
		}
		return all
	}
	runes := []rune(s)
	all := make([]string, n)
	for i := range all {
		all[i] = string(runes[i*len(runes)/n : (i+1)*len(runes)/n])
	}
	return all
}

// argumentPieces splits arguments as a stream delivers them.
func (a *answer) argumentPieces(call ToolCall) []string {
	if a.endless {
		return strings.SplitAfter(call.Arguments, "\n")
	}
	return pieces(call.Arguments, max(1, utf8.RuneCountInString(call.Arguments)/12))
}
