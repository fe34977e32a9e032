package messages_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"detour/internal/dialect"
	"detour/internal/dialect/messages"
	"detour/internal/llm"
)

func user(parts ...llm.Part) llm.Turn      { return llm.Turn{Role: llm.RoleUser, Parts: parts} }
func assistant(parts ...llm.Part) llm.Turn { return llm.Turn{Role: llm.RoleAssistant, Parts: parts} }
func system(s string) llm.Turn             { return llm.Turn{Role: llm.RoleSystem, Parts: []llm.Part{{Text: s}}} }
func words(s string) llm.Part              { return llm.Part{Text: s} }

func calls(id, name, arguments string) llm.Part {
	return llm.Part{Kind: llm.PartCall, Call: &llm.Call{ID: id, Name: name, Arguments: arguments}}
}

func answers(id string, parts ...llm.Part) llm.Part {
	return llm.Part{Kind: llm.PartResult, Result: &llm.Result{ID: id, Parts: parts}}
}

func function(name, schema string) llm.Tool {
	return llm.Tool{Name: name, Schema: json.RawMessage(schema)}
}

// send writes r for a model and returns what the API gets.
func send(t *testing.T, r *llm.Request, target dialect.Target) (s sent, e dialect.Encoded) {
	t.Helper()
	if r.Source == "" {
		r.Source = "chat"
	}
	r.Model = "m"
	e, err := messages.Codec{}.EncodeRequest(r, target)
	if err != nil {
		t.Fatal(err)
	}
	return checkRules(t, e.Body), e
}

// sketch prints a conversation: roles, and of each block what matters.
func (s sent) sketch() string {
	var out []string
	for _, m := range s.Messages {
		line := m.Role + ":"
		for _, b := range m.Content {
			switch b.Type {
			case "text":
				line += fmt.Sprintf(" %q", b.Text)
			case "tool_use":
				line += fmt.Sprintf(" use(%s %s)", b.ID, b.Input)
			case "tool_result":
				line += fmt.Sprintf(" result(%s %s)", b.ToolUseID, b.Content)
			case "image":
				line += fmt.Sprintf(" image(%s)", b.Source.URL)
			default:
				line += " " + b.Type
			}
		}
		out = append(out, line)
	}
	return strings.Join(out, "\n")
}

