package app_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"detour/internal/sim"
)

// codexModels are models of every dialect, the one that speaks Codex's own first.
func codexModels() []string {
	return []string{"gpt-5.4", "claude-sonnet-4.6", "gpt-4o", "gemini-3.5-flash"}
}

// seen returns the one good request that has marker.
func (w *world) seen(t *testing.T, marker string) sim.Request {
	t.Helper()
	all := w.sim.Requests(func(r sim.Request) bool { return r.Status == 200 && strings.Contains(string(r.Body), marker) })
	if len(all) != 1 {
		t.Fatalf("%d good requests have %q", len(all), marker)
	}
	return all[0]
}

// codex sends a request as Codex writes it, with rest for its further members, and returns status, answer and what went
// upstream, which is nothing after an error.
func (w *world) codex(t *testing.T, model, say, rest string, stream bool) (status int, answer, up string) {
	t.Helper()
	return w.codexItems(t, model, say, `{"type":"message","role":"user","content":[{"type":"input_text","text":`+quoted(say)+`}]}`, rest, stream)
}

func quoted(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

func (w *world) codexItems(t *testing.T, model, marker, items, rest string, stream bool) (status int, answer, up string) {
	t.Helper()
	body := fmt.Sprintf(`{"model":%q,"stream":%t,"store":false,"input":[%s]%s}`, model, stream, items, rest)
	status, answer = w.send(t, http.DefaultClient, "/v1/responses", body)
	if status == 200 {
		up = string(w.seen(t, strings.TrimSpace(strings.Split(marker, "[[")[0])).Body)
	}
	return status, answer, up
}

// each runs a test on a model of every dialect, plain and streamed, and waits for it.
func each(t *testing.T, f func(t *testing.T, model string, stream bool)) {
	t.Helper()
	t.Run("on", func(t *testing.T) {
		for _, model := range codexModels() {
			for _, stream := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/stream=%t", model, stream), func(t *testing.T) {
					t.Parallel()
					f(t, model, stream)
				})
			}
		}
	})
}

// outputOf returns the items of an answer, streamed or plain.
func outputOf(t *testing.T, answer string, stream bool) []json.RawMessage {
	t.Helper()
	if stream {
		return streamedItems(t, answer)
	}
	var a struct{ Output []json.RawMessage }
	if err := json.Unmarshal([]byte(answer), &a); err != nil {
		t.Fatal(err)
	}
	return a.Output
}

// itemOf returns the item of a type, which must be there once and look finished.
func itemOf(t *testing.T, answer, typ string, stream bool) map[string]any {
	t.Helper()
	var found []map[string]any
	for _, raw := range outputOf(t, answer, stream) {
		var m map[string]any
		if err := json.Unmarshal(raw, &m); err != nil {
			t.Fatal(err)
		}
		if m["type"] == typ {
			found = append(found, m)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d items of type %s in %s", len(found), typ, answer)
	}
	if found[0]["status"] != "completed" {
		t.Errorf("not finished: %v", found[0])
	}
	return found[0]
}

func TestCodexServiceTierIsLeftOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil, nil, "alice")
	each(t, func(t *testing.T, model string, stream bool) {
		status, got, up := w.codex(t, model, fmt.Sprintf("tier-%s-%t", model, stream), `,"service_tier":"priority","client_metadata":{"x-codex-installation-id":"i"}`, stream)
		if status != 200 || strings.Contains(up, "service_tier") || strings.Contains(up, "client_metadata") {
			t.Errorf("%d %s, the model got %s", status, got, up)
		}
	})
}

