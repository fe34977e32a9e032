package messages_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"detour/internal/dialect"
	"detour/internal/dialect/messages"
	"detour/internal/llm"
)

// TestRequestGolden reads each request, prints what it means, and writes it for the same dialect and as if a client of
// another dialect had sent it.
func TestRequestGolden(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/request/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no requests in testdata: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			in, target := section(a, "request.json"), parseTarget(t, section(a, "target"))
			r := decodeRequest(t, in)
			got := map[string]string{"neutral": showRequest(r)}
			got["native.json"], got["native.lost"] = encodeRequest(t, r, target)
			r.Source = "responses"
			got["foreign.json"], got["foreign.lost"] = encodeRequest(t, r, target)
			if flag.Lookup("update").Value.String() == "true" {
				keepSections(a, "target", "request.json")
				for _, name := range []string{"neutral", "native.json", "native.lost", "foreign.json", "foreign.lost"} {
					a.Files = append(a.Files, txtar.File{Name: name, Data: []byte(got[name])})
				}
				if err := os.WriteFile(file, txtar.Format(a), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			for name, text := range got {
				if want := section(a, name); want != text {
					t.Errorf("%s\ngot\n%s\nwant\n%s", name, text, want)
				}
			}
		})
	}
}

func section(a *txtar.Archive, name string) string {
	for _, f := range a.Files {
		if f.Name == name {
			return string(f.Data)
		}
	}
	return ""
}

func keepSections(a *txtar.Archive, names ...string) {
	var kept []txtar.File
	for _, f := range a.Files {
		for _, name := range names {
			if f.Name == name {
				kept = append(kept, f)
			}
		}
	}
	a.Files = kept
}

func parseTarget(t *testing.T, s string) dialect.Target {
	t.Helper()
	var out dialect.Target
	for word := range strings.FieldsSeq(s) {
		key, value, _ := strings.Cut(word, "=")
		switch key {
		case "thinking":
			out.Thinking = map[string]dialect.ThinkingMode{"none": 0, "enabled": dialect.ThinkingEnabled, "adaptive": dialect.ThinkingAdaptive}[value]
		case "max":
			_, err := fmt.Sscan(value, &out.MaxOutput)
			if err != nil {
				t.Fatal(err)
			}
		case "model":
			out.Model = value
		case "midsystem":
			out.MidSystem = true
		default:
			t.Fatalf("unknown word %q", word)
		}
	}
	return out
}

func decodeRequest(t *testing.T, body string) *llm.Request {
	t.Helper()
	r, err := messages.Codec{}.DecodeRequest([]byte(body))
	if err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	return r
}

// encodeRequest writes r twice, the same each time, and lays the result out a member a line.
func encodeRequest(t *testing.T, r *llm.Request, target dialect.Target) (body, lost string) {
	t.Helper()
	e, err := messages.Codec{}.EncodeRequest(r, target)
	if err != nil {
		t.Fatal(err)
	}
	again, err := messages.Codec{}.EncodeRequest(r, target)
	if err != nil || !bytes.Equal(e.Body, again.Body) {
		t.Errorf("not the same twice:\n%s\n%s, %v", e.Body, again.Body, err)
	}
	checkRules(t, e.Body)
	var out bytes.Buffer
	if err := json.Indent(&out, e.Body, "", " "); err != nil {
		t.Fatalf("%v: %s", err, e.Body)
	}
	out.WriteByte('\n')
	for _, l := range e.Lost {
		lost += l + "\n"
	}
	return out.String(), lost
}

type sentBlock struct {
	Type, ID, Text, Signature, Data string
	ToolUseID                       string `json:"tool_use_id"`
	Content                         json.RawMessage
	Input                           json.RawMessage
	Source                          struct{ URL string }
	CacheControl                    json.RawMessage `json:"cache_control"`
}