func TestConversationFollowsTheRulesOfTheAPI(t *testing.T) {
	t.Parallel()
	signed := llm.Part{Kind: llm.PartThinking, Text: "hm", Opaque: signature("S")}
	for name, c := range map[string]struct {
		turns  []llm.Turn
		target dialect.Target
		want   string
	}{
		"only a system prompt": {nil, dialect.Target{}, `user: "Begin."`},
		"model begins":         {[]llm.Turn{assistant(words("hi")), user(words("a"))}, dialect.Target{}, "user: \"Begin.\"\nassistant: \"hi\"\nuser: \"a\""},
		"same roles in a row":  {[]llm.Turn{user(words("a")), user(words("b")), assistant(words("c")), assistant(words("d")), user(words("e"))}, dialect.Target{}, "user: \"a\" \"b\"\nassistant: \"c\" \"d\"\nuser: \"e\""},
		"blank text":           {[]llm.Turn{user(words(" \n"), words("a")), assistant(words("\t")), user(words("b"))}, dialect.Target{}, "user: \"a\" \"b\""},
		"prefill of an old model": {
			[]llm.Turn{user(words("a")), assistant(words("So: \n"))}, dialect.Target{},
			"user: \"a\"\nassistant: \"So:\"",
		},
		"prefill refused by the newest": {
			[]llm.Turn{user(words("a")), assistant(words("So: "))}, dialect.Target{Thinking: dialect.ThinkingAdaptive},
			"user: \"a\"\nassistant: \"So: \"\nuser: \"Please continue.\"",
		},
		"results behind other words": {
			[]llm.Turn{user(words("a")), assistant(calls("c1", "f", `{}`), calls("c2", "f", `{"x":1}`)), user(words("b"), answers("c2", words("two"))), user(answers("c1", words("one")))}, dialect.Target{},
			"user: \"a\"\nassistant: use(c1 {}) use(c2 {\"x\":1})\nuser: result(c2 \"two\") result(c1 \"one\") \"b\"",
		},
		"mid system between call and result": {
			[]llm.Turn{user(words("a")), assistant(calls("c1", "f", `{}`)), system("be brief"), user(answers("c1", words("one")))}, dialect.Target{MidSystem: true},
			"user: \"a\"\nassistant: use(c1 {})\nuser: result(c1 \"one\") \"<system-reminder>\\nbe brief\\n</system-reminder>\"",
		},
		"mid system where it may be": {
			[]llm.Turn{user(words("a")), system("be brief"), system("be kind"), assistant(words("b")), user(words("c")), system("now")}, dialect.Target{MidSystem: true},
			"user: \"a\"\nsystem: \"be brief\" \"be kind\"\nassistant: \"b\"\nuser: \"c\"\nsystem: \"now\"",
		},
		"mid system hoisted": {
			[]llm.Turn{user(words("a")), system("be brief"), assistant(words("b")), user(words("c"))}, dialect.Target{},
			"user: \"a\" \"<system-reminder>\\nbe brief\\n</system-reminder>\"\nassistant: \"b\"\nuser: \"c\"",
		},
		"call never answered": {
			[]llm.Turn{user(words("a")), assistant(calls("c1", "f", `{}`)), user(words("never mind")), assistant(calls("c2", "f", ""))}, dialect.Target{},
			"user: \"a\"\nassistant: use(c1 {})\nuser: result(c1 \"[no output]\") \"never mind\"\nassistant: use(c2 {})\nuser: result(c2 \"[no output]\")",
		},
		"orphan result": {
			[]llm.Turn{user(words("a"), answers("gone", words("old")), answers("empty"))}, dialect.Target{},
			`user: "a" "[tool result gone] old"`,
		},
		"two results for one call": {
			[]llm.Turn{user(words("a")), assistant(calls("c1", "f", `{}`)), user(answers("c1", words("first")), answers("c1", words("last")))}, dialect.Target{},
			"user: \"a\"\nassistant: use(c1 {})\nuser: result(c1 \"last\")",
		},
		"duplicate ids in history": {
			[]llm.Turn{user(words("a")), assistant(calls("f:0", "f", `{}`)), user(answers("f:0", words("1"))), assistant(calls("f:0", "f", `{}`), calls("f:0", "f", `{}`)), user(answers("f:0", words("2")), answers("f:0", words("3")))}, dialect.Target{},
			"user: \"a\"\nassistant: use(A {})\nuser: result(A \"1\")\nassistant: use(B {}) use(C {})\nuser: result(B \"2\") result(C \"3\")",
		},
		"text behind its calls": {
			[]llm.Turn{user(words("a")), assistant(signed, calls("c1", "f", `{}`), words("Reading.")), user(answers("c1"))}, dialect.Target{},
			"user: \"a\"\nassistant: thinking \"Reading.\" use(c1 {})\nuser: result(c1 \"\")",
		},
		"arguments that are no object": {
			[]llm.Turn{user(words("a")), assistant(calls("c1", "f", "oops"), calls("c2", "f", `[1]`)), user(answers("c1"), answers("c2"))}, dialect.Target{},
			"user: \"a\"\nassistant: use(c1 {\"_raw\":\"oops\"}) use(c2 {\"_raw\":\"[1]\"})\nuser: result(c1 \"\") result(c2 \"\")",
		},
		"thinking of another family": {
			[]llm.Turn{user(words("a")), assistant(
				llm.Part{Kind: llm.PartThinking, Text: "x", Opaque: llm.Opaque{Kind: llm.OpaqueEncrypted, Value: "gAAAA"}},
				llm.Part{Kind: llm.PartThinking, Text: "x", Opaque: signature("gAAAAAB")},
				llm.Part{Kind: llm.PartThinking, Text: "x", Opaque: carrier("dtr1.r.x")},
				llm.Part{Kind: llm.PartThinking, Text: "unsigned"},
				llm.Part{Kind: llm.PartThinking, Opaque: signature("S")}, words("b")), user(words("c"))}, dialect.Target{},
			"user: \"a\"\nassistant: thinking \"b\"\nuser: \"c\"",
		},
		"image in a tool result": {
			[]llm.Turn{user(words("a")), assistant(calls("c1", "f", `{}`)), user(answers("c1", words("see"), llm.Part{Kind: llm.PartImage, Media: &llm.Media{URL: "data:image/png;base64,iVBOR"}}))}, dialect.Target{},
			"user: \"a\"\nassistant: use(c1 {})\nuser: result(c1 [{\"type\":\"text\",\"text\":\"see\"},{\"type\":\"image\",\"source\":{\"type\":\"base64\",\"media_type\":\"image/png\",\"data\":\"iVBOR\"}}])",
		},
		"image by URL": {
			[]llm.Turn{user(llm.Part{Kind: llm.PartImage, Media: &llm.Media{URL: "https://e.com/a.png"}})}, dialect.Target{},
			"user: image(https://e.com/a.png)",
		},
		"documents in a tool result": {
			[]llm.Turn{user(words("a")), assistant(calls("c1", "f", `{}`)), user(answers("c1",
				llm.Part{Kind: llm.PartFile, Media: &llm.Media{Type: "application/pdf", Data: "JVBERi0="}}, llm.Part{Kind: llm.PartFile, Media: &llm.Media{Name: "notes", Text: "x"}}))}, dialect.Target{},
			"user: \"a\"\nassistant: use(c1 {})\nuser: result(c1 [{\"type\":\"document\",\"source\":{\"type\":\"base64\",\"media_type\":\"application/pdf\",\"data\":\"JVBERi0=\"}},{\"type\":\"document\",\"source\":{\"type\":\"text\",\"media_type\":\"text/plain\",\"data\":\"x\"},\"title\":\"notes\"}])",
		},
		"refusal and compaction": {
			[]llm.Turn{user(llm.Part{Kind: llm.PartCompaction, Text: "before"}), assistant(llm.Part{Kind: llm.PartRefusal, Text: "no"}), user(words("a"))}, dialect.Target{},
			"user: \"<summary>\\nbefore\\n</summary>\"\nassistant: \"no\"\nuser: \"a\"",
		},
		"file that nobody can read": {
			[]llm.Turn{user(llm.Part{Kind: llm.PartFile, Media: &llm.Media{Type: "application/zip", Data: "UEs=", Name: "a.zip"}})}, dialect.Target{},
			`user: "[document a.zip omitted: not supported by this model]"`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, e := send(t, &llm.Request{Turns: c.turns}, c.target)
			want := strings.NewReplacer("(A ", "("+dialect.CallID("f:0")+" ", "(B ", "("+dialect.CallID("f:0#2")+" ", "(C ", "("+dialect.CallID("f:0#3")+" ").Replace(c.want)
			if got := s.sketch(); got != want {
				t.Errorf("got\n%s\nwant\n%s\nlost %q", got, want, e.Lost)
			}
		})
	}
}