func TestCodexHostedToolsThatNobodyHasAreLeftOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil, nil, "alice")
	hosted := `{"type":"web_search","external_web_access":false},{"type":"image_generation"}`
	each(t, func(t *testing.T, model string, stream bool) {
		marker := fmt.Sprintf("hosted-%s-%t", model, stream)
		status, got, up := w.codex(t, model, marker, `,"tools":[`+hosted+`,{"type":"function","name":"shell","parameters":{"type":"object","properties":{}}}],"tool_choice":"auto"`, stream)
		if status != 200 || strings.Contains(up, "web_search") || strings.Contains(up, "image_generation") || !strings.Contains(up, `"shell"`) {
			t.Errorf("%d %s, the model got %s", status, got, up)
		}
		for _, tool := range []string{"web_search", "image_generation"} {
			status, got, _ = w.codex(t, model, marker+"-forced", `,"tools":[{"type":"function","name":"shell"},`+hosted+`],"tool_choice":{"type":"`+tool+`"}`, stream)
			var e struct {
				Error struct{ Message, Type string }
			}
			if err := json.Unmarshal([]byte(got), &e); err != nil || status != 400 || e.Error.Message == "" || e.Error.Type != "invalid_request_error" {
				t.Errorf("forced %s: %d %s", tool, status, got)
			}
		}
	})
	before := len(w.sim.Requests(func(r sim.Request) bool { return r.Status == 400 }))
	w.codex(t, "gpt-5.4", "hosted-again", `,"tools":[`+hosted+`]`, false)
	if after := len(w.sim.Requests(func(r sim.Request) bool { return r.Status == 400 })); after != before {
		t.Error("the same tool was refused once more")
	}
}

const lite = `{"type":"additional_tools","role":"developer","id":"at_1","tools":[` +
	`{"type":"namespace","name":"mcp__notes","description":"","tools":[{"type":"function","name":"read","strict":false,"parameters":{"type":"object","properties":{"path":{"type":"string"}}}}]},` +
	`{"type":"custom","name":"exec","description":"Runs JavaScript","format":{"type":"grammar","syntax":"lark","definition":"start: /.+/"}},{"type":"image_generation"},{"type":"web_search"}]},`

// Responses Lite: the tools ride along in the input, as namespaces and free-text tools.
func TestCodexToolsThatRideAlongWork(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil, nil, "alice")
	each(t, func(t *testing.T, model string, stream bool) {
		native := model == "gpt-5.4"
		name := map[bool]string{true: "read", false: "mcp__notes__read"}[native]
		marker := fmt.Sprintf("lite-%s-%t", strings.ReplaceAll(model, ".", "-"), stream)
		say := func(directive string) string {
			return lite + `{"role":"user","content":` + quoted(marker+" [[sim:tool="+directive+"]]") + `}`
		}
		status, got, up := w.codexItems(t, model, marker, say(name+` {"path":"a"}`), `,"tool_choice":"auto"`, stream)
		if status != 200 || native != strings.Contains(up, `"Tools in the mcp__notes namespace."`) || strings.Contains(up, "image_generation") || strings.Contains(up, "web_search") {
			t.Fatalf("%d %s, the model got %s", status, got, up)
		}
		call := itemOf(t, got, "function_call", stream)
		if call["namespace"] != "mcp__notes" || call["name"] != "read" || call["arguments"] != `{"path":"a"}` {
			t.Errorf("call %v", call)
		}
		marker += "-custom"
		input := map[bool]string{true: `exec 1+1`, false: `exec {"input":"1+1"}`}[native]
		if status, got, _ = w.codexItems(t, model, marker, say(input), "", stream); status != 200 {
			t.Fatalf("%d %s", status, got)
		}
		if call = itemOf(t, got, "custom_tool_call", stream); call["name"] != "exec" || call["input"] != "1+1" && !native {
			t.Errorf("call %v", call)
		}
	})
}

const collaboration = `{"type":"namespace","name":"collaboration","description":"Other agents","tools":[{"type":"function","name":"spawn","strict":false,` +
	`"parameters":{"type":"object","properties":{"message":{"type":"string","encrypted":true},"encrypted":{"type":"boolean"}}}}]}`

// The namespace is Codex's own and its schemas are marked for OpenAI's service: nobody else takes either.
func TestCodexReservedNamespaceWorksEverywhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil, nil, "alice")
	each(t, func(t *testing.T, model string, stream bool) {
		native := model == "gpt-5.4"
		for _, place := range []string{"tools", "additional_tools"} {
			marker := fmt.Sprintf("agents-%s-%t-%s", strings.ReplaceAll(model, ".", "-"), stream, place)
			name := map[bool]string{true: "spawn", false: "collaboration__spawn"}[native]
			items := `{"role":"user","content":"start"},{"type":"function_call","namespace":"collaboration","name":"spawn","call_id":"c1","arguments":"{}","encrypted_function_args":[]},` +
				`{"type":"function_call_output","call_id":"c1","output":"ok"},{"role":"assistant","content":"Done."},{"role":"user","content":` + quoted(marker+" [[sim:tool="+name+` {"message":"hi"}]]`) + `}`
			rest := `,"tools":[` + collaboration + `]`
			if place == "additional_tools" {
				items, rest = `{"type":"additional_tools","role":"developer","tools":[`+collaboration+`]},`+items, ""
			}
			status, got, up := w.codexItems(t, model, marker, items, rest, stream)
			if status != 200 || strings.Contains(up, `"encrypted":true`) || strings.Contains(up, "encrypted_function_args") || !strings.Contains(up, `"encrypted":{"type":"boolean"}`) {
				t.Fatalf("%s: %d %s, the model got %s", place, status, got, up)
			}
			if native && (strings.Contains(up, `"collaboration"`) || strings.Count(up, `"collaboration_2"`) != 2) {
				t.Errorf("%s: the model got %s", place, up)
			}
			if call := itemOf(t, got, "function_call", stream); call["namespace"] != "collaboration" || call["name"] != "spawn" || call["encrypted_function_args"] == nil {
				t.Errorf("%s: call %v", place, call)
			}
		}
	})
}