type sent struct {
	Model     string
	MaxTokens int `json:"max_tokens"`
	System    []sentBlock
	Messages  []struct {
		Role    string
		Content []sentBlock
	}
	Tools []struct {
		Name         string
		Description  string
		Type         string
		InputSchema  json.RawMessage `json:"input_schema"`
		CacheControl json.RawMessage `json:"cache_control"`
	}
	ToolChoice json.RawMessage `json:"tool_choice"`
	Thinking   struct {
		Type         string
		BudgetTokens int `json:"budget_tokens"`
	}
	OutputConfig json.RawMessage `json:"output_config"`
	Temperature  *float64
	TopP         *float64 `json:"top_p"`
}

// checkRules asserts what the API insists on for any request.
func checkRules(t *testing.T, body []byte) sent {
	t.Helper()
	var s sent
	if err := json.Unmarshal(body, &s); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	if s.Model == "" || s.MaxTokens < 1 || len(s.Messages) == 0 || s.Messages[0].Role != "user" {
		t.Errorf("model, max_tokens or first message: %s", body)
	}
	if s.Thinking.Type == "enabled" && (s.Thinking.BudgetTokens < 1024 || s.Thinking.BudgetTokens >= s.MaxTokens) {
		t.Errorf("budget %d of %d", s.Thinking.BudgetTokens, s.MaxTokens)
	}
	ids := map[string]bool{}
	var open []string
	for i, m := range s.Messages {
		if i > 0 && m.Role == s.Messages[i-1].Role {
			t.Errorf("message %d has the role of the one before it: %s", i, body)
		}
		if m.Role == "system" && (i == 0 || s.Messages[i-1].Role != "user" || i+1 < len(s.Messages) && s.Messages[i+1].Role != "assistant") {
			t.Errorf("instruction at message %d: %s", i, body)
		}
		if len(m.Content) == 0 {
			t.Errorf("message %d is empty: %s", i, body)
		}
		front := true
		var calls []string
		for j, b := range m.Content {
			switch b.Type {
			case "text":
				if strings.TrimSpace(b.Text) == "" {
					t.Errorf("empty text in message %d: %s", i, body)
				}
			case "thinking":
				if b.Signature == "" || b.CacheControl != nil {
					t.Errorf("thinking in message %d: %s", i, body)
				}
			case "tool_use":
				if ids[b.ID] || b.ID == "" || dialect.CallID(b.ID) != b.ID || b.Input[0] != '{' {
					t.Errorf("call %q in message %d: %s", b.ID, i, body)
				}
				ids[b.ID] = true
				calls = append(calls, b.ID)
			case "tool_result":
				at := -1
				for k, id := range open {
					if id == b.ToolUseID {
						at = k
					}
				}
				if !front || at < 0 {
					t.Errorf("result %d of message %d: %s", j, i, body)
					continue
				}
				open = append(open[:at:at], open[at+1:]...)
			}
			front = front && b.Type == "tool_result"
		}
		if len(open) > 0 {
			t.Errorf("calls %v without results: %s", open, body)
		}
		open = calls
	}
	if len(open) > 0 {
		t.Errorf("calls %v at the end: %s", open, body)
	}
	if n := bytes.Count(body, []byte(`"cache_control":{`)); n > 4 {
		t.Errorf("%d breakpoints: %s", n, body)
	}
	return s
}