func TestThinkingIsAskedTheWayTheModelTakesIt(t *testing.T) {
	t.Parallel()
	adaptive := dialect.Target{Thinking: dialect.ThinkingAdaptive, MaxOutput: 64000}
	enabled := dialect.Target{Thinking: dialect.ThinkingEnabled, MaxOutput: 32000}
	all := adaptive
	all.Efforts = []llm.Effort{"low", "medium", "high", "xhigh", "max"}
	half := 0.5
	for name, c := range map[string]struct {
		r      llm.Request
		target dialect.Target
		want   string // thinking, output_config, max_tokens
	}{
		"nothing said":              {llm.Request{}, adaptive, ` 0  64000`},
		"effort, adaptive":          {llm.Request{Reasoning: llm.Reasoning{Effort: "high"}}, adaptive, `adaptive 0 {"effort":"high"} 64000`},
		"effort beyond the known":   {llm.Request{Reasoning: llm.Reasoning{Effort: "max"}}, adaptive, `adaptive 0 {"effort":"high"} 64000`},
		"effort that is advertised": {llm.Request{Reasoning: llm.Reasoning{Effort: "max"}}, all, `adaptive 0 {"effort":"max"} 64000`},
		"minimal":                   {llm.Request{Reasoning: llm.Reasoning{Effort: "minimal"}}, adaptive, `adaptive 0 {"effort":"low"} 64000`},
		"none":                      {llm.Request{Reasoning: llm.Reasoning{Effort: "none"}}, adaptive, ` 0  64000`},
		"disabled":                  {llm.Request{Reasoning: llm.Reasoning{Disabled: true}}, adaptive, `disabled 0  64000`},
		"budget, adaptive":          {llm.Request{Reasoning: llm.Reasoning{Budget: 20000}}, adaptive, `adaptive 0 {"effort":"high"} 64000`},
		"effort wins over budget":   {llm.Request{Reasoning: llm.Reasoning{Budget: 20000, Effort: "low"}}, adaptive, `adaptive 0 {"effort":"low"} 64000`},
		"small limit, adaptive":     {llm.Request{MaxOutput: 100, Reasoning: llm.Reasoning{Effort: "medium"}}, adaptive, `adaptive 0 {"effort":"medium"} 4096`},
		"effort, enabled":           {llm.Request{Reasoning: llm.Reasoning{Effort: "medium"}}, enabled, `enabled 8192  32000`},
		"max_tokens under budget":   {llm.Request{MaxOutput: 500, Reasoning: llm.Reasoning{Effort: "medium"}}, enabled, `enabled 8192  12288`},
		"budget beyond the model":   {llm.Request{Reasoning: llm.Reasoning{Effort: "xhigh"}}, enabled, `enabled 27904  32000`},
		"max, enabled":              {llm.Request{Reasoning: llm.Reasoning{Effort: "max"}}, enabled, `enabled 30976  32000`},
		"adaptive, enabled":         {llm.Request{Reasoning: llm.Reasoning{Adaptive: true}}, enabled, `enabled 8192  32000`},
		"no room":                   {llm.Request{Reasoning: llm.Reasoning{Effort: "low"}}, dialect.Target{Thinking: dialect.ThinkingEnabled, MaxOutput: 1000}, ` 0  1000`},
		"model that cannot":         {llm.Request{Reasoning: llm.Reasoning{Effort: "high"}}, dialect.Target{}, ` 0  8192`},
		"forced tool":               {llm.Request{Reasoning: llm.Reasoning{Effort: "high"}, Tools: []llm.Tool{function("f", "")}, Choice: llm.Choice{Mode: llm.ChoiceRequired}}, enabled, ` 0  32000`},
		"missing thinking": {llm.Request{
			Reasoning: llm.Reasoning{Effort: "high"},
			Turns:     []llm.Turn{user(words("a")), assistant(calls("c", "f", "{}")), user(answers("c"))},
		}, enabled, ` 0  32000`},
		"thinking that can be continued": {llm.Request{
			Reasoning: llm.Reasoning{Effort: "medium"},
			Turns:     []llm.Turn{user(words("a")), assistant(llm.Part{Kind: llm.PartThinking, Opaque: signature("S")}, calls("c", "f", "{}")), user(answers("c"))},
		}, enabled, `enabled 8192  32000`},
		"max_tokens beyond the model": {llm.Request{MaxOutput: 128000}, adaptive, ` 0  64000`},
		"sampling with thinking":      {llm.Request{Temperature: &half, TopP: &half, Reasoning: llm.Reasoning{Effort: "low"}}, adaptive, `adaptive 0 {"effort":"low"} 64000`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, e := send(t, &c.r, c.target)
			if got := fmt.Sprintf("%s %d %s %d", s.Thinking.Type, s.Thinking.BudgetTokens, s.OutputConfig, s.MaxTokens); got != c.want {
				t.Errorf("got  %s\nwant %s\nlost %q", got, c.want, e.Lost)
			}
			if s.Thinking.Type != "" && (s.Temperature != nil || s.TopP != nil) {
				t.Errorf("sampling with thinking: %s", e.Body)
			}
		})
	}
}

