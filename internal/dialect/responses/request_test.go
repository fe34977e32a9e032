package responses_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	sdk "github.com/openai/openai-go/v3/responses"
	"golang.org/x/tools/txtar"

	"detour/internal/dialect"
	"detour/internal/dialect/responses"
	"detour/internal/llm"
)

func decodeRequest(t testing.TB, body string) *llm.Request {
	t.Helper()
	r, err := responses.Codec{}.DecodeRequest([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func encodeRequest(t testing.TB, r *llm.Request, target dialect.Target) dialect.Encoded {
	t.Helper()
	if target.Model == "" {
		target.Model = "gpt-x"
	}
	e, err := responses.Codec{}.EncodeRequest(r, target)
	if err != nil {
		t.Fatal(err)
	}
	if !json.Valid(e.Body) {
		t.Fatalf("no JSON: %s", e.Body)
	}
	return e
}

// in returns a member of an encoded request.
func in(t testing.TB, e dialect.Encoded, name string) string {
	t.Helper()
	var m map[string]json.RawMessage
	if err := json.Unmarshal(e.Body, &m); err != nil {
		t.Fatal(err)
	}
	return string(m[name])
}

// showRequest prints a request for a golden file.
func showRequest(r *llm.Request) string {
	var b strings.Builder
	fmt.Fprintf(&b, "model=%q stream=%v max=%d session=%q user=%q compact=%v\n", r.Model, r.Stream, r.MaxOutput, r.Session, r.User, r.Compact)
	fmt.Fprintf(&b, "reasoning %+v\n", r.Reasoning)
	if r.Output.Format != "" || r.Output.Verbosity != "" {
		fmt.Fprintf(&b, "output %s %q %s verbosity=%q\n", r.Output.Format, r.Output.Name, r.Output.Schema, r.Output.Verbosity)
	}
	if r.Choice.Mode != llm.ChoiceUnset {
		fmt.Fprintf(&b, "choice %+v\n", r.Choice)
	}
	for _, p := range r.System {
		fmt.Fprintf(&b, "system %s\n", showPart(p))
	}
	for _, turn := range r.Turns {
		fmt.Fprintf(&b, "%s %s\n", [...]string{"user", "assistant", "system"}[turn.Role], turn.Phase)
		for _, p := range turn.Parts {
			fmt.Fprintf(&b, "  %s\n", showPart(p))
		}
	}
	for _, tool := range r.Tools {
		fmt.Fprintf(&b, "tool kind=%d type=%q %q/%q %q %s %s\n", tool.Kind, tool.Type, tool.Namespace, tool.Name, tool.Description, tool.Schema, tool.Format)
	}
	extras := make([]string, 0, len(r.Extras))
	for k, v := range r.Extras {
		extras = append(extras, fmt.Sprintf("extra %s %s\n", k, v))
	}
	slices.Sort(extras)
	return b.String() + strings.Join(extras, "")
}

// lines puts each input item and each tool on a line of its own, so that goldens can be read.
func lines(body []byte) []byte {
	body = bytes.ReplaceAll(body, []byte(`},{"type":`), []byte("},\n{\"type\":"))
	return append(bytes.ReplaceAll(body, []byte(`,"tools":[`), []byte(",\n\"tools\":[\n")), '\n')
}

// TestRequestsTranslateAsRecorded takes requests from archives: in, what it means, and what goes to an upstream that
// takes functions only and to one that takes all.
func TestRequestsTranslateAsRecorded(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/requests/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no requests: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			body := a.Files[0].Data
			r := decodeRequest(t, string(body))
			plain := encodeRequest(t, r, dialect.Target{})
			native := encodeRequest(t, r, dialect.Target{Reasons: true, CustomTools: true, Namespaces: true, NativeTools: true, HostedTools: []string{"web_search"}})
			golden(t, file, a.Files[0], txtar.File{Name: "neutral", Data: []byte(showRequest(r))},
				txtar.File{Name: "functions only", Data: lines(plain.Body)}, txtar.File{Name: "lost", Data: []byte(strings.Join(plain.Lost, "\n") + "\n")},
				txtar.File{Name: "native", Data: lines(native.Body)}, txtar.File{Name: "lost natively", Data: []byte(strings.Join(native.Lost, "\n") + "\n")})
			for _, e := range []dialect.Encoded{plain, native} {
				var p sdk.ResponseNewParams
				if err := json.Unmarshal(e.Body, &p); err != nil {
					t.Errorf("the SDK cannot read it: %v", err)
				}
				again := encodeRequest(t, decodeRequest(t, string(body)), dialect.Target{})
				if !bytes.Equal(again.Body, plain.Body) {
					t.Errorf("the same request became other bytes:\n%s\n%s", plain.Body, again.Body)
				}
			}
		})
	}
}

