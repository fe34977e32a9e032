package app_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"detour/internal/app"
	"detour/internal/sim"
)

// The ways in which a client asks for a compaction.
const (
	byEndpoint = "endpoint"
	byTrigger  = "trigger"
	byStream   = "streamed trigger"
)

// summaryOf is what the simulated models write when they are asked for a summary: the facts that users stated.
func summarising(r sim.BrainRequest) sim.BrainAnswer {
	if !strings.HasPrefix(r.User, "Stop the task here.") {
		return sim.BrainAnswer{}
	}
	found := "nothing"
	for _, fact := range []string{"the port is 8443", "the branch is main"} {
		if strings.Contains(string(r.Body), fact) {
			found += ", " + fact
		}
	}
	return sim.BrainAnswer{Text: "## State\nSUMMARY of " + r.Model + ": " + found}
}

// send posts a body to a path of the OpenAI API through one of the doors.
func (w *world) send(t *testing.T, client *http.Client, path, body string) (int, string) {
	t.Helper()
	base := "https://api.openai.com"
	if client == http.DefaultClient {
		base = "http://" + w.app.APIAddr()
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

const history = `{"type":"message","role":"developer","content":[{"type":"input_text","text":"Be brief."}]},` +
	`{"type":"message","role":"user","content":[{"type":"input_text","text":"the port is 8443"}]},` +
	`{"type":"function_call","call_id":"call_1","name":"shell","arguments":"{\"command\":[\"ls\"]}"},` +
	`{"type":"function_call_output","call_id":"call_1","output":"main.go"},` +
	`{"type":"message","role":"assistant","content":[{"type":"output_text","text":"Noted.","annotations":[]}]}`

const shellTool = `"tools":[{"type":"function","name":"shell","strict":false,"parameters":{"type":"object","properties":{"command":{"type":"array","items":{"type":"string"}}}}}]`

// compact asks for a compaction of the items and returns the output: for the endpoint the messages that stay too.
func (w *world) compact(t *testing.T, client *http.Client, model, way, items string) []json.RawMessage {
	t.Helper()
	path, stream := "/v1/responses", way == byStream
	if way == byEndpoint {
		path += "/compact"
	} else {
		items += `,{"type":"compaction_trigger"}`
	}
	body := fmt.Sprintf(`{"model":%q,"stream":%t,"store":false,"instructions":"Be precise.","input":[%s],%s}`, model, stream, items, shellTool)
	if way == byEndpoint {
		body = strings.Replace(body, `"stream":false,`, "", 1)
	}
	status, got := w.send(t, client, path, body)
	if status != 200 {
		t.Fatalf("compact with %s: %d %s", model, status, got)
	}
	if stream {
		return streamedItems(t, got)
	}
	var answer struct {
		ID, Object, Status string
		Created            int64 `json:"created_at"`
		Output             []json.RawMessage
		Usage              *struct {
			Total int `json:"total_tokens"`
		}
	}
	if err := json.Unmarshal([]byte(got), &answer); err != nil {
		t.Fatalf("%v in %s", err, got)
	}
	want := map[string]string{byEndpoint: "response.compaction", byTrigger: "response"}[way]
	counts := model != "qwen3:8b" // a server of one's own that tells no usage
	if answer.Object != want || answer.ID == "" || answer.Created == 0 || answer.Usage == nil || (answer.Usage.Total > 0) != counts {
		t.Errorf("compact with %s: %s", model, got)
	}
	return answer.Output
}

// streamedItems returns the items that a stream finished, which must be those of its end.
func streamedItems(t *testing.T, stream string) []json.RawMessage {
	t.Helper()
	var done, last []json.RawMessage
	for line := range strings.Lines(stream) {
		data, ok := strings.CutPrefix(line, "data: ")
		var e struct {
			Type     string
			Item     json.RawMessage
			Response struct{ Output []json.RawMessage }
		}
		if !ok || json.Unmarshal([]byte(data), &e) != nil {
			continue
		}
		switch e.Type {
		case "response.output_item.done":
			done = append(done, e.Item)
		case "response.completed":
			last = e.Response.Output
		}
	}
	if fmt.Sprintf("%s", done) != fmt.Sprintf("%s", last) {
		t.Errorf("finished %s, at the end %s", done, last)
	}
	return last
}

// itemTypes lists the types of items, messages by their role.
func itemTypes(items []json.RawMessage) string {
	var types []string
	for _, i := range items {
		var m struct{ Type, Role, ID string }
		_ = json.Unmarshal(i, &m)
		if m.Type == "message" {
			m.Type = m.Role
		}
		if m.ID == "" {
			m.Type += " without id"
		}
		types = append(types, m.Type)
	}
	return strings.Join(types, " ")
}

func join(items []json.RawMessage) string {
	var all []string
	for _, i := range items {
		all = append(all, string(i))
	}
	return strings.Join(all, ",")
}

// A conversation is compacted on a model of every dialect, in each of the ways, through both doors; then it goes on, on
// that model and on those of other dialects.
func TestConversationsAreCompactedOnEveryModel(t *testing.T) {
	t.Parallel()
	w := newWorld(t, &sim.Scenario{Brain: summarising}, nil, "alice")
	native := map[string]bool{"gpt-5.4": true, "gpt-5-mini": true}
	models := []string{"gpt-5.4", "gpt-5-mini", "claude-sonnet-4.6", "claude-haiku-4.5", "gpt-4o", "gemini-3.5-flash"}
	clients := map[string]*http.Client{"proxy h1": w.client(false), "proxy h2": w.client(true), "api": http.DefaultClient}
	for door, client := range clients {
		for _, model := range models {
			for _, way := range []string{byEndpoint, byTrigger, byStream} {
				t.Run(door+"/"+model+"/"+way, func(t *testing.T) {
					t.Parallel()
					items := w.compact(t, client, model, way, history)
					want := "compaction"
					if way == byEndpoint {
						want = "developer user assistant compaction"
					}
					if got := itemTypes(items); got != want {
						t.Fatalf("items %s, want %s: %s", got, want, items)
					}
					if strings.Contains(join(items[:len(items)-1]), "output_text") {
						t.Errorf("what stays is not input: %s", items)
					}
					for _, next := range models {
						marker := strings.ReplaceAll(fmt.Sprintf("and now %s %s %s %s?", door, model, way, next), " ", "-")
						w.goOn(t, client, next, join(withoutIDs(items)), marker, native[model], native[next])
						if native[model] == native[next] {
							w.goOn(t, client, next, join(items), marker+"-with-ids", native[model], native[next])
						}
					}
				})
			}
		}
	}
}

// goOn asks the next thing after a compaction.
func (w *world) goOn(t *testing.T, client *http.Client, model, items, marker string, compactedNatively, native bool) {
	t.Helper()
	ask := fmt.Sprintf(`,{"type":"message","role":"user","content":[{"type":"input_text","text":%q}]}`, marker)
	status, got := w.send(t, client, "/v1/responses", fmt.Sprintf(`{"model":%q,"store":false,"input":[%s%s],%s}`, model, items, ask, shellTool))
	if compactedNatively && !native {
		if status != 400 || !strings.Contains(got, `"foreign_compaction"`) || !strings.Contains(got, "cannot read") {
			t.Errorf("on %s: %d %s", model, status, got)
		}
		return
	}
	if status != 200 || !strings.Contains(got, marker) {
		t.Fatalf("on %s: %d %s", model, status, got)
	}
	seen := w.sim.Requests(func(r sim.Request) bool { return strings.Contains(string(r.Body), marker) })
	if len(seen) != 1 {
		t.Fatalf("on %s: the model was asked %d times", model, len(seen))
	}
	body := string(seen[0].Body)
	if strings.Contains(body, "dtr1") {
		t.Errorf("on %s: detour's own words went up: %s", model, body)
	}
	switch {
	case compactedNatively && !strings.Contains(got, "(compacted: the port is 8443"):
		t.Errorf("on %s: the compaction was not understood: %s", model, got)
	case !compactedNatively && !(strings.Contains(body, `<summary>`) && strings.Contains(body, "SUMMARY of ") && strings.Contains(body, "nothing, the port is 8443")):
		t.Errorf("on %s: the summary did not arrive: %s", model, body)
	}
}

// A second compaction builds on the first, on whichever model.
func TestACompactionOfACompaction(t *testing.T) {
	t.Parallel()
	w := newWorld(t, &sim.Scenario{Brain: summarising}, nil, "alice")
	more := `,{"type":"message","role":"user","content":[{"type":"input_text","text":"the branch is main"}]}`
	for _, tc := range []struct{ first, second, third string }{
		{"claude-sonnet-4.6", "gpt-4o", "gpt-5.4"},
		{"gpt-4o", "gpt-5.4", "gpt-5-mini"},
		{"gpt-5.4", "gpt-5.4", "gpt-5.4"},
		{"gemini-3.5-flash", "claude-haiku-4.5", "claude-sonnet-4.6"},
	} {
		for _, way := range []string{byEndpoint, byStream} {
			t.Run(fmt.Sprint(tc, way), func(t *testing.T) {
				t.Parallel()
				first := w.compact(t, http.DefaultClient, tc.first, way, history)
				second := w.compact(t, http.DefaultClient, tc.second, way, join(withoutIDs(first[len(first)-1:]))+more)
				marker := strings.ReplaceAll(fmt.Sprint("then ", tc, way), " ", "-")
				status, got := w.send(t, http.DefaultClient, "/v1/responses", fmt.Sprintf(`{"model":%q,"input":[%s,{"role":"user","content":%q}]}`, tc.third, join(withoutIDs(second[len(second)-1:])), marker))
				seen := w.sim.Requests(func(r sim.Request) bool { return strings.Contains(string(r.Body), marker) })
				if status != 200 || len(seen) != 1 {
					t.Fatalf("%d %s", status, got)
				}
				for _, fact := range []string{"the port is 8443", "the branch is main"} {
					if !strings.Contains(got+string(seen[0].Body), fact) {
						t.Errorf("%q is forgotten: the model was asked %s and said %s", fact, seen[0].Body, got)
					}
				}
			})
		}
	}
}

// What does not fit into the window of the model that summarises is left out, the oldest outputs of tools first.
func TestALongConversationIsCompactedWithinTheModelsWindow(t *testing.T) {
	t.Parallel()
	w := newWorld(t, &sim.Scenario{Brain: summarising}, nil, "alice")
	var items []string
	for i := range 60 {
		items = append(items, fmt.Sprintf(`{"type":"function_call","call_id":"c%d","name":"shell","arguments":"{}"},{"type":"function_call_output","call_id":"c%d","output":"start-%d. %s"}`,
			i, i, i, strings.Repeat(fmt.Sprintf("Line %d of what the tool printed. ", i), 300)))
	}
	long := history + "," + strings.Join(items, ",")
	for model, window := range map[string]int{"gpt-4o": 64000, "claude-haiku-4.5": 128000, "gemini-3.5-flash": 128000} {
		t.Run(model, func(t *testing.T) {
			t.Parallel()
			w.compact(t, http.DefaultClient, model, byStream, long)
			seen := w.sim.Requests(func(r sim.Request) bool {
				return strings.Contains(string(r.Body), "Stop the task here.") && strings.Contains(string(r.Body), `"`+model+`"`)
			})
			if len(seen) != 1 {
				t.Fatalf("asked %d times", len(seen))
			}
			body := string(seen[0].Body)
			if len(body)/4 > window || len(body)/4 < window/2 {
				t.Errorf("about %d tokens for a window of %d", len(body)/4, window)
			}
			for _, want := range []string{"the port is 8443", "start-0.", "start-59.", strings.Repeat("Line 59 of what the tool printed. ", 300), "bytes left out"} {
				if !strings.Contains(body, want) {
					t.Errorf("no %.40q", want)
				}
			}
		})
	}
	// Where the count was wrong the upstream says so, and is asked for less.
	w.sim.Update(func(s *sim.Scenario) {
		s.Faults = []sim.Fault{{Model: "claude-sonnet-4.6", Name: "model_max_prompt_tokens_exceeded"}}
	})
	w.compact(t, http.DefaultClient, "claude-sonnet-4.6", byEndpoint, history+","+strings.Join(items[:20], ","))
	seen := w.sim.Requests(func(r sim.Request) bool { return strings.Contains(string(r.Body), `"claude-sonnet-4.6"`) })
	if len(seen) != 2 || seen[0].Status != 400 || seen[1].Status != 200 || len(seen[1].Body) > len(seen[0].Body)*4/5 {
		t.Errorf("asked %d times", len(seen))
	}
}

func TestPortableCompactionIsASetting(t *testing.T) {
	t.Parallel()
	w := newWorld(t, &sim.Scenario{Brain: summarising}, func(o *app.Options) { o.Config.Models.PortableCompaction = true }, "alice")
	items := w.compact(t, http.DefaultClient, "gpt-5.4", byStream, history)
	w.goOn(t, http.DefaultClient, "claude-sonnet-4.6", join(withoutIDs(items)), "and-now", false, false)
}

// The services that are reached with a key compact as Copilot does: those that speak Responses natively, the others in
// words that every model reads.
func TestConversationsAreCompactedOnEveryService(t *testing.T) {
	t.Parallel()
	w := newWorld(t, &sim.Scenario{Brain: summarising}, nil, keyedAccounts()...)
	for _, model := range []string{"openai/gpt-5.4", "openai/gpt-4o", "claude-opus-4-6", "glm-4.7", "deepseek-reasoner", "anthropic/claude-sonnet-4.5", "gemini-2.5-flash", "qwen3:8b"} {
		for _, way := range []string{byEndpoint, byTrigger, byStream} {
			t.Run(model+"/"+way, func(t *testing.T) {
				t.Parallel()
				native := strings.HasPrefix(model, "openai/")
				items := w.compact(t, http.DefaultClient, model, way, history)
				for _, next := range []string{model, "claude-haiku-4.5", "gpt-4.1"} {
					marker := strings.NewReplacer(" ", "-", "/", "-", ":", "-").Replace(fmt.Sprintf("and now %s %s %s?", model, way, next))
					w.goOn(t, http.DefaultClient, next, join(withoutIDs(items)), marker, native, native && next == model)
				}
			})
		}
	}
}