func TestSamplingKeepsToTheRangeOfTheAPI(t *testing.T) {
	t.Parallel()
	two, high := 2.0, 0.99
	s, e := send(t, &llm.Request{Temperature: &two, TopP: &high, Extras: map[string]json.RawMessage{
		"seed": json.RawMessage("1"), "logit_bias": json.RawMessage("{}"), "store": json.RawMessage("true"),
	}}, dialect.Target{})
	if *s.Temperature != 1 || s.TopP != nil || !slices.Equal(e.Lost, []string{"top_p", "seed"}) {
		t.Errorf("lost %q in %s", e.Lost, e.Body)
	}
	if s, e = send(t, &llm.Request{Temperature: &two}, dialect.Target{Reasons: true}); s.Temperature != nil {
		t.Errorf("temperature for a reasoning model: %s", e.Body)
	}
}

func TestStopSequencesThatTheAPIRefusesAreLeftToTheRelay(t *testing.T) {
	t.Parallel()
	_, e := send(t, &llm.Request{Stop: []string{"\n\n", "END", " "}}, dialect.Target{})
	if !bytes.Contains(e.Body, []byte(`"stop_sequences":["END"]`)) || !slices.Equal(e.Stop, []string{"\n\n", " "}) || len(e.Lost) > 0 {
		t.Errorf("left %q, lost %q in %s", e.Stop, e.Lost, e.Body)
	}
}

