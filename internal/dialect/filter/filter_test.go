package filter_test

import (
	"encoding/json"
	"strings"
	"testing"

	"detour/internal/dialect"
	"detour/internal/dialect/filter"
)

func set(t testing.TB, r filter.Rules) *filter.Set {
	t.Helper()
	s, err := filter.New(r)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestApply(t *testing.T) {
	t.Parallel()
	const chat, responses, messages, gemini = dialect.Chat, dialect.Responses, dialect.Messages, dialect.Gemini
	const keep = "" // the body stays as it is
	remove := filter.Rules{SystemRemove: []string{"BAD ", `re:(?m)^Today is .*\n?`}}
	add := filter.Rules{SystemAdd: []string{"Be kind.", "Be \"brief\"."}}
	both := filter.Rules{SystemRemove: remove.SystemRemove, SystemAdd: add.SystemAdd}
	suffix := filter.Rules{ResultSuffixRemove: []string{"</end>", `re:\n*<reminder>[^<]*</reminder>\s*`}}
	for name, tc := range map[string]struct {
		rules    filter.Rules
		dialect  dialect.Name
		in, want string
	}{
		"messages: removed from a string":       {remove, messages, ` { "system" : "a BAD b\nToday is Monday.\nc" , "x":1.0 }`, ` { "system" : "a b\nc" , "x":1.0 }`},
		"messages: nothing to remove":           {remove, messages, `{"system":"\u0041 b","messages":[{"role":"user","content":"BAD "}]}`, keep},
		"messages: removed from one block":      {remove, messages, `{"system":[{"type":"text","text":"BAD a","cache_control":{"type":"ephemeral"}}, {"text":"\u0062"}]}`, `{"system":[{"type":"text","text":"a","cache_control":{"type":"ephemeral"}}, {"text":"\u0062"}]}`},
		"messages: a block goes":                {remove, messages, `{"system":[{"type":"text","text":"a"}, {"type":"text","text":"BAD "} ,{"type":"text","text":"Today is it."}]}`, `{"system":[{"type":"text","text":"a"}]}`},
		"messages: the first block goes":        {remove, messages, `{"system":[ {"type":"text","text":"BAD "} , {"type":"text","text":"a"}]}`, `{"system":[ {"type":"text","text":"a"}]}`},
		"messages: all of it goes":              {remove, messages, `{"system":[{"type":"text","text":"BAD "}],"model":"m"}`, `{"model":"m"}`},
		"messages: the string goes":             {remove, messages, `{"model":"m","system":"BAD "}`, `{"model":"m"}`},
		"messages: in mid-conversation":         {remove, messages, `{"messages":[{"role":"user","content":"BAD "},{"role":"system","content":"BAD x"},{"role":"system","content":[{"type":"text","text":"BAD "}]}]}`, `{"messages":[{"role":"user","content":"BAD "},{"role":"system","content":"x"}]}`},
		"messages: added to a string":           {add, messages, `{"system":"a\n","messages":[]}`, `{"system":"a\n\nBe kind.\n\nBe \"brief\".","messages":[]}`},
		"messages: added to blocks":             {add, messages, `{"system":[{"type":"text","text":"a"} ]}`, `{"system":[{"type":"text","text":"a"} ,{"type":"text","text":"Be kind.\n\nBe \"brief\"."}]}`},
		"messages: added to nothing":            {add, messages, `{"model":"m"}`, `{"system":"Be kind.\n\nBe \"brief\".","model":"m"}`},
		"messages: added to an empty list":      {add, messages, `{"system":[],"model":"m"}`, `{"system":"Be kind.\n\nBe \"brief\".","model":"m"}`},
		"messages: removed and added":           {both, messages, `{"system":[{"type":"text","text":"BAD "}]}`, `{"system":[{"type":"text","text":"Be kind.\n\nBe \"brief\"."}]}`},
		"messages: string removed and added":    {both, messages, `{"system":"BAD "}`, `{"system":"Be kind.\n\nBe \"brief\"."}`},
		"messages: result string":               {suffix, messages, `{"messages":[{"role":"user","content":[{"type":"tool_result","content":"a</end> b</end></end>\n<reminder>x</reminder>","tool_use_id":"t"},{"type":"text","text":"a</end>"}]}]}`, `{"messages":[{"role":"user","content":[{"type":"tool_result","content":"a</end> b","tool_use_id":"t"},{"type":"text","text":"a</end>"}]}]}`},
		"messages: result blocks":               {suffix, messages, `{"messages":[{"content":[{"type":"tool_result","content":[{"type":"text","text":"a</end>"},{"type":"text","text":"b</end>"}]}]}]}`, `{"messages":[{"content":[{"type":"tool_result","content":[{"type":"text","text":"a</end>"},{"type":"text","text":"b"}]}]}]}`},
		"messages: last result block goes":      {suffix, messages, `{"messages":[{"content":[{"type":"tool_result","content":[{"type":"text","text":"a</end>"},{"type":"text","text":"<reminder>x</reminder>"}]}]}]}`, `{"messages":[{"content":[{"type":"tool_result","content":[{"type":"text","text":"a"}]}]}]}`},
		"messages: all of a result goes":        {suffix, messages, `{"messages":[{"content":[{"type":"tool_result","content":[{"type":"text","text":"</end>"}]}]}]}`, `{"messages":[{"content":[{"type":"tool_result","content":""}]}]}`},
		"messages: an image ends the result":    {suffix, messages, `{"messages":[{"content":[{"type":"tool_result","content":[{"type":"text","text":"a</end>"},{"type":"image"}]}]}]}`, keep},
		"chat: removed":                         {remove, chat, `{"messages":[{"role":"system","content":"BAD a"},{"role":"developer","content":[{"type":"text","text":"BAD "}]},{"role":"user","content":"BAD "}]}`, `{"messages":[{"role":"system","content":"a"},{"role":"user","content":"BAD "}]}`},
		"chat: nothing but instructions":        {remove, chat, `{"messages":[{"role":"system","content":"BAD "}]}`, keep},
		"chat: added behind the last":           {add, chat, `{"messages":[{"role":"system","content":"a"},{"content":[{"type":"text","text":"b"}],"role":"developer"},{"role":"user","content":"c"},{"role":"system","content":"d"}]}`, `{"messages":[{"role":"system","content":"a"},{"content":[{"type":"text","text":"b"},{"type":"text","text":"Be kind.\n\nBe \"brief\"."}],"role":"developer"},{"role":"user","content":"c"},{"role":"system","content":"d"}]}`},
		"chat: added in front":                  {add, chat, `{"messages":[ {"role":"user","content":"c"}]}`, `{"messages":[{"role":"system","content":"Be kind.\n\nBe \"brief\"."}, {"role":"user","content":"c"}]}`},
		"chat: tool message":                    {suffix, chat, `{"messages":[{"role":"tool","content":"a</end>"},{"role":"function","content":[{"type":"text","text":"b</end>"}]},{"role":"assistant","content":"c</end>"}]}`, `{"messages":[{"role":"tool","content":"a"},{"role":"function","content":[{"type":"text","text":"b"}]},{"role":"assistant","content":"c</end>"}]}`},
		"chat: blocks of messages":              {suffix, chat, `{"messages":[{"role":"user","content":[{"type":"tool_result","content":"a</end>"}]}]}`, `{"messages":[{"role":"user","content":[{"type":"tool_result","content":"a"}]}]}`},
		"chat: system of messages":              {both, chat, `{"system":"BAD a","messages":[{"role":"user","content":"c"}]}`, `{"system":"a\n\nBe kind.\n\nBe \"brief\".","messages":[{"role":"user","content":"c"}]}`},
		"chat: body of responses":               {add, chat, `{"input":"hi"}`, `{"instructions":"Be kind.\n\nBe \"brief\".","input":"hi"}`},
		"responses: removed":                    {remove, responses, `{"instructions":"BAD a","input":[{"role":"developer","content":[{"type":"input_text","text":"BAD b"}]},{"type":"message","role":"user","content":"BAD "}]}`, `{"instructions":"a","input":[{"role":"developer","content":[{"type":"input_text","text":"b"}]},{"type":"message","role":"user","content":"BAD "}]}`},
		"responses: all instructions go":        {remove, responses, `{"instructions":"BAD ","input":"hi"}`, `{"instructions":"","input":"hi"}`},
		"responses: added to instructions":      {add, responses, `{"input":[{"role":"developer","content":"b"}],"instructions":"a"}`, `{"input":[{"role":"developer","content":"b"}],"instructions":"a\n\nBe kind.\n\nBe \"brief\"."}`},
		"responses: added to a leading item":    {add, responses, `{"input":[{"type":"additional_tools","role":"developer","tools":[]},{"type":"message","role":"developer","content":[{"type":"input_text","text":"b"}]},{"role":"user","content":"c"}]}`, `{"input":[{"type":"additional_tools","role":"developer","tools":[]},{"type":"message","role":"developer","content":[{"type":"input_text","text":"b"},{"type":"input_text","text":"Be kind.\n\nBe \"brief\"."}]},{"role":"user","content":"c"}]}`},
		"responses: added to nothing":           {add, responses, `{"instructions":null,"input":[{"role":"user","content":"c"}]}`, `{"instructions":"Be kind.\n\nBe \"brief\".","input":[{"role":"user","content":"c"}]}`},
		"responses: outputs":                    {suffix, responses, `{"input":[{"type":"function_call_output","output":"a</end>"},{"type":"custom_tool_call_output","output":[{"type":"input_text","text":"b</end>"}]},{"type":"function_call","arguments":"</end>"}]}`, `{"input":[{"type":"function_call_output","output":"a"},{"type":"custom_tool_call_output","output":[{"type":"input_text","text":"b"}]},{"type":"function_call","arguments":"</end>"}]}`},
		"gemini: removed":                       {remove, gemini, `{"system_instruction":{"parts":[{"text":"BAD a"},{"text":"BAD "}]},"contents":[]}`, `{"system_instruction":{"parts":[{"text":"a"}]},"contents":[]}`},
		"gemini: all of it goes":                {remove, gemini, `{"contents":[],"systemInstruction":{"role":"user","parts":[{"text":"BAD "}]}}`, `{"contents":[]}`},
		"gemini: added":                         {add, gemini, `{"systemInstruction":{"parts":[{"text":"a"}]}}`, `{"systemInstruction":{"parts":[{"text":"a"},{"text":"Be kind.\n\nBe \"brief\"."}]}}`},
		"gemini: added to a string":             {add, gemini, `{"systemInstruction":"a"}`, `{"systemInstruction":"a\n\nBe kind.\n\nBe \"brief\"."}`},
		"gemini: added to nothing":              {add, gemini, `{"contents":[]}`, `{"systemInstruction":{"parts":[{"text":"Be kind.\n\nBe \"brief\"."}]},"contents":[]}`},
		"gemini: added to one part":             {add, gemini, `{"systemInstruction":{"parts":{"text":"a"}}}`, `{"systemInstruction":{"parts":{"text":"a\n\nBe kind.\n\nBe \"brief\"."}}}`},
		"gemini: added to what is counted":      {add, gemini, `{"generateContentRequest":{"contents":[]}}`, `{"generateContentRequest":{"systemInstruction":{"parts":[{"text":"Be kind.\n\nBe \"brief\"."}]},"contents":[]}}`},
		"gemini: responses":                     {suffix, gemini, `{"response":"</end>","contents":[{"parts":[{"functionResponse":{"response":{"output":"a</end>"}}},{"function_response":{"response":"b</end>"}},{"text":"</end>"},{"functionResponse":{"response":{"result":"c</end>"}}}]}]}`, `{"response":"</end>","contents":[{"parts":[{"functionResponse":{"response":{"output":"a"}}},{"function_response":{"response":"b"}},{"text":"</end>"},{"functionResponse":{"response":{"result":"c"}}}]}]}`},
		"odd shapes are left for others":        {both, messages, `{"system":5,"messages":{"role":"system"}}`, keep},
		"more odd shapes are left for others":   {both, chat, `{"messages":[5,"x",{"role":"system"},{"role":"system","content":5}],"system":null}`, `{"messages":[{"role":"system","content":"Be kind.\n\nBe \"brief\"."},5,"x",{"role":"system"},{"role":"system","content":5}],"system":null}`},
		"further odd shapes are left to others": {suffix, responses, `{"input":[{"type":"function_call_output","output":{"a":1}},{"type":"x_output"}]}`, keep},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := []byte(tc.in)
			want := tc.want
			if want == keep {
				want = tc.in
			}
			out := set(t, tc.rules).Apply(tc.dialect, in)
			if string(out) != want {
				t.Errorf("\n got %s\nwant %s", out, want)
			}
			if string(in) != tc.in {
				t.Error("the caller's body was changed")
			}
			if tc.want == keep && &out[0] != &in[0] {
				t.Error("a body that needs no change was copied")
			}
		})
	}
}