func TestBadRequestsNameTheField(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ body, param, code string }{
		{`{`, "", ""},
		{`[]`, "", ""},
		{`{"input":"x"}`, "model", ""},
		{`{"model":1}`, "model", ""},
		{`{"model":"m","input":5}`, "input", ""},
		{`{"model":"m","input":[5]}`, "input[0]", ""},
		{`{"model":"m","input":[{"role":"user","content":"a"},{"content":"x"}]}`, "input[1].role", ""},
		{`{"model":"m","input":[{"role":"wizard","content":"x"}]}`, "input[0].role", ""},
		{`{"model":"m","input":[{"role":"user","content":7}]}`, "input[0].content", ""},
		{`{"model":"m","input":[{"role":"user","content":[{"type":"input_text","text":"a"},{"type":"input_text"}]}]}`, "input[0].content[1].text", ""},
		{`{"model":"m","input":[{"role":"user","content":[{"text":"a"}]}]}`, "input[0].content[0].type", ""},
		{`{"model":"m","input":[{"role":"user","content":[{"type":"input_audio"}]}]}`, "input[0].content[0]", ""},
		{`{"model":"m","input":[{"role":"user","content":[{"type":"hologram"}]}]}`, "input[0].content[0].type", ""},
		{`{"model":"m","input":[{"role":"user","content":[{"type":"input_image"}]}]}`, "input[0].content[0]", ""},
		{`{"model":"m","input":[{"type":"function_call","name":"f","arguments":"{}"}]}`, "input[0].call_id", ""},
		{`{"model":"m","input":[{"type":"function_call","call_id":"c","arguments":"{}"}]}`, "input[0].name", ""},
		{`{"model":"m","input":[{"type":"function_call","call_id":7,"name":"f"}]}`, "input[0].call_id", ""},
		{`{"model":"m","input":[{"type":"function_call_output","output":"x"}]}`, "input[0].call_id", ""},
		{`{"model":"m","input":[{"type":"function_call_output","call_id":"c","output":[{"type":"input_file"}]}]}`, "input[0].output[0]", ""},
		{`{"model":"m","input":[{"type":"item_reference","id":"msg_1"}]}`, "input[0]", "previous_response_not_found"},
		{`{"model":"m","input":"x","previous_response_id":"resp_1"}`, "previous_response_id", "previous_response_not_found"},
		{`{"model":"m","input":"x","conversation":"conv_1"}`, "conversation", ""},
		{`{"model":"m","prompt":{"id":"p"}}`, "prompt", ""},
		{`{"model":"m","input":"x","background":true}`, "background", ""},
		{`{"model":"m","input":"x","instructions":[]}`, "instructions", ""},
		{`{"model":"m","input":"x","tools":{}}`, "tools", ""},
		{`{"model":"m","input":"x","tools":[{"type":"function"}]}`, "tools[0].name", ""},
		{`{"model":"m","input":"x","tools":[{"name":"f"}]}`, "tools[0].type", ""},
		{`{"model":"m","input":"x","tools":[{"type":"function","name":"f","parameters":"x"}]}`, "tools[0].parameters", ""},
		{`{"model":"m","input":"x","tools":[{"type":"namespace","name":"n","tools":[{"type":"function"}]}]}`, "tools[0].tools[0].name", ""},
		{`{"model":"m","input":"x","tool_choice":"perhaps"}`, "tool_choice", ""},
		{`{"model":"m","input":"x","tool_choice":{"type":"function"}}`, "tool_choice.name", ""},
		{`{"model":"m","input":"x","tool_choice":{"type":"allowed_tools","tools":[]}}`, "tool_choice.tools", ""},
		{`{"model":"m","input":"x","parallel_tool_calls":1}`, "parallel_tool_calls", ""},
		{`{"model":"m","input":"x","max_output_tokens":"many"}`, "max_output_tokens", ""},
		{`{"model":"m","input":"x","max_output_tokens":-1}`, "max_output_tokens", ""},
		{`{"model":"m","input":"x","temperature":"hot"}`, "temperature", ""},
		{`{"model":"m","input":"x","reasoning":"much"}`, "reasoning", ""},
		{`{"model":"m","input":"x","reasoning":{"effort":"some"}}`, "reasoning.effort", ""},
		{`{"model":"m","input":"x","text":{"format":{"type":"grammar"}}}`, "text.format.type", ""},
		{`{"model":"m","input":"x","text":{"format":{"type":"json_schema"}}}`, "text.format.schema", ""},
		{`{"model":"m","input":` + strings.Repeat("[", 600) + strings.Repeat("]", 600) + `}`, "", ""},
	} {
		_, err := responses.Codec{}.DecodeRequest([]byte(tc.body))
		f, ok := errors.AsType[*dialect.Failure](err)
		if !ok || f.Status != 400 || f.Type != "invalid_request_error" || f.Param != tc.param || f.Code != tc.code || f.Message == "" {
			t.Errorf("%.120s: %+v", tc.body, err)
		}
	}
}