func TestToolsAndTheChoiceAmongThem(t *testing.T) {
	t.Parallel()
	no := false
	hosted := llm.Tool{Kind: llm.ToolHosted, Type: "web_search", Name: "web_search"}
	custom := llm.Tool{Kind: llm.ToolCustom, Name: "apply_patch", Description: "Patches.", Format: json.RawMessage(`{"type":"grammar","syntax":"lark","definition":"start: X"}`)}
	spaced := llm.Tool{Namespace: "mcp", Name: "get.it", Schema: json.RawMessage(`{"type":"object"}`)}
	f, g := function("f", `{"type":"object"}`), function("g", "")
	for name, c := range map[string]struct {
		r                    llm.Request
		tools, choice, fault string
	}{
		"no choice":                     {llm.Request{Tools: []llm.Tool{f, g}}, "f g", "", ""},
		"parallel off without a choice": {llm.Request{Tools: []llm.Tool{f}, Parallel: &no}, "f", `{"type":"auto","disable_parallel_tool_use":true}`, ""},
		"parallel off without tools":    {llm.Request{Parallel: &no}, "", "", ""},
		"none stays none":               {llm.Request{Tools: []llm.Tool{f}, Parallel: &no, Choice: llm.Choice{Mode: llm.ChoiceNone}}, "f", `{"type":"none"}`, ""},
		"required":                      {llm.Request{Tools: []llm.Tool{f}, Choice: llm.Choice{Mode: llm.ChoiceRequired}}, "f", `{"type":"any"}`, ""},
		"allowed tools force nothing":   {llm.Request{Tools: []llm.Tool{f, g}, Choice: llm.Choice{Mode: llm.ChoiceSubset, Names: []string{"g"}}}, "g", `{"type":"auto"}`, ""},
		"allowed tools that must":       {llm.Request{Tools: []llm.Tool{f, g}, Choice: llm.Choice{Mode: llm.ChoiceSubset, Names: []string{"g"}, Must: true}}, "g", `{"type":"any"}`, ""},
		"allowed tools that are none":   {llm.Request{Tools: []llm.Tool{f, g}, Choice: llm.Choice{Mode: llm.ChoiceSubset, Names: []string{"x"}}}, "f g", `{"type":"auto"}`, ""},
		"hosted tool is dropped":        {llm.Request{Tools: []llm.Tool{hosted, f}}, "f", "", ""},
		"all tools are dropped":         {llm.Request{Tools: []llm.Tool{hosted}, Parallel: &no, Choice: llm.Choice{Mode: llm.ChoiceAuto}}, "", "", ""},
		"forced hosted tool":            {llm.Request{Tools: []llm.Tool{hosted, f}, Choice: llm.Choice{Mode: llm.ChoiceOne, Names: []string{"web_search"}}}, "", "", "tool_choice"},
		"forced hosted tool alone":      {llm.Request{Tools: []llm.Tool{hosted}, Choice: llm.Choice{Mode: llm.ChoiceOne, Names: []string{"web_search"}}}, "", "", "tool_choice"},
		"free text and namespaces":      {llm.Request{Tools: []llm.Tool{custom, spaced}, Choice: llm.Choice{Mode: llm.ChoiceOne, Names: []string{"get.it"}}}, "apply_patch mcp__get_it_WIRE", `{"type":"tool","name":"mcp__get_it_WIRE"}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.r.Source = "responses"
			e, err := messages.Codec{}.EncodeRequest(&c.r, dialect.Target{Model: "m"})
			if fault, ok := errors.AsType[*dialect.Failure](err); ok != (c.fault != "") || ok && (fault.Param != c.fault || fault.Status != 400) {
				t.Fatalf("got %v", err)
			}
			if err != nil {
				return
			}
			s := checkRules(t, e.Body)
			var names []string
			for _, tool := range s.Tools {
				names = append(names, tool.Name)
			}
			wire := strings.NewReplacer("mcp__get_it_WIRE", e.Tools.Wire("mcp", "get.it"))
			if got := strings.Join(names, " "); got != wire.Replace(c.tools) || string(s.ToolChoice) != wire.Replace(c.choice) {
				t.Errorf("got %s, %s\nwant %s, %s", got, s.ToolChoice, c.tools, c.choice)
			}
		})
	}
	s, e := send(t, &llm.Request{Source: "responses", Tools: []llm.Tool{custom}, Turns: []llm.Turn{
		user(words("a")),
		assistant(llm.Part{Kind: llm.PartCall, Call: &llm.Call{ID: "c", Kind: llm.ToolCustom, Name: "apply_patch", Arguments: "*** \"x\""}}),
		user(answers("c", words("ok"))),
	}}, dialect.Target{})
	if string(s.Tools[0].InputSchema) != dialect.WrapperSchema || !strings.Contains(s.Tools[0].Description, "start: X") ||
		string(s.Messages[1].Content[0].Input) != `{"input":"*** \"x\""}` {
		t.Errorf("free text: %s", e.Body)
	}
	many := make([]llm.Tool, 200)
	for i := range many {
		many[i] = function(fmt.Sprintf("f%d", i), "")
	}
	if s, e := send(t, &llm.Request{Tools: many}, dialect.Target{}); len(s.Tools) != 128 || s.Tools[127].Name != "f127" || len(e.Lost) != 1 {
		t.Errorf("%d tools, lost %q", len(s.Tools), e.Lost)
	}
}

func TestWhatWouldChangeTheAnswerIsRefused(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]llm.Request{
		"several answers": {Candidates: 2},
		"grammar output":  {Output: llm.Output{Format: "grammar"}},
		"audio":           {Turns: []llm.Turn{user(llm.Part{Kind: llm.PartFile, Media: &llm.Media{Type: "audio/wav", Data: "x"}})}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := messages.Codec{}.EncodeRequest(&r, dialect.Target{})
			if f, ok := errors.AsType[*dialect.Failure](err); !ok || f.Status != 400 {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestSchemaSuitsTheAPI(t *testing.T) {
	t.Parallel()
	strict := true
	for name, c := range map[string]struct {
		in     string
		strict *bool
		want   string
	}{
		"tool without parameters": {"", nil, `{"type":"object","properties":{}}`},
		"null":                    {"null", nil, `{"type":"object","properties":{}}`},
		"right already":           {`{ "type":"object", "properties":{"n":{"maximum":1.50}} }`, nil, `{ "type":"object", "properties":{"n":{"maximum":1.50}} }`},
		"root without a type":     {`{"properties":{"a":{}},"required":["a"]}`, nil, `{"type":"object","properties":{"a":{}},"required":["a"]}`},
		"root union": {
			`{"anyOf":[{"type":"object","properties":{"a":{"type":"string"},"k":{}},"required":["a","k"]},{"$ref":"#/$defs/B"}],"$defs":{"B":{"properties":{"b":{},"k":{}},"required":["k"]}}}`, nil,
			`{"type":"object","$defs":{"B":{"properties":{"b":{},"k":{}},"required":["k"]}},"properties":{"a":{"type":"string"},"k":{},"b":{}},"required":["k"]}`,
		},
		"all of the root":       {`{"type":"object","allOf":[{"properties":{"a":{}},"required":["a"]},{"properties":{"b":{}},"required":["b"]}]}`, nil, `{"type":"object","properties":{"a":{},"b":{}},"required":["a","b"]}`},
		"one of only required":  {`{"type":"object","properties":{"a":{},"b":{}},"oneOf":[{"required":["a"]},{"required":["b"]}]}`, nil, `{"type":"object","properties":{"a":{},"b":{}}}`},
		"a reference to itself": {`{"anyOf":[{"$ref":"#"},{"$ref":"#"},{"$ref":"#"},{"$ref":"#"},{"$ref":"#"},{"$ref":"#"},{"$ref":"#"},{"$ref":"#"},{"$ref":"#"}]}`, nil, `{"type":"object","properties":{}}`},
		"strict": {
			`{"type":"object","properties":{"a":{"type":"array","items":{"type":"string","maxLength":5},"minItems":2,"description":"Some."},"minimum":{"enum":[{"minimum":1}]}},"required":["a"]}`, &strict,
			`{"type":"object","properties":{"a":{"type":"array","items":{"type":"string","description":"(maxLength 5)"},"description":"Some. (minItems 2)"},"minimum":{"enum":[{"minimum":1}]}},"required":["a"],"additionalProperties":false}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, e := send(t, &llm.Request{Tools: []llm.Tool{{Name: "f", Schema: json.RawMessage(c.in), Strict: c.strict}}}, dialect.Target{})
			if want := `"input_schema":` + c.want; !bytes.Contains(e.Body, []byte(want)) {
				t.Errorf("got %s\nwant %s", e.Body, want)
			}
		})
	}
}

