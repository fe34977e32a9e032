package messages_test

import (
	"errors"
	"testing"

	"detour/internal/dialect"
	"detour/internal/dialect/dialecttest"
	"detour/internal/dialect/messages"
	"detour/internal/llm"
)

func peek(t *testing.T, body string) dialect.Peek {
	t.Helper()
	p, err := messages.Format{}.Peek([]byte(body))
	if err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return p
}

func TestInitiatorFollowsTheLastMessage(t *testing.T) {
	t.Parallel()
	const (
		user      = `{"role":"user","content":"hi"}`
		assistant = `{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"n","input":{}}]}`
		result    = `{"type":"tool_result","tool_use_id":"t","content":"x"}`
		reminder  = `{"type":"text","text":"<system-reminder>\ntidy up\n</system-reminder>\n"}`
		text      = `{"type":"text","text":"stop"}`
	)
	for _, tc := range []struct {
		name, messages string
		want           llm.Initiator
	}{
		{"user text", user, llm.InitiatorUser},
		{"user blocks", `{"role":"user","content":[` + text + `]}`, llm.InitiatorUser},
		{"user image", `{"role":"user","content":[{"type":"image","source":{}}]}`, llm.InitiatorUser},
		{"tool results only", user + "," + assistant + `,{"role":"user","content":[` + result + "," + result + `]}`, llm.InitiatorAgent},
		{"tool result and real text", user + "," + assistant + `,{"role":"user","content":[` + result + "," + text + `]}`, llm.InitiatorUser},
		{"tool result and a reminder", user + "," + assistant + `,{"role":"user","content":[` + result + "," + reminder + `]}`, llm.InitiatorAgent},
		{"tool result, a reminder and real text", user + "," + assistant + `,{"role":"user","content":[` + result + "," + reminder + "," + text + `]}`, llm.InitiatorUser},
		{"tool result and an image beside it", user + "," + assistant + `,{"role":"user","content":[` + result + `,{"type":"image"}]}`, llm.InitiatorUser},
		{"reminder and real text in one block", `{"role":"user","content":[` + result + `,{"type":"text","text":"<system-reminder>a</system-reminder> go on"}]}`, llm.InitiatorUser},
		{"reminder alone", `{"role":"user","content":[` + reminder + `]}`, llm.InitiatorUser},
		{"server tool result", `{"role":"user","content":[{"type":"web_search_tool_result","content":[]}]}`, llm.InitiatorAgent},
		{"no block at all", `{"role":"user","content":[]}`, llm.InitiatorAgent},
		{"assistant prefill", user + "," + assistant, llm.InitiatorAgent},
		{"system after user", user + `,{"role":"system","content":"s"}`, llm.InitiatorUser},
		{"system after tool results", `{"role":"user","content":[` + result + `]},{"role":"system","content":[{"type":"text","text":"s"}]}`, llm.InitiatorAgent},
		{"compaction prompt", user + "," + assistant + `,{"role":"user","content":[` + result + `,{"type":"text","text":"CRITICAL: Respond with TEXT ONLY. Do NOT call any tools.\n"}]}`, llm.InitiatorAgent},
		{"a notification that no person wrote", user + "," + assistant + `,{"role":"user","content":[` + reminder + `,{"type":"text","text":"<system-reminder>\n[SYSTEM NOTIFICATION - NOT USER INPUT]\nA task ended.\n</system-reminder>"}]}`, llm.InitiatorAgent},
		{"a notification beside a person's words", user + "," + assistant + `,{"role":"user","content":[{"type":"text","text":"<system-reminder>\n[SYSTEM NOTIFICATION - NOT USER INPUT]\nA task ended.\n</system-reminder>"},` + text + `]}`, llm.InitiatorUser},
		{"a notification that a person quotes", `{"role":"user","content":"what is [SYSTEM NOTIFICATION - NOT USER INPUT]?"}`, llm.InitiatorUser},
		{"the word warmup from a person", `{"role":"user","content":"Warmup"}`, llm.InitiatorUser},
		{"subagent marker", `{"role":"user","content":[{"type":"text","text":"<system-reminder>\n__SUBAGENT_MARKER__{}\n</system-reminder>"},` + text + `]}`, llm.InitiatorAgent},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if got := peek(t, `{"model":"m","messages":[`+tc.messages+`]}`).Initiator; got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
	for name, tc := range map[string]struct {
		members, messages string
		want              llm.Purpose
	}{
		"topic":         {`"system":"Analyze if this message indicates a new conversation topic."`, user, llm.PurposeBackground},
		"title":         {`"system":"Generate a concise, sentence-case title (3-7 words)","output_config":{"format":{"type":"json_schema","schema":{}}}`, user, llm.PurposeBackground},
		"paths":         {`"system":[{"type":"text","text":"You are a Claude agent, built on Anthropic's Claude Agent SDK."},{"type":"text","text":"Extract any file paths that this command reads or modifies."}]`, user, llm.PurposeBackground},
		"summary":       {`"system":[{"type":"text","text":"x-anthropic-billing-header: cc"},{"type":"text","text":"You are a helpful AI assistant tasked with summarizing conversations."}]`, user, llm.PurposeCompaction},
		"quota prompt":  {`"max_tokens":1`, user, llm.PurposeBackground},
		"warmup":        {`"tools":[],"system":[{"type":"text","text":"You are Claude Code, Anthropic's official CLI for Claude."}]`, `{"role":"user","content":[{"type":"text","text":"Warmup"}]}`, llm.PurposeBackground},
		"nothing":       {`"system":"You are Claude Code, Anthropic's official CLI for Claude."`, user, ""},
		"a json schema": {`"output_config":{"format":{"type":"json_schema","schema":{}}}`, user, ""}, // a person's program may well ask for one
		"warmup, asked": {`"tools":[{"name":"f"}],"system":"You are Claude Code."`, `{"role":"user","content":"Warmup"}`, ""},
	} {
		want := llm.InitiatorAgent
		if tc.want == "" {
			want = llm.InitiatorUser
		}
		if got := peek(t, `{"model":"m","messages":[`+tc.messages+`],`+tc.members+`}`); got.Initiator != want || got.Purpose != tc.want {
			t.Errorf("%s: got %s %q, want %s %q", name, got.Initiator, got.Purpose, want, tc.want)
		}
	}
}

func TestVisionSeesImagesInsideToolResults(t *testing.T) {
	t.Parallel()
	for content, want := range map[string]bool{
		`"image"`: false,
		`[{"type":"text","text":"{\"type\":\"image\"}"}]`:                                                                      false,
		`[{"type":"image","source":{}}]`:                                                                                       true,
		`[{"type":"tool_result","content":[{"type":"text","text":"a"},{"type":"image","source":{}}]}]`:                         true,
		`[{"type":"tool_result","content":[{"type":"document","source":{"type":"content","content":[{"type":"image"}]}}]}]`:    true,
		`[{"type":"tool_result","content":"image"},{"type":"tool_use","input":{"type":"image","content":[{"type":"image"}]}}]`: false,
	} {
		if got := peek(t, `{"model":"m","messages":[{"role":"user","content":`+content+`},{"role":"assistant","content":"x"}]}`).Vision; got != want {
			t.Errorf("%s: got %v", content, got)
		}
	}
}

func TestSessionIsTheConversationNotThePerson(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]string{
		`"user_abc_account__session_6b1e"`:                                      "6b1e",
		`"{\"device_id\":\"d\",\"account_uuid\":\"\",\"session_id\":\"6b1e\"}"`: "6b1e",
		`"somebody"`: "",
		`null`:       "",
		`5`:          "",
	} {
		if got := peek(t, `{"model":"m","messages":[],"metadata":{"user_id":`+id+`}}`).Session; got != want {
			t.Errorf("%s: got %q", id, got)
		}
	}
}