func TestNoRulesAreNoSet(t *testing.T) {
	s := set(t, filter.Rules{})
	if s != nil {
		t.Fatal("made one")
	}
	body := []byte(`{"system":"a"}`)
	if n := testing.AllocsPerRun(100, func() { _ = s.Apply(dialect.Messages, body) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestRulesThatCannotBe(t *testing.T) {
	t.Parallel()
	for _, r := range []filter.Rules{{SystemRemove: []string{""}}, {SystemRemove: []string{"re:("}}, {ResultSuffixRemove: []string{"re:["}}} {
		if _, err := filter.New(r); err == nil || !strings.Contains(err.Error(), "parse filter") {
			t.Errorf("%+v: %v", r, err)
		}
	}
}

func FuzzApply(f *testing.F) {
	for _, body := range []string{
		`{"system":[{"text":"BAD"},{"text":"x"}],"messages":[{"role":"system","content":"BAD"},{"role":"user","content":[{"type":"tool_result","content":[{"text":"</end>"}]}]}]}`,
		`{"instructions":"BAD","input":[{"role":"developer","content":["BAD","a"]},{"type":"function_call_output","output":"a</end>"}]}`,
		`{"systemInstruction":{"parts":[{"text":"BAD"}]},"contents":[{"parts":[{"functionResponse":{"response":{"output":"</end>"}}}]}]}`,
		`{"system":"BAD","system":{"a":1},"messages":[],"input":[]}`,
	} {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		if !json.Valid([]byte(body)) || !strings.HasPrefix(strings.TrimSpace(body), "{") {
			return
		}
		for _, r := range []filter.Rules{
			{SystemRemove: []string{"BAD"}}, {SystemAdd: []string{"x\"y"}}, {ResultSuffixRemove: []string{"</end>"}},
			{SystemRemove: []string{"BAD", "re:x*"}, SystemAdd: []string{"p"}, ResultSuffixRemove: []string{"re:e.*"}},
		} {
			s := set(t, r)
			for _, d := range []dialect.Name{dialect.Chat, dialect.Responses, dialect.Messages, dialect.Gemini} {
				out := s.Apply(d, []byte(body))
				if !json.Valid(out) {
					t.Fatalf("%s %+v: %s became %s", d, r, body, out)
				}
				if again := s.Apply(d, []byte(body)); string(again) != string(out) {
					t.Fatalf("%s: not the same twice", d)
				}
			}
		}
	})
}