func TestCacheBreakpoints(t *testing.T) {
	t.Parallel()
	turns := []llm.Turn{user(words("one")), assistant(words("two")), user(words("three")), assistant(words("four")), user(words("five"), words("six"))}
	s, _ := send(t, &llm.Request{System: []llm.Part{words("a"), words("b")}, Tools: []llm.Tool{function("f", ""), function("g", "")}, Turns: turns}, dialect.Target{})
	if s.Tools[0].CacheControl != nil || s.Tools[1].CacheControl == nil || s.System[0].CacheControl != nil || s.System[1].CacheControl == nil ||
		s.Messages[2].Content[0].CacheControl == nil || s.Messages[4].Content[0].CacheControl != nil || s.Messages[4].Content[1].CacheControl == nil ||
		s.Messages[0].Content[0].CacheControl != nil {
		t.Errorf("breakpoints are elsewhere: %+v", s)
	}
	marked := func(s string) llm.Part { return llm.Part{Text: s, Cache: &llm.Cache{TTL: "1h"}} }
	turns = []llm.Turn{user(marked("one"), marked("two")), assistant(words("x"), llm.Part{Kind: llm.PartThinking, Opaque: signature("S"), Cache: &llm.Cache{}}), user(marked("three"), marked("four"))}
	s, e := send(t, &llm.Request{System: []llm.Part{marked("a")}, Turns: turns}, dialect.Target{})
	if s.Messages[0].Content[0].CacheControl != nil || s.Messages[0].Content[1].CacheControl == nil || s.System[0].CacheControl == nil || bytes.Contains(e.Body, []byte("1h")) {
		t.Errorf("not the newest of the client's: %s", e.Body)
	}
}

