package responses_test

import (
	"errors"
	"testing"

	"detour/internal/dialect"
	"detour/internal/dialect/dialecttest"
	"detour/internal/dialect/responses"
	"detour/internal/llm"
)

func peek(t *testing.T, body string) dialect.Peek {
	t.Helper()
	p, err := responses.Format{}.Peek([]byte(body))
	if err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return p
}

func TestInitiatorFollowsTheLastItem(t *testing.T) {
	t.Parallel()
	const (
		user   = `{"type":"message","role":"user","content":[{"type":"input_text","text":"hi"}]}`
		call   = `{"type":"function_call","call_id":"c","name":"n","arguments":"{}"}`
		output = `{"type":"function_call_output","call_id":"c","output":"x"}`
	)
	for _, tc := range []struct {
		name, input string
		want        llm.Initiator
	}{
		{"plain string", `"hi"`, llm.InitiatorUser},
		{"user message", `[` + user + `]`, llm.InitiatorUser},
		{"user message without a type", `[{"role":"user","content":"hi"}]`, llm.InitiatorUser},
		{"user after tools", `[` + user + "," + call + "," + output + "," + user + `]`, llm.InitiatorUser},
		{"function_call_output", `[` + user + "," + call + "," + output + `]`, llm.InitiatorAgent},
		{"custom_tool_call_output", `[` + user + `,{"type":"custom_tool_call_output","output":"x"}]`, llm.InitiatorAgent},
		{"reasoning last", `[` + user + `,{"type":"reasoning","summary":[]}]`, llm.InitiatorAgent},
		{"assistant prefill", `[` + user + `,{"role":"assistant","content":[{"type":"output_text","text":"a"}]}]`, llm.InitiatorAgent},
		{"developer after user", `[` + user + `,{"type":"message","role":"developer","content":[{"type":"input_text","text":"s"}]}]`, llm.InitiatorUser},
		{"developer after output", `[` + output + `,{"role":"developer","content":"s"}]`, llm.InitiatorAgent},
		{"tools that ride along after user", `[` + user + `,{"type":"additional_tools","role":"developer","tools":[]}]`, llm.InitiatorUser},
		{"compaction trigger", `[` + user + `,{"type":"compaction_trigger"}]`, llm.InitiatorAgent},
		{"compaction prompt", `[` + user + `,{"role":"user","content":"You are performing a CONTEXT CHECKPOINT COMPACTION. Create"}]`, llm.InitiatorAgent},
		{"user without any part", `[{"role":"user","content":[]}]`, llm.InitiatorAgent},
		{"empty input", `[]`, llm.InitiatorUser},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if got := peek(t, `{"model":"m","input":`+tc.input+`}`).Initiator; got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
	if got := peek(t, `{"model":"m","instructions":"You are a title generator","input":"x"}`).Initiator; got != llm.InitiatorAgent {
		t.Errorf("title prompt: got %s", got)
	}
}

func TestVisionSeesImagesOfUsersAndTools(t *testing.T) {
	t.Parallel()
	for input, want := range map[string]bool{
		`"input_image"`: false,
		`[{"role":"user","content":[{"type":"input_image","image_url":"data:"}]}]`:                              true,
		`[{"type":"function_call_output","output":[{"type":"input_text"},{"type":"input_image"}]}]`:             true,
		`[{"type":"computer_call_output","output":{"type":"computer_screenshot","image_url":"x"}}]`:             true,
		`[{"type":"function_call_output","output":"{\"type\":\"input_image\"}"},{"role":"user","content":"a"}]`: false,
	} {
		if got := peek(t, `{"model":"m","input":`+input+`}`).Vision; got != want {
			t.Errorf("%s: got %v", input, got)
		}
	}
}

func TestSessionIsTheCacheKeyOrTheConversation(t *testing.T) {
	t.Parallel()
	for members, want := range map[string]string{
		`"prompt_cache_key":"k"`:                    "k",
		`"conversation":"c","prompt_cache_key":"k"`: "k",
		`"prompt_cache_key":"k","conversation":"c"`: "k",
		`"conversation":{"id":"c"}`:                 "c",
		`"user":"u","safety_identifier":"s"`:        "",
	} {
		if got := peek(t, `{"model":"m","input":"x",`+members+`}`).Session; got != want {
			t.Errorf("%s: got %q", members, got)
		}
	}
}

func TestOpeningIsTheSameForEachTurnOfOneConversation(t *testing.T) {
	t.Parallel()
	first := peek(t, `{"model":"m","instructions":"be brief","input":"hi"}`).Opening
	if got := peek(t, `{"model":"m","input":[{"role":"developer","content":"be brief"},{"role":"user","content":[{"type":"input_text","text":"hi"}]},{"type":"reasoning"},{"role":"user","content":"b"}]}`).Opening; got != first {
		t.Errorf("later turn: %x, want %x", got, first)
	}
	if got := peek(t, `{"model":"m","instructions":"be brief","input":"ho"}`).Opening; got == first {
		t.Error("another conversation: the same")
	}
}

func TestPeekSaysWhatIsWrongAndWhere(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, body, param, message string }{
		{"input number", `{"model":"m","input":5}`, "input", "input: must be a string or an array, not a number"},
		{"item text", `{"model":"m","input":["x"]}`, "input[0]", "input[0]: must be an object, not a string"},
		{"type number", `{"model":"m","input":[{"type":5}]}`, "input[0].type", "input[0].type: must be a string, not a number"},
		{"role object", `{"model":"m","input":[{"role":{}}]}`, "input[0].role", "input[0].role: must be a string, not an object"},
		{"content number", `{"model":"m","input":[{"role":"user","content":5}]}`, "input[0].content", "input[0].content: must be a string or an array, not a number"},
		{"part text", `{"model":"m","input":[{"role":"user","content":["x"]}]}`, "input[0].content[0]", "input[0].content[0]: must be an object, not a string"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			_, err := responses.Format{}.Peek([]byte(tc.body))
			f, ok := errors.AsType[*dialect.Failure](err)
			if !ok || f.Status != 400 || f.Param != tc.param || f.Message != tc.message {
				t.Errorf("got %#v", err)
			}
		})
	}
	if _, err := (responses.Format{}).Peek([]byte(`{"model":"m","previous_response_id":"r"}`)); err != nil {
		t.Errorf("without input: %v", err)
	}
}