const applyPatch = `{"type":"custom","name":"apply_patch","description":"Edits files","format":{"type":"grammar","syntax":"lark","definition":"start: patch"}}`

// A model without free-text tools gets apply_patch as a function, and however it words the patch, Codex gets its call.
func TestCodexPatchesWorkOnModelsWithoutFreeTextTools(t *testing.T) {
	t.Parallel()
	const patch = "*** Begin Patch\n*** Add File: a\n+x\n*** End Patch"
	text, _ := json.Marshal(patch)
	w := newWorld(t, &sim.Scenario{Responses: sim.Responses{RejectCustom: true}}, nil, "alice")
	w.codex(t, "gpt-5.4", "learn", `,"tools":[`+applyPatch+`]`, false) // is refused once
	before := len(w.sim.Requests(func(r sim.Request) bool { return r.Status == 400 }))
	if before != 1 {
		t.Errorf("refused %d times", before)
	}
	each(t, func(t *testing.T, model string, stream bool) {
		for key, arguments := range map[string]string{
			"input": `{"input":` + string(text) + `}`, "patch": `{"patch":` + string(text) + `}`, "diff": `{"diff":` + string(text) + `}`,
			"command": `{"command":["apply_patch",` + string(text) + `]}`,
		} {
			marker := fmt.Sprintf("patch-%s-%t-%s", strings.ReplaceAll(model, ".", "-"), stream, key)
			items := `{"role":"user","content":"start"},{"type":"custom_tool_call","name":"apply_patch","call_id":"c1","input":"old patch"},{"type":"custom_tool_call_output","call_id":"c1","output":"done"},{"role":"assistant","content":"Done."},` +
				`{"role":"user","content":` + quoted(marker+" [[sim:tool=apply_patch "+arguments+"]]") + `}`
			status, got, up := w.codexItems(t, model, marker, items, `,"tools":[`+applyPatch+`]`, stream)
			if status != 200 || strings.Contains(up, `"custom`) || !strings.Contains(up, "start: patch") || !strings.Contains(up, "old patch") {
				t.Fatalf("%s: %d %s, the model got %s", key, status, got, up)
			}
			if call := itemOf(t, got, "custom_tool_call", stream); call["name"] != "apply_patch" || call["input"] != patch || call["call_id"] == "" {
				t.Errorf("%s: %v", key, call)
			}
		}
	})
	if n := len(w.sim.Requests(func(r sim.Request) bool { return r.Status == 400 })); n != before {
		t.Errorf("refused %d times more, although it was learned", n-before)
	}
}

func TestCodexCompactsOnModelsWithoutFreeTextTools(t *testing.T) {
	t.Parallel()
	w := newWorld(t, &sim.Scenario{Responses: sim.Responses{RejectCustom: true}}, nil, "alice")
	for _, stream := range []bool{false, true} { // the first time it is refused, the second time known
		items := history + `,{"type":"custom_tool_call","name":"apply_patch","call_id":"p1","input":"x"},{"type":"custom_tool_call_output","call_id":"p1","output":"done"},{"type":"compaction_trigger"}`
		body := fmt.Sprintf(`{"model":"gpt-5.4","stream":%t,"input":[%s],"tools":[%s]}`, stream, items, applyPatch)
		status, got := w.send(t, http.DefaultClient, "/v1/responses", body)
		if status != 200 || itemTypes(outputOf(t, got, stream)) != "compaction" {
			t.Errorf("stream=%t: %d %s", stream, status, got)
		}
	}
}

func TestCodexAgentMessagesAreReadOrRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil, nil, "alice")
	each(t, func(t *testing.T, model string, stream bool) {
		native := model == "gpt-5.4"
		message := func(part string) string {
			return `{"type":"agent_message","author":"/root/helper","recipient":"/root","content":[` + part + `]},{"role":"user","content":`
		}
		marker := fmt.Sprintf("agent-%s-%t", model, stream)
		status, got, up := w.codexItems(t, model, marker, message(`{"type":"input_text","text":"I am done"}`)+quoted(marker)+"}", "", stream)
		if status != 200 || !strings.Contains(up, "I am done") || !native && !strings.Contains(up, `<agent-message author=\"/root/helper\" recipient=\"/root\">`) {
			t.Errorf("in words: %d %s, the model got %s", status, got, up)
		}
		marker += "-sealed"
		status, got, up = w.codexItems(t, model, marker, message(`{"type":"encrypted_content","encrypted_content":"gAAAA"}`)+quoted(marker)+"}", "", stream)
		if native && (status != 200 || !strings.Contains(up, "gAAAA")) || !native && (status != 400 || !strings.Contains(got, "encrypted_agent_message")) {
			t.Errorf("encrypted: %d %s, the model got %s", status, got, up)
		}
	})
}

// A token that an account's upstream gives out at the beginning of a turn goes back to that account's, and to nobody
// else's.
func TestCodexTurnStateReturnsToItsAccount(t *testing.T) {
	t.Parallel()
	w := newWorld(t, &sim.Scenario{Responses: sim.Responses{TurnState: true}}, nil, "alice", "ivan")
	ask := func(say, token string, client *http.Client) (*http.Response, string) {
		t.Helper()
		base := "https://api.openai.com"
		if client == http.DefaultClient {
			base = "http://" + w.app.APIAddr()
		}
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, base+"/v1/responses", strings.NewReader(fmt.Sprintf(`{"model":"gpt-5.4","stream":true,"input":%q}`, say)))
		if token != "" {
			req.Header.Set("X-Codex-Turn-State", token)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != 200 || !bytes.Contains(b, []byte("response.completed")) {
			t.Fatalf("%s: %d %s", say, resp.StatusCode, b)
		}
		return resp, resp.Header.Get("X-Codex-Turn-State")
	}
	for door, client := range map[string]*http.Client{"api": http.DefaultClient, "proxy": w.client(true)} {
		first, token := ask("first "+door, "", client)
		if token == "" || strings.HasPrefix(token, "turn-") {
			t.Fatalf("token %q", token)
		}
		for i := range 4 { // other conversations: only the token tells where they belong
			say := fmt.Sprintf("%s then %d", door, i)
			resp, again := ask(say, token, client)
			if resp.Header.Get("X-Detour-Account") != first.Header.Get("X-Detour-Account") || again == "" {
				t.Errorf("%s went to %s, the turn began with %s", say, resp.Header.Get("X-Detour-Account"), first.Header.Get("X-Detour-Account"))
			}
			if up := w.seen(t, say).Header.Get("X-Codex-Turn-State"); !strings.HasPrefix(up, "turn-") {
				t.Errorf("the upstream got %q", up)
			}
		}
		ask(door+" with a stranger's", "turn-of-somebody-else", client)
		if up := w.seen(t, door+" with a stranger's").Header.Get("X-Codex-Turn-State"); up != "" {
			t.Errorf("the upstream got a stranger's token %q", up)
		}
	}
	w.sim.Update(func(s *sim.Scenario) { s.Responses.TurnState = false })
	if resp, token := ask("no token", "", http.DefaultClient); token != "" {
		t.Errorf("a token of nobody's: %q in %v", token, resp.Header)
	}
}