// TestGrowingHistoryKeepsItsBytes adds turns to conversations made by chance: what was sent before stays the same, or no
// prompt cache is ever hit.
func TestGrowingHistoryKeepsItsBytes(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		turns := []llm.Turn{user(words("begin"))}
		var before []string
		for step := range 8 {
			n := rnd.IntN(3)
			said := assistant(words("so"))
			if rnd.IntN(2) == 0 {
				said.Parts = append([]llm.Part{{Kind: llm.PartThinking, Text: "hm", Opaque: signature("S")}}, said.Parts...)
			}
			heard := user()
			for k := range n {
				id := []string{"c:0", fmt.Sprintf("c%d_%d", step, k), ""}[rnd.IntN(3)]
				said.Parts = append(said.Parts, calls(id, "f", `{"k":1}`))
				if rnd.IntN(4) > 0 {
					heard.Parts = append(heard.Parts, answers(id, words("done")))
				}
			}
			if n == 0 || rnd.IntN(3) == 0 {
				heard.Parts = append(heard.Parts, words("go on"))
			}
			turns = append(turns, said)
			if rnd.IntN(3) == 0 {
				turns = append(turns, system("note"))
			}
			turns = append(turns, heard)
			if rnd.IntN(3) == 0 {
				turns = append(turns, system("late note"))
			}
			if len(heard.Parts) == 0 {
				continue // nobody sends that
			}
			s, e := send(t, &llm.Request{Turns: turns}, dialect.Target{MidSystem: seed%2 == 0})
			var now []string
			for _, m := range rawMessages(t, e.Body) {
				now = append(now, strings.ReplaceAll(m, `,"cache_control":{"type":"ephemeral"}`, ""))
			}
			if len(now) < len(before) || !slices.Equal(now[:len(before)], before) {
				t.Fatalf("seed %d: was\n%s\nis\n%s", seed, strings.Join(before, "\n"), strings.Join(now, "\n"))
			}
			before = now
			_ = s
		}
	}
}

func rawMessages(t *testing.T, body []byte) []string {
	t.Helper()
	var s struct{ Messages []json.RawMessage }
	if err := json.Unmarshal(body, &s); err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, m := range s.Messages {
		out = append(out, string(m))
	}
	return out
}
