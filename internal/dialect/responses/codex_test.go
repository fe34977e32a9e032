package responses_test

import (
	"encoding/json"
	"strings"
	"testing"

	"detour/internal/dialect"
	"detour/internal/dialect/dialecttest"
	"detour/internal/dialect/responses"
	"detour/internal/llm"
)

func TestTheReservedNamespaceGoesUpUnderAnotherName(t *testing.T) {
	t.Parallel()
	const space = `{"type":"namespace","name":"collaboration","tools":[{"type":"function","name":"spawn","parameters":{"properties":{"m":{"type":"string","encrypted":true},"encrypted":{"type":"string","encrypted" : false}}, "encrypted":true}}]}`
	const renamed = `{"type":"namespace","name":"collaboration_2","tools":[{"type":"function","name":"spawn","parameters":{"properties":{"m":{"type":"string"},"encrypted":{"type":"string"}}}}]}`
	for name, tc := range map[string]struct{ in, want, as string }{
		"tools":            {`{"tools":[ {"type":"function","name":"collaboration"}, ` + space + ` ],"x":1.0}`, `{"tools":[ {"type":"function","name":"collaboration"}, ` + renamed + ` ],"x":1.0}`, "collaboration_2"},
		"additional tools": {`{"input":[{"tools":[` + space + `],"type":"additional_tools"}]}`, `{"input":[{"tools":[` + renamed + `],"type":"additional_tools"}]}`, "collaboration_2"},
		"calls": {`{"input":[{"type":"function_call","namespace":"collaboration","name":"spawn","arguments":"{}", "encrypted_function_args":["m"]},{"type":"function_call","name":"collaboration"},"x"]}`,
			`{"input":[{"type":"function_call","namespace":"collaboration_2","name":"spawn","arguments":"{}"},{"type":"function_call","name":"collaboration"},"x"]}`, "collaboration_2"},
		"choice of a tool":   {`{"tool_choice":{"type":"function","name":"spawn","namespace":"collaboration"}}`, `{"tool_choice":{"type":"function","name":"spawn","namespace":"collaboration_2"}}`, "collaboration_2"},
		"choice of all":      {`{"tool_choice":{"name":"collaboration","type":"namespace"}}`, `{"tool_choice":{"name":"collaboration_2","type":"namespace"}}`, "collaboration_2"},
		"choice of several":  {`{"tool_choice":{"type":"allowed_tools","tools":[{"type":"function","namespace":"collaboration","name":"a"},{"type":"function","name":"collaboration"}]}}`, `{"tool_choice":{"type":"allowed_tools","tools":[{"type":"function","namespace":"collaboration_2","name":"a"},{"type":"function","name":"collaboration"}]}}`, "collaboration_2"},
		"the name is taken":  {`{"tools":[{"type":"namespace","name":"collaboration","tools":[]},{"type":"namespace","name":"collaboration_2","tools":[]}]}`, `{"tools":[{"type":"namespace","name":"collaboration_3","tools":[]},{"type":"namespace","name":"collaboration_2","tools":[]}]}`, "collaboration_3"},
		"only in words":      {`{"input":[{"role":"user","content":"collaboration"}],"metadata":{"a":"collaboration"}}`, "", ""},
		"a tool of the name": {`{"tools":[{"type":"function","name":"collaboration","parameters":{"encrypted":true}}]}`, "", ""},
		"not there":          {`{"tools":[{"type":"namespace","name":"other","tools":[{"parameters":{"encrypted":true}}]}]}`, "", ""},
		"broken":             {`{"tools":[{"type":"namespace","name":"collaboration"`, "", ""},
	} {
		got, as := responses.RenameReserved([]byte(tc.in))
		if tc.want == "" {
			tc.want = tc.in
		}
		if string(got) != tc.want || as != tc.as {
			t.Errorf("%s: %q\n got %s\nwant %s", name, as, got, tc.want)
		}
	}
	r := decodeRequest(t, `{"model":"m","tools":[`+space+`]}`)
	if schema := string(r.Tools[0].Schema); strings.Contains(schema, "true") || !strings.Contains(schema, `"encrypted":{"type":"string"}`) {
		t.Errorf("decoded with marks: %s", schema)
	}
}

func TestTheReservedNamespaceComesBackUnderItsOwnName(t *testing.T) {
	t.Parallel()
	const item = `{"id":"fc_1","type":"function_call","call_id":"c","namespace":"collaboration_2","name":"spawn","arguments":"{}","status":"completed"}`
	const want = `{"encrypted_function_args":[],"id":"fc_1","type":"function_call","call_id":"c","namespace":"collaboration","name":"spawn","arguments":"{}","status":"completed"}`
	o := dialecttest.Options()
	o.Reserved = "collaboration_2"
	in := created("r") + ev("response.output_item.added", 1, `"output_index":0,"item":`+item) + ev("response.output_item.done", 2, `"output_index":0,"item":`+item) + completed(3, "r", "["+item+"]")
	got := string(dialecttest.Relay(responses.Format{}, o, strings.NewReader(in)).Out)
	if strings.Count(got, want) != 3 || strings.Contains(got, "collaboration_2") {
		t.Errorf("streamed: %s", got)
	}
	whole, _ := responses.Format{}.Repair([]byte(`{"output":[`+item+`,{"type":"message"}]}`), o)
	if string(whole) != `{"output":[`+want+`,{"type":"message"}]}` {
		t.Errorf("plain: %s", whole)
	}
	whole, _ = responses.Format{}.Repair([]byte(`{"output":[`+want+`]}`), dialecttest.Options())
	if string(whole) != `{"output":[`+want+`]}` {
		t.Errorf("nothing was renamed: %s", whole)
	}
}