func TestCodexProbesAreAnsweredWithoutAsking(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil, nil, "alice")
	asked := func() int {
		return len(w.sim.Requests(func(r sim.Request) bool { return r.Op != sim.OpModels && r.Plane == sim.PlaneCopilot }))
	}
	each(t, func(t *testing.T, model string, stream bool) {
		for _, input := range []string{`,"input":[]`, `,"input":""`, ``} {
			status, got := w.send(t, http.DefaultClient, "/v1/responses", fmt.Sprintf(`{"model":%q,"stream":%t,"max_output_tokens":1%s}`, model, stream, input))
			if status != 200 || !strings.Contains(got, `"status":"completed"`) || !strings.Contains(got, `"total_tokens":0`) || len(outputOf(t, got, stream)) != 0 {
				t.Errorf("%s: %d %s", input, status, got)
			}
		}
		if status, got := w.send(t, http.DefaultClient, "/v1/responses", `{"model":"nobody-has-it","max_output_tokens":1,"input":[]}`); status != 404 {
			t.Errorf("a model that is not there: %d %s", status, got)
		}
	})
	if status, got := w.send(t, http.DefaultClient, "/v1/responses", `{"model":"gpt-5.4","max_output_tokens":1,"input":"really"}`); status != 200 || !strings.Contains(got, "simulated") {
		t.Errorf("a question: %d %s", status, got)
	}
	if n := asked(); n != 1 {
		t.Errorf("upstreams were asked %d times", n)
	}
	none := newWorld(t, nil, nil)
	if status, got := none.send(t, http.DefaultClient, "/v1/responses", `{"model":"gpt-5.4","max_output_tokens":1,"input":[]}`); status != 503 {
		t.Errorf("without accounts: %d %s", status, got)
	}
}

func TestCodexWhiteSpaceWithoutEndIsAnError(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil, nil, "alice")
	each(t, func(t *testing.T, model string, stream bool) {
		if !stream && model == "gpt-5.4" {
			return // asked for whole: the tokens are spent by then
		}
		say := fmt.Sprintf("blank-%s-%t [[sim:fault=whitespace=60]]", model, stream)
		status, got := w.send(t, http.DefaultClient, "/v1/responses", fmt.Sprintf(`{"model":%q,"stream":%t,"input":%q,%s}`, model, stream, say, shellTool))
		if status == 200 && (!stream || !strings.Contains(got, "event: response.failed")) || strings.Contains(got, "response.completed") || !strings.Contains(got, "degenerate_output") {
			t.Errorf("%d %s", status, got)
		}
	})
}

// Items have ids that clients take, the same in every event, and no id of ours goes back upstream.
func TestCodexItemIDs(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil, nil, "alice")
	each(t, func(t *testing.T, model string, stream bool) {
		marker := fmt.Sprintf("ids-%s-%t", strings.ReplaceAll(model, ".", "-"), stream)
		status, got, _ := w.codex(t, model, marker+` [[sim:tool=shell {"command":["ls"]}]]`, `,`+shellTool+`,"reasoning":{"effort":"low","summary":"auto"},"include":["reasoning.encrypted_content"]`, stream)
		if status != 200 {
			t.Fatalf("%d %s", status, got)
		}
		items := outputOf(t, got, stream)
		for _, raw := range items {
			var m struct{ ID, Type string }
			_ = json.Unmarshal(raw, &m)
			if m.ID == "" || stream && len(m.ID) > 64 {
				t.Errorf("item %s", raw)
			}
		}
		marker += "-next"
		status, got, up := w.codexItems(t, model, marker, `{"role":"user","content":"x"},`+join(items)+`,{"type":"function_call_output","call_id":`+quoted(callID(items))+`,"output":"ok"},{"role":"user","content":`+quoted(marker)+`}`, ","+shellTool, stream)
		if status != 200 || strings.Contains(up, "dtr1") {
			t.Errorf("%d %s, the model got %s", status, got, up)
		}
	})
}

func callID(items []json.RawMessage) string {
	for _, raw := range items {
		var m struct {
			CallID string `json:"call_id"`
		}
		if _ = json.Unmarshal(raw, &m); m.CallID != "" {
			return m.CallID
		}
	}
	return ""
}

// The service that the namespace is meant for gets it as it is.
func TestCodexReservedNamespaceIsOpenAIsOwn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil, nil, "openai:openai")
	for _, stream := range []bool{false, true} {
		marker := fmt.Sprintf("own-%t", stream)
		status, got, up := w.codex(t, "gpt-5.4", marker+` [[sim:tool=spawn {"message":"hi"}]]`, `,"tools":[`+collaboration+`]`, stream)
		if status != 200 || !strings.Contains(up, collaboration) {
			t.Fatalf("%d %s, the model got %s", status, got, up)
		}
		if call := itemOf(t, got, "function_call", stream); call["namespace"] != "collaboration" || call["encrypted_function_args"] != nil {
			t.Errorf("call %v", call)
		}
	}
}