func FuzzPeek(f *testing.F) {
	f.Add([]byte(`{"model":"m","input":[{"role":"user","content":[{"type":"input_text","text":"a"}]},{"type":"function_call_output","output":[{}]}]}`))
	f.Fuzz(func(t *testing.T, in []byte) { dialecttest.CheckPeek(t, responses.Format{}, in) })
}

func FuzzUnseal(f *testing.F) {
	f.Add([]byte(`{"input":[{"type":"reasoning","id":"x_dtr1x","encrypted_content":"b"}]}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		out := responses.Unseal(in, func(blob string) (string, string, bool) { return "id", blob, len(blob)%2 == 0 })
		if (peekable(in)) != peekable(out) {
			t.Errorf("%q became %q", in, out)
		}
	})
}

func peekable(body []byte) bool {
	_, err := dialect.ReadBody(body)
	return err == nil
}

func TestPeekSeesWhatARequestRefersTo(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]dialect.Peek{
		`{"model":"m","input":"x"}`: {Remember: true},
		`{"model":"m","input":"x","store":null,"previous_response_id":null}`:               {Remember: true},
		`{"model":"m","input":"x","store":true}`:                                           {Remember: true},
		`{"model":"m","input":"x","store":false,"previous_response_id":"resp_1"}`:          {Previous: "resp_1"},
		`{"model":"m","store":false,"input":[{"type":"item_reference","id":"rs_1"}]}`:      {References: true},
		`{"model":"m","store":false,"input":[{"id":"rs_1"}]}`:                              {References: true},
		`{"model":"m","store":false,"input":[{"id":"msg_1","role":"user","content":"x"}]}`: {},
		`{"model":"m","store":false,"input":[{"type":"reasoning","id":"rs_1"}]}`:           {},
	} {
		got := peek(t, body)
		if got = (dialect.Peek{Previous: got.Previous, References: got.References, Remember: got.Remember}); got != want {
			t.Errorf("%s: got %+v, want %+v", body, got, want)
		}
	}
}