// Some models name a call only in the output that the answer ends with.
func TestAFunctionCallThatIsOnlyInTheOutputIsNotLost(t *testing.T) {
	t.Parallel()
	const message = `{"id":"m","type":"message","role":"assistant","status":"completed","content":[{"type":"output_text","text":"hi","annotations":[]}]}`
	const call = `{"id":"f","type":"function_call","call_id":"c","name":"shell","arguments":"{\"a\":1}","status":"completed"}`
	in := created("r") + ev("response.output_item.added", 1, `"output_index":0,"item":`+message) + ev("response.output_item.done", 2, `"output_index":0,"item":`+message) +
		completed(3, "r", "["+message+","+call+"]")
	got := string(dialecttest.Relay(responses.Format{}, dialecttest.Options(), strings.NewReader(in)).Out)
	before, end, _ := strings.Cut(got, "event: response.completed")
	if strings.Count(before, `"type":"function_call"`) != 2 || !strings.Contains(before, `"arguments":"{\"a\":1}"`) || !strings.Contains(end, `"call_id":"c"`) {
		t.Errorf("in its own dialect: %s", got)
	}
	a, err := fold(decode(strings.NewReader(in)))
	if err != nil || len(a.Parts) != 2 || a.Parts[1].Call == nil || a.Parts[1].Call.Name != "shell" || a.Parts[1].Call.Arguments != `{"a":1}` || a.Stop != llm.StopTool {
		t.Errorf("decoded: %+v, %v", a, err)
	}
}

// What an answer repeats at its end is the same to the client, blob and all, though it comes under another id.
func TestABlobThatIsRepeatedKeepsItsID(t *testing.T) {
	t.Parallel()
	o := dialecttest.Options()
	o.Seal = func(id, blob string) string { return id + "/" + blob }
	item := func(id string) string {
		return `{"id":"` + id + `","type":"reasoning","summary":[],"encrypted_content":"blob"}`
	}
	in := created("r") + ev("response.output_item.added", 1, `"output_index":0,"item":`+item("a")) + ev("response.output_item.done", 2, `"output_index":0,"item":`+item("b")) + completed(3, "r", "["+item("c")+"]")
	_, end, _ := strings.Cut(string(dialecttest.Relay(responses.Format{}, o, strings.NewReader(in)).Out), "event: response.completed")
	if !strings.Contains(end, `"encrypted_content":"b/blob"`) {
		t.Errorf("the end is %s", end)
	}
}

func TestProbesAskNothing(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]bool{
		`{"model":"m","input":[],"max_output_tokens":1}`:  true,
		`{"model":"m","input":"","max_output_tokens":1}`:  true,
		`{"model":"m","max_output_tokens":1}`:             true,
		`{"model":"m","max_output_tokens":16,"input":[]}`: false,
		`{"model":"m","max_output_tokens":1,"input":"x"}`: false,
		`{"model":"m","input":[]}`:                        false,
		`{"max_output_tokens":1,"input":[]`:               false,
		`[]`:                                              false,
	} {
		if responses.IsProbe([]byte(body)) != want {
			t.Errorf("%s: %v", body, !want)
		}
	}
}

func TestWhatOnlyModelsOfOpenAICanRead(t *testing.T) {
	t.Parallel()
	for items, code := range map[string]string{
		`{"type":"compaction","encrypted_content":"gAAAA"}`:                                                         "foreign_compaction",
		`{"type":"agent_message","content":[{"type":"encrypted_content","encrypted_content":"gAAAA"}]}`:             "encrypted_agent_message",
		`{"type":"agent_message","content":[{"type":"input_text","text":"x"},{"type":"encrypted_content"}]}`:        "encrypted_agent_message",
		`{"type":"agent_message","author":"a\"b","recipient":"/root","content":[{"type":"input_text","text":"x"}]}`: "",
		`{"type":"agent_message","content":[]}`:                                                                     "",
		`{"type":"web_search_call","status":"completed"}`:                                                           "",
	} {
		r := decodeRequest(t, `{"model":"m","input":[{"role":"user","content":"hi"},`+items+`]}`)
		f := responses.Unreadable(r)
		if (f == nil) != (code == "") || f != nil && (f.Code != code || f.Status != 400) {
			t.Errorf("%s: %+v", items, f)
		}
		if strings.Contains(items, "/root") && r.Turns[1].Parts[0].Text != "<agent-message recipient=\"/root\">\nx\n</agent-message>" {
			t.Errorf("%s: %q", items, r.Turns[1].Parts[0].Text)
		}
	}
}

func FuzzRenameReserved(f *testing.F) {
	f.Add([]byte(`{"tools":[{"type":"namespace","name":"collaboration","tools":[{"parameters":{"encrypted":true,"a":[{"encrypted":false}]}}]}],"input":[{"namespace":"collaboration"}]}`))
	f.Add([]byte(`{"tool_choice":{"type":"namespace","name":"collaboration","tools":[{"namespace":"collaboration"}]}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		out, name := responses.RenameReserved(body)
		if !json.Valid(body) {
			return
		}
		if !json.Valid(out) || (name == "") != (string(out) == string(body)) && name == "" {
			t.Fatalf("%q became %q as %q", body, out, name)
		}
		if again, more := responses.RenameReserved(out); more != "" && string(again) != string(out) && !strings.Contains(string(body), `collaboration`) {
			t.Fatalf("renamed again: %q", again)
		}
		o := dialect.TapOptions{Reserved: name}
		back, _ := responses.Format{}.Repair(append(append([]byte(`{"output":[`), out...), "]}"...), o)
		if !json.Valid(back) {
			t.Fatalf("%q came back as %q", out, back)
		}
	})
}