func TestItemsOfCodexKeepTheirMeaning(t *testing.T) {
	t.Parallel()
	r := decodeRequest(t, `{"model":"m","input":[{"type":"agent_message","content":[{"type":"input_text","text":"hi"}]},`+
		`{"type":"agent_message","content":[{"type":"encrypted_content","encrypted_content":"x"}]}],`+
		`"tools":[{"type":"function","name":"f","description":"first"},{"type":"mcp","server_label":"a"},{"type":"mcp","server_label":"b"},{"type":"function","name":"f"}]}`)
	if len(r.Tools) != 3 || r.Tools[0].Description != "first" {
		t.Errorf("tools %+v", r.Tools)
	}
	if len(r.Turns) != 2 || r.Turns[0].Parts[0].Text != "<agent-message>\nhi\n</agent-message>" || r.Turns[1].Parts[0].Kind != llm.PartOpaque {
		t.Errorf("turns %+v", r.Turns)
	}
}

func TestGrowingHistoryKeepsItsBeginning(t *testing.T) {
	t.Parallel()
	r := decodeRequest(t, string(codexBody(8)))
	all := *r
	var before string
	for n := range len(all.Turns) + 1 {
		r.Turns = all.Turns[:n]
		got := strings.TrimSuffix(in(t, encodeRequest(t, r, dialect.Target{Reasons: true}), "input"), "]")
		if !strings.HasPrefix(got, before) {
			t.Fatalf("turn %d: %q\nbegan as %q", n, got, before)
		}
		before = got
	}
}

