package chat_test

import (
	"errors"
	"strings"
	"testing"

	"detour/internal/dialect"
	"detour/internal/dialect/chat"
	"detour/internal/dialect/dialecttest"
	"detour/internal/llm"
)

func peek(t *testing.T, body string) dialect.Peek {
	t.Helper()
	p, err := chat.Format{}.Peek([]byte(body))
	if err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return p
}

func TestInitiatorFollowsTheLastMessage(t *testing.T) {
	t.Parallel()
	const user, assistant, tool = `{"role":"user","content":"hi"}`, `{"role":"assistant","content":"ok"}`, `{"role":"tool","tool_call_id":"c","content":"x"}`
	for _, tc := range []struct {
		name, messages string
		want           llm.Initiator
	}{
		{"user text", user, llm.InitiatorUser},
		{"user text after a whole conversation", user + "," + assistant + "," + tool + "," + assistant + "," + user, llm.InitiatorUser},
		{"user parts", `{"role":"user","content":[{"type":"text","text":"a"}]}`, llm.InitiatorUser},
		{"user image", `{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:"}}]}`, llm.InitiatorUser},
		{"user without any part", `{"role":"user","content":[]}`, llm.InitiatorAgent},
		{"tool", user + "," + assistant + "," + tool, llm.InitiatorAgent},
		{"legacy function", user + `,{"role":"function","name":"f","content":"x"}`, llm.InitiatorAgent},
		{"assistant prefill", user + "," + assistant, llm.InitiatorAgent},
		{"system after user", user + `,{"role":"system","content":"s"}`, llm.InitiatorUser},
		{"developer after tool", user + "," + tool + `,{"role":"developer","content":"s"}`, llm.InitiatorAgent},
		{"no message", ``, llm.InitiatorUser},
		{"compaction prompt", user + "," + assistant + `,{"role":"user","content":"Your task is to create a detailed summary of the conversation so far"}`, llm.InitiatorAgent},
		{"title prompt", `{"role":"system","content":"You are a title generator. You output ONLY a thread title."},` + user, llm.InitiatorAgent},
		{"title prompt that a person quotes", `{"role":"user","content":"What does this mean: You are a title generator"}`, llm.InitiatorUser},
		{"subagent marker", `{"role":"user","content":"<system-reminder>__SUBAGENT_MARKER__{}</system-reminder>"},` + user, llm.InitiatorAgent},
		{"subagent marker that a person quotes", `{"role":"user","content":"what is __SUBAGENT_MARKER__"}`, llm.InitiatorUser},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if got := peek(t, `{"model":"m","messages":[`+tc.messages+`]}`).Initiator; got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}

func TestPeekReadsModelStreamSession(t *testing.T) {
	t.Parallel()
	p := peek(t, `{"model":"old","messages":[],"stream":true,"prompt_cache_key":"k\u0031","mod\u0065l":"gpt"}`)
	if p.Model != "gpt" || !p.Stream || p.Session != "k1" {
		t.Errorf("got %+v", p)
	}
	if p := peek(t, ` {"model":"m","messages":[],"stream":null}`); p.Stream || p.Session != "" {
		t.Errorf("got %+v", p)
	}
}

func TestVisionSeesImagesOfUsersAndTools(t *testing.T) {
	t.Parallel()
	for messages, want := range map[string]bool{
		`{"role":"user","content":"image_url"}`:                                                            false,
		`{"role":"user","content":[{"type":"text","text":"image_url"}]}`:                                   false,
		`{"role":"user","content":[{"type":"text","text":"a"},{"type":"image_url","image_url":{}}]}`:       true,
		`{"role":"tool","content":[{"type":"image_url","image_url":{}}]},{"role":"user","content":"more"}`: true,
	} {
		if got := peek(t, `{"model":"m","tools":[{"type":"image_url"}],"messages":[`+messages+`]}`).Vision; got != want {
			t.Errorf("%s: got %v", messages, got)
		}
	}
}

func TestOpeningIsTheSameForEachTurnOfOneConversation(t *testing.T) {
	t.Parallel()
	const system, user = `{"role":"system","content":"be brief"},`, `{"role":"user","content":"hi"}`
	first := peek(t, `{"model":"m","messages":[`+system+user+`]}`).Opening
	for name, messages := range map[string]string{
		"later turn":     system + user + `,{"role":"assistant","content":"a"},{"role":"system","content":"late"},{"role":"user","content":"b"}`,
		"text in parts":  `{"role":"system","content":[{"type":"text","text":"be brief"}]},{"role":"user","content":[{"type":"text","text":"h","cache":1},{"type":"text","text":"i"}]}`,
		"developer role": `{"role":"developer","content":"be brief"},` + user,
	} {
		if got := peek(t, `{"messages":[`+messages+`],"model":"other"}`).Opening; got != first {
			t.Errorf("%s: %x, want %x", name, got, first)
		}
	}
	for name, messages := range map[string]string{
		"other system":    `{"role":"system","content":"be long"},` + user,
		"other user text": system + `{"role":"user","content":"ho"}`,
		"no system":       user,
	} {
		if got := peek(t, `{"messages":[`+messages+`],"model":"m"}`).Opening; got == first {
			t.Errorf("%s: the same", name)
		}
	}
	// Affinity outlives a restart, so the hash must be the same in each process.
	if want := uint64(0x51123b1cf59dd9c2); first != want {
		t.Errorf("got %#x, want %#x", first, want)
	}
}

func TestPeekSaysWhatIsWrongAndWhere(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, body, param, message string }{
		{"nothing", ``, "", "the request body is not valid JSON: unexpected end at byte 0"},
		{"not JSON", `{"model":"m",}`, "", "the request body is not valid JSON: expected a quoted name at byte 13"},
		{"too deep", `{"model":"m","messages":` + strings.Repeat("[", 1<<16), "", "the request body is not valid JSON: nested too deep at byte 535"},
		{"array", `[]`, "", "the request body must be a JSON object, not an array"},
		{"no model", `{"messages":[]}`, "model", "model: is required"},
		{"model number", `{"model":5,"messages":[]}`, "model", "model: must be a string, not a number"},
		{"model empty", `{"model":"","messages":[]}`, "model", "model: must not be empty"},
		{"stream text", `{"model":"m","stream":"yes","messages":[]}`, "stream", "stream: must be a boolean, not a string"},
		{"no messages", `{"model":"m"}`, "messages", "messages: is required"},
		{"messages object", `{"model":"m","messages":{}}`, "messages", "messages: must be an array, not an object"},
		{"message text", `{"model":"m","messages":["hi"]}`, "messages[0]", "messages[0]: must be an object, not a string"},
		{"role missing", `{"model":"m","messages":[{"role":"user"},{"content":"x"}]}`, "messages[1].role", "messages[1].role: must be a string, not nothing"},
		{"content number", `{"model":"m","messages":[{"role":"user","content":5}]}`, "messages[0].content", "messages[0].content: must be a string or an array, not a number"},
		{"part text", `{"model":"m","messages":[{"role":"user","content":[{},"x"]}]}`, "messages[0].content[1]", "messages[0].content[1]: must be an object, not a string"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			_, err := chat.Format{}.Peek([]byte(tc.body))
			f, ok := errors.AsType[*dialect.Failure](err)
			if !ok || f.Status != 400 || f.Type != "invalid_request_error" || f.Param != tc.param || f.Message != tc.message {
				t.Errorf("got %#v", err)
			}
		})
	}
}