func TestOpeningIsTheSameForEachTurnOfOneConversation(t *testing.T) {
	t.Parallel()
	first := peek(t, `{"model":"m","system":"be brief","messages":[{"role":"user","content":"hi"}]}`).Opening
	same := `{"model":"m","system":[{"type":"text","text":"x-anthropic-billing-header: cc_version=2; cch=1f"},{"type":"text","text":"be brief","cache_control":{}}],` +
		`"messages":[{"role":"user","content":[{"type":"text","text":"hi","cache_control":{}}]},{"role":"system","content":"x"},{"role":"assistant","content":"a"},{"role":"user","content":"b"}]}`
	if got := peek(t, same).Opening; got != first {
		t.Errorf("later turn: %x, want %x", got, first)
	}
	if got := peek(t, `{"model":"m","system":"be brief","messages":[{"role":"user","content":"ho"}]}`).Opening; got == first {
		t.Error("another conversation: the same")
	}
}

func TestPeekSaysWhatIsWrongAndWhere(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, body, param, message string }{
		{"system number", `{"model":"m","messages":[],"system":5}`, "system", "system: must be a string or an array, not a number"},
		{"system block text", `{"model":"m","messages":[],"system":["x"]}`, "system[0]", "system[0]: must be an object, not a string"},
		{"no messages", `{"model":"m"}`, "messages", "messages: is required"},
		{"messages text", `{"model":"m","messages":"hi"}`, "messages", "messages: must be an array, not a string"},
		{"message null", `{"model":"m","messages":[null]}`, "messages[0]", "messages[0]: must be an object, not null"},
		{"role number", `{"model":"m","messages":[{"role":1}]}`, "messages[0].role", "messages[0].role: must be a string, not a number"},
		{"content object", `{"model":"m","messages":[{"role":"user","content":{}}]}`, "messages[0].content", "messages[0].content: must be a string or an array, not an object"},
		{"block text", `{"model":"m","messages":[{"role":"user","content":["x"]}]}`, "messages[0].content[0]", "messages[0].content[0]: must be an object, not a string"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			_, err := messages.Format{}.Peek([]byte(tc.body))
			f, ok := errors.AsType[*dialect.Failure](err)
			if !ok || f.Status != 400 || f.Param != tc.param || f.Message != tc.message {
				t.Errorf("got %#v", err)
			}
		})
	}
}

func FuzzPeek(f *testing.F) {
	f.Add([]byte(`{"model":"m","system":"s","messages":[{"role":"user","content":[{"type":"tool_result","content":[{"type":"image"}]}]}],"metadata":{"user_id":"{\"session_id\":\"x\"}"}}`))
	f.Fuzz(func(t *testing.T, in []byte) { dialecttest.CheckPeek(t, messages.Format{}, in) })
}
