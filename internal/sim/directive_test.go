package sim_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"detour/internal/sim"
)

func TestDirectives(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		text string
		want []sim.Directive
		rest string
	}{
		{"plain", nil, "plain"},
		{"a [[sim:chunks=5]] b", []sim.Directive{{Name: "chunks", Value: "5"}}, "a  b"},
		{"[[sim:fault=error=2:x]]", []sim.Directive{{Name: "fault", Value: "error=2:x"}}, ""},
		{`[[sim:tool=f {"a":[[1]]} ]]x[[sim:delay=1s]]`, []sim.Directive{{Name: "tool", Value: `f {"a":[[1]]}`}, {Name: "delay", Value: "1s"}}, "x"},
		{"[[sim:tool=f {broken]]x", []sim.Directive{{Name: "tool", Value: "f {broken"}}, "x"},
		{"[[sim:tool=f]] {}]]", []sim.Directive{{Name: "tool", Value: "f"}}, "{}]]"},
		{"[[sim:open", nil, "[[sim:open"},
	} {
		got, rest := sim.Directives(tc.text)
		if !slices.Equal(got, tc.want) || rest != tc.rest {
			t.Errorf("%q: %v %q, want %v %q", tc.text, got, rest, tc.want, tc.rest)
		}
	}
}

func FuzzDirectives(f *testing.F) {
	f.Add(`a [[sim:tool=f {"a":[[1]]}]] b [[sim:text=x]]`)
	f.Add("[[sim:[[sim:]]]]")
	f.Fuzz(func(t *testing.T, text string) {
		all, rest := sim.Directives(text)
		if len(rest) > len(text) {
			t.Errorf("rest is longer than the text: %q", rest)
		}
		if len(all) == 0 && !strings.Contains(text, "[[sim:") && rest != text {
			t.Errorf("text without directives was changed: %q", rest)
		}
	})
}

func TestAnswerDirectives(t *testing.T) {
	t.Parallel()
	r := start(t, sim.Options{Scenario: &sim.Scenario{Chunks: 2}})
	for text, want := range map[string]string{
		"[[sim:text=exactly this]] ignored": "exactly this",
		"[[sim:size=70]]":                   "simulated text from gpt-4.1 of a given size. simulated text from gpt-4",
		"[[sim:tool=nothing]]no tools":      "simulated answer from gpt-4.1 to: no tools",
	} {
		v := r.infer("/chat/completions", fmt.Sprintf(`{"model":"gpt-4.1","stream":%v,"messages":[{"role":"user","content":%q}]}`, false, text)).json(t)
		if got := at(v, "choices", 0, "message", "content"); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
	g := r.infer("/chat/completions", `{"model":"gpt-4.1","stream":true,"messages":[{"role":"user","content":"x"}]}`)
	if n := strings.Count(g.body, `"role":"assistant"`); n != 3 {
		t.Errorf("%d deltas, want the role and two chunks", n)
	}
	if got := chatText(t, g.body); got != "simulated answer from gpt-4.1 to: x" {
		t.Errorf("text = %q", got)
	}
}

func TestBrain(t *testing.T) {
	t.Parallel()
	var seen sim.BrainRequest
	r := start(t, sim.Options{Scenario: &sim.Scenario{Brain: func(q sim.BrainRequest) sim.BrainAnswer {
		seen = q
		return sim.BrainAnswer{Text: "from the brain", Reasoning: "why not", Finish: "length", Delay: time.Microsecond}
	}}})
	v := r.infer("/v1/messages", `{"model":"claude-sonnet-4.6","max_tokens":9,"tools":[{"name":"a","input_schema":{"type":"object"}}],"messages":[{"role":"user","content":"hi [[sim:delay=0s]]"}]}`).json(t)
	if at(v, "content", 1, "text") != "from the brain" || at(v, "content", 0, "type") != "thinking" || v["stop_reason"] != "max_tokens" {
		t.Errorf("answer = %v", v)
	}
	if seen.Surface != sim.OpMessages || seen.Account != "alice" || seen.User != "hi" || len(seen.Tools) != 1 || len(seen.Directives) != 1 || seen.Turns != 1 {
		t.Errorf("request = %+v", seen)
	}
}

func TestShellBrainKnowsShells(t *testing.T) {
	t.Parallel()
	brain := sim.ShellBrain("ls")
	for _, tc := range []struct{ name, schema, want string }{
		{"Bash", `{"properties":{"command":{"type":"string"}},"required":["command"]}`, `{"command":"ls"}`},
		{"shell", `{"properties":{"command":{"type":"array"}}}`, `{"command":["bash","-lc","ls"]}`},
		{"exec_command", `{"properties":{"cmd":{"type":"string"}}}`, `{"cmd":"ls"}`},
		{"bash", ``, `{"command":"ls"}`},
		{"weather", `{}`, ""},
	} {
		a := brain(sim.BrainRequest{Tools: []sim.Tool{{Name: tc.name, Schema: []byte(tc.schema)}}})
		got := ""
		if len(a.Calls) > 0 {
			got = a.Calls[0].Arguments
		}
		if got != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, got, tc.want)
		}
	}
}

func TestLongTextIsClippedAtCharacters(t *testing.T) {
	t.Parallel()
	r := start(t, sim.Options{})
	v := r.infer("/chat/completions", `{"model":"gpt-4.1","messages":[{"role":"user","content":"x`+strings.Repeat("ä", 600)+`"}]}`).json(t)
	s := at(v, "choices", 0, "message", "content").(string)
	if len(s) > 540 || strings.Contains(s, "\ufffd") {
		t.Errorf("%d bytes: %s", len(s), s)
	}
}