func FuzzPeek(f *testing.F) {
	f.Add([]byte(`{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"a"}]},{"role":"tool","content":null}],"stream":true}`))
	f.Add([]byte(`{"model":"m","messages":[{"role":5}]}`))
	f.Fuzz(func(t *testing.T, in []byte) { dialecttest.CheckPeek(t, chat.Format{}, in) })
}

func BenchmarkPeek(b *testing.B) {
	body := []byte(`{"model":"m","stream":true,"messages":[{"role":"system","content":"` + strings.Repeat("Be brief. ", 2000) + `"}` +
		strings.Repeat(`,{"role":"user","content":[{"type":"text","text":"`+strings.Repeat("Lorem ipsum \\n", 60)+`"}]},{"role":"assistant","content":"ok"}`, 300) + `]}`)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := (chat.Format{}).Peek(body); err != nil {
			b.Fatal(err)
		}
	}
}

func TestRequestsInOtherWordsAreKnown(t *testing.T) {
	t.Parallel()
	const user, function = `{"role":"user","content":"hi"}`, `{"type":"function","function":{"name":"f"}}`
	for _, tc := range []struct {
		name, members string
		mixed         bool
		by            llm.Initiator
	}{
		{"its own", `"messages":[` + user + `],"tools":[` + function + `,{"type":"custom","custom":{"name":"c"}}],"tool_choice":{"type":"function","function":{"name":"f"}}`, false, llm.InitiatorUser},
		{"a choice by a word", `"messages":[` + user + `],"tool_choice":"auto","tools":[` + function + `]`, false, llm.InitiatorUser},
		{"an empty system prompt", `"messages":[` + user + `],"system":""`, false, llm.InitiatorUser},
		{"a body of Responses", `"input":[{"role":"user","content":"hi"}]`, true, llm.InitiatorUser},
		{"a body of Responses after a call", `"input":[{"role":"user","content":"hi"},{"type":"function_call_output","call_id":"c","output":"x"}]`, true, llm.InitiatorAgent},
		{"a flat function", `"messages":[` + user + `],"tools":[` + function + `,{"type":"function","name":"g"}]`, true, llm.InitiatorUser},
		{"a flat custom tool", `"messages":[` + user + `],"tools":[{"type":"custom","name":"g","format":{}}]`, true, llm.InitiatorUser},
		{"a bare tool", `"messages":[` + user + `],"tools":[{"name":"g","input_schema":{}}]`, true, llm.InitiatorUser},
		{"a choice of Messages", `"messages":[` + user + `],"tools":[` + function + `],"tool_choice":{"type":"tool","name":"f"}`, true, llm.InitiatorUser},
		{"a flat choice", `"messages":[` + user + `],"tools":[` + function + `],"tool_choice":{"type":"function","name":"f"}`, true, llm.InitiatorUser},
		{"a system prompt of Messages", `"messages":[` + user + `],"system":"s"`, true, llm.InitiatorUser},
		{"blocks of Messages", `"messages":[` + user + `,{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"f","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":"x"}]}]`, true, llm.InitiatorAgent},
		{"a result and words", `"messages":[{"role":"user","content":[{"type":"text","text":"go on"},{"type":"tool_result","tool_use_id":"t"}]}]`, true, llm.InitiatorUser},
		{"a result and a reminder", `"messages":[{"role":"user","content":[{"type":"text","text":"<system-reminder>x</system-reminder>"},{"type":"tool_result","tool_use_id":"t"}]}]`, true, llm.InitiatorAgent},
		{"a part of Responses", `"messages":[{"role":"user","content":[{"type":"input_text","text":"a"}]}]`, true, llm.InitiatorUser},
		{"an empty list in a tool turn", `"messages":[` + user + `,{"role":"assistant","content":[],"tool_calls":[]},` + user + `]`, true, llm.InitiatorUser},
	} {
		if p := peek(t, `{"model":"m",`+tc.members+`}`); p.Mixed != tc.mixed || p.Initiator != tc.by {
			t.Errorf("%s: mixed %t by %s, want %t by %s", tc.name, p.Mixed, p.Initiator, tc.mixed, tc.by)
		}
	}
	if !peek(t, `{"model":"m","messages":[{"role":"user","content":[{"type":"tool_result","content":[{"type":"image","source":{}}]}]}]}`).Vision {
		t.Error("an image inside a result was not seen")
	}
}