// codexBody is a request as Codex makes it after some turns of work.
func codexBody(turns int) []byte {
	var b bytes.Buffer
	q := func(s string) string { j, _ := json.Marshal(s); return string(j) }
	fmt.Fprintf(&b, `{"model":"gpt-5.4","instructions":%s,"input":[`, q(strings.Repeat("You are a coding agent. Be \"precise\".\n", 300)))
	b.WriteString(`{"type":"message","role":"developer","content":[{"type":"input_text","text":"<permissions instructions>"}]},`)
	b.WriteString(`{"type":"message","role":"user","content":[{"type":"input_text","text":"<environment_context>\n</environment_context>"}]}`)
	source := strings.Repeat("func main() {\n\tfmt.Println(\"hello, wörld\")\n}\n", 60)
	for i := range turns {
		fmt.Fprintf(&b, `,{"type":"message","role":"user","content":[{"type":"input_text","text":"Do step %d."}]}`, i)
		fmt.Fprintf(&b, `,{"type":"reasoning","summary":[{"type":"summary_text","text":"Thinking about %d"}],"encrypted_content":"%s"}`, i, strings.Repeat("gAAAAABo", 100))
		fmt.Fprintf(&b, `,{"type":"function_call","name":"shell","arguments":%s,"call_id":"call_%d"}`, q(`{"command":["cat","main.go"]}`), i)
		fmt.Fprintf(&b, `,{"type":"function_call_output","call_id":"call_%d","output":%s}`, i, q(source))
		fmt.Fprintf(&b, `,{"type":"custom_tool_call","name":"apply_patch","input":%s,"call_id":"patch_%d"}`, q("*** Begin Patch\n*** End Patch"), i)
		fmt.Fprintf(&b, `,{"type":"custom_tool_call_output","call_id":"patch_%d","output":"Success."}`, i)
		fmt.Fprintf(&b, `,{"type":"message","role":"assistant","content":[{"type":"output_text","text":"Step %d is done."}]}`, i)
	}
	b.WriteString(`],"tools":[{"type":"custom","name":"apply_patch","description":"Edits files","format":{"type":"grammar","syntax":"lark","definition":"start: patch"}}`)
	for i := range 30 {
		fmt.Fprintf(&b, `,{"type":"function","name":"tool_%d","description":%s,"strict":false,"parameters":{"type":"object","properties":{"path":{"type":"string","description":"The path."},"limit":{"type":"integer"}},"required":["path"],"additionalProperties":false}}`, i, q(strings.Repeat("Does a thing well. ", 40)))
	}
	b.WriteString(`],"tool_choice":"auto","parallel_tool_calls":true,"reasoning":{"effort":"high","summary":"auto"},"store":false,"stream":true,"include":["reasoning.encrypted_content"],"prompt_cache_key":"thread-1"}`)
	return b.Bytes()
}

func BenchmarkRequest(b *testing.B) {
	body := codexBody(54)
	b.ReportMetric(float64(len(body)), "body-bytes")
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		r, err := responses.Codec{}.DecodeRequest(body)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := (responses.Codec{}).EncodeRequest(r, dialect.Target{Model: "gpt-x", Reasons: true}); err != nil {
			b.Fatal(err)
		}
	}
}

func FuzzDecodeRequest(f *testing.F) {
	f.Add(codexBody(2))
	files, _ := filepath.Glob("testdata/requests/*.txtar")
	for _, file := range files {
		if data, err := os.ReadFile(file); err == nil {
			f.Add(txtar.Parse(data).Files[0].Data)
		}
	}
	targets := []dialect.Target{
		{Model: "m"}, {Model: "m", Reasons: true, CustomTools: true, Namespaces: true, NativeTools: true, HostedTools: []string{"web_search"}, Efforts: []llm.Effort{"low"}},
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := responses.Codec{}.DecodeRequest(body)
		if err != nil {
			if failure, ok := errors.AsType[*dialect.Failure](err); !ok || failure.Status != 400 || failure.Message == "" {
				t.Fatalf("%q: %v", body, err)
			}
			return
		}
		for _, target := range targets {
			e, err := responses.Codec{}.EncodeRequest(r, target)
			if err != nil {
				if _, ok := errors.AsType[*dialect.Failure](err); !ok {
					t.Fatalf("%q: %v", body, err)
				}
				continue
			}
			if !json.Valid(e.Body) {
				t.Fatalf("%q became %q", body, e.Body)
			}
			if r.Source = "messages"; target.CustomTools {
				r.Source = "responses"
			}
		}
	})
}