func showRequest(r *llm.Request) string {
	var s strings.Builder
	fmt.Fprintf(&s, "model=%s stream=%t max=%d user=%q session=%q stop=%q\n", r.Model, r.Stream, r.MaxOutput, r.User, r.Session, r.Stop)
	if r.Temperature != nil {
		fmt.Fprintf(&s, "temperature=%v top_p=%v top_k=%v\n", *r.Temperature, *r.TopP, *r.TopK)
	}
	fmt.Fprintf(&s, "reasoning %+v\noutput %s %s %s\n", r.Reasoning, r.Output.Format, r.Output.Name, r.Output.Schema)
	for i := range r.System {
		fmt.Fprintf(&s, "system %s\n", showPart(&r.System[i]))
	}
	for _, turn := range r.Turns {
		fmt.Fprintf(&s, "%s\n", [...]string{"user", "assistant", "system turn"}[turn.Role])
		for i := range turn.Parts {
			fmt.Fprintf(&s, "   %s\n", showPart(&turn.Parts[i]))
		}
	}
	for _, tool := range r.Tools {
		fmt.Fprintf(&s, "tool kind=%d type=%q name=%q %q %s\n", tool.Kind, tool.Type, tool.Name, tool.Description, tool.Schema)
	}
	fmt.Fprintf(&s, "choice %+v", r.Choice)
	if r.Parallel != nil {
		fmt.Fprintf(&s, " parallel=%t", *r.Parallel)
	}
	extras, _ := json.Marshal(r.Extras)
	fmt.Fprintf(&s, "\nextras %s\n", extras)
	return s.String()
}

func TestBadRequestNamesTheMistake(t *testing.T) {
	t.Parallel()
	const ok = `{"model":"m","messages":[{"role":"user","content":"a"}]`
	for param, body := range map[string]string{
		"":                                       `{"model":"m"`,
		"model":                                  `{"messages":[]}`,
		"messages":                               `{"model":"m"}`,
		"messages[0]":                            `{"model":"m","messages":[1]}`,
		"messages[0].role":                       `{"model":"m","messages":[{"role":"tool","content":"a"}]}`,
		"messages[0].content":                    `{"model":"m","messages":[{"role":"user","content":5}]}`,
		"messages[0].content[1].text":            `{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"text"}]}]}`,
		"messages[0].content[0].type":            `{"model":"m","messages":[{"role":"user","content":[{}]}]}`,
		"messages[0].content[0].source":          `{"model":"m","messages":[{"role":"user","content":[{"type":"image"}]}]}`,
		"messages[0].content[0].source.data":     `{"model":"m","messages":[{"role":"user","content":[{"type":"image","source":{"type":"base64"}}]}]}`,
		"messages[0].content[0].source.type":     `{"model":"m","messages":[{"role":"user","content":[{"type":"image","source":{"type":"x"}}]}]}`,
		"messages[0].content[0].tool_use_id":     `{"model":"m","messages":[{"role":"user","content":[{"type":"tool_result"}]}]}`,
		"messages[0].content[0].content[0].text": `{"model":"m","messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"a","content":[{"type":"text"}]}]}]}`,
		"messages[0].content[0].name":            `{"model":"m","messages":[{"role":"assistant","content":[{"type":"tool_use","id":"a"}]}]}`,
		"system":                                 ok + `,"system":5}`,
		"system[0].text":                         ok + `,"system":[{"type":"text"}]}`,
		"max_tokens":                             ok + `,"max_tokens":-1}`,
		"temperature":                            ok + `,"temperature":"1"}`,
		"stop_sequences[0]":                      ok + `,"stop_sequences":[1]}`,
		"thinking.type":                          ok + `,"thinking":{}}`,
		"thinking.budget_tokens":                 ok + `,"thinking":{"type":"enabled"}}`,
		"output_config.effort":                   ok + `,"output_config":{"effort":1}}`,
		"output_config.format.schema":            ok + `,"output_config":{"format":{"type":"json_schema"}}}`,
		"tools[0].name":                          ok + `,"tools":[{}]}`,
		"tools[0].input_schema":                  ok + `,"tools":[{"name":"a","input_schema":[]}]}`,
		"tool_choice.type":                       ok + `,"tool_choice":{"type":"x"}}`,
		"tool_choice.name":                       ok + `,"tool_choice":{"type":"tool"}}`,
	} {
		t.Run(param, func(t *testing.T) {
			t.Parallel()
			_, err := messages.Codec{}.DecodeRequest([]byte(body))
			f, ok := errors.AsType[*dialect.Failure](err)
			if !ok || f.Status != 400 || f.Type != "invalid_request_error" || f.Param != param || f.Message == "" {
				t.Errorf("got %+v, want the path %q", f, param)
			}
		})
	}
}
