package sim_test

import (
	"fmt"
	"strings"
	"testing"

	"detour/internal/sim"
)

const compactTurn = `{"model":%q,"stream":%v,"store":false,"input":[{"type":"message","role":"user","content":"the port is 8443"},` +
	`{"type":"message","role":"assistant","content":[{"type":"output_text","text":"noted"}]},{"type":"compaction_trigger"}]}`

// compactionsOf returns the compaction items of an answer, streamed or plain.
func compactionsOf(t *testing.T, g got, stream bool) []any {
	t.Helper()
	if g.status != 200 {
		t.Fatalf("%d %s", g.status, g.body)
	}
	var items []any
	if !stream {
		all, _ := g.json(t)["output"].([]any)
		return all
	}
	for _, e := range events(t, g.body) {
		v := got{body: e.data}.json(t)
		switch e.name {
		case "response.output_item.added":
			if at(v, "item", "type") == "compaction" && at(v, "item", "encrypted_content") != nil {
				t.Error("the content is there before it can be")
			}
		case "response.output_item.done":
			items = append(items, v["item"])
		case "response.completed":
			final, _ := at(v, "response", "output").([]any)
			for i := range final {
				if at(final[i], "encrypted_content") != at(items[i], "encrypted_content") || at(final[i], "id") == at(items[i], "id") {
					t.Errorf("item %d: %v, at the end %v", i, items[i], final[i])
				}
			}
		}
	}
	return items
}

func TestACompactionTriggerIsAnsweredWithCompactions(t *testing.T) {
	t.Parallel()
	r := start(t, sim.Options{})
	for model, n := range map[string]int{"gpt-5.4": 1, "gpt-5-mini": 2} {
		for _, stream := range []bool{false, true} {
			items := compactionsOf(t, r.infer("/responses", fmt.Sprintf(compactTurn, model, stream)), stream)
			if len(items) != n {
				t.Fatalf("%s stream=%v: %d items", model, stream, len(items))
			}
			last := items[n-1]
			id, _ := at(last, "id").(string)
			content, _ := at(last, "encrypted_content").(string)
			if at(last, "type") != "compaction" || id == "" || content == "" {
				t.Fatalf("%s stream=%v: %v", model, stream, last)
			}
			next := func(id, content string) got {
				return r.infer("/responses", `{"model":"gpt-5.4","input":[{"type":"compaction","id":"`+id+`","encrypted_content":"`+content+`"},{"type":"message","role":"user","content":"and now?"}]}`)
			}
			for name, id := range map[string]string{"its id": id, "no id": ""} {
				if g := next(id, content); g.status != 200 || !strings.Contains(g.body, "to: and now? (compacted: the port is 8443)") {
					t.Errorf("%s with %s: %d %s", model, name, g.status, g.body)
				}
			}
			for name, g := range map[string]got{"another id": next("cmp_1", content), "other content": next(id, content+"x"), "none of ours": next(id, "dtr1.s.x")} {
				if g.status != 400 || !strings.Contains(g.body, "could not be verified") {
					t.Errorf("%s with %s: %d %s", model, name, g.status, g.body)
				}
			}
		}
	}
	if g := r.send("POST", r.CopilotURL()+"/responses/compact", `{"model":"gpt-5.4","input":[]}`, "Authorization", "Bearer "+r.token("alice")); g.status != 404 {
		t.Errorf("/responses/compact: %d %s", g.status, g.body)
	}
}

func TestSwitchesOfCompaction(t *testing.T) {
	t.Parallel()
	r := start(t, sim.Options{Scenario: &sim.Scenario{Responses: sim.Responses{RejectTrigger: true}}})
	if g := r.infer("/responses", fmt.Sprintf(compactTurn, "gpt-5.4", false)); g.status != 400 || !strings.Contains(g.body, "Invalid value: 'compaction_trigger'") {
		t.Errorf("refused: %d %s", g.status, g.body)
	}
	r.Update(func(sc *sim.Scenario) { sc.Responses = sim.Responses{NoCompaction: true} })
	if g := r.infer("/responses", fmt.Sprintf(compactTurn, "gpt-5.4", false)); g.status != 200 || strings.Contains(g.body, `"compaction"`) {
		t.Errorf("passed over: %d %s", g.status, g.body)
	}
	r.Update(func(sc *sim.Scenario) { sc.Responses = sim.Responses{} })
	for threshold, want := range map[int]bool{1: true, 1_000_000: false} {
		g := r.infer("/responses", fmt.Sprintf(`{"model":"gpt-5.4","input":"the port is 8443","context_management":[{"type":"compaction","compact_threshold":%d}]}`, threshold))
		if g.status != 200 || strings.Contains(g.body, `"compaction"`) != want || !strings.Contains(g.body, "output_text") {
			t.Errorf("threshold %d: %d %s", threshold, g.status, g.body)
		}
	}
}

func TestResponsesRefusesToolsWhereverTheyStand(t *testing.T) {
	t.Parallel()
	r := start(t, sim.Options{Scenario: &sim.Scenario{Responses: sim.Responses{RejectCustom: true, RejectPassthrough: true}}})
	for name, tc := range map[string]struct{ tools, want string }{
		"image_generation":        {`{"type":"image_generation"}`, "image generation tool"},
		"web_search":              {`{"type":"web_search"}`, "web search tool"},
		"custom":                  {`{"type":"custom","name":"apply_patch"}`, "Custom tools"},
		"namespace without words": {`{"type":"namespace","name":"n","description":"","tools":[]}`, "empty string"},
		"the reserved namespace":  {`{"type":"namespace","name":"collaboration","description":"x","tools":[]}`, "reserved"},
	} {
		for place, body := range map[string]string{
			"tools":            `{"model":"gpt-5.4","input":"x","tools":[` + tc.tools + `]}`,
			"additional_tools": `{"model":"gpt-5.4","input":[{"type":"additional_tools","role":"developer","tools":[` + tc.tools + `]},{"role":"user","content":"x"}]}`,
		} {
			if g := r.infer("/responses", body); g.status != 400 || !strings.Contains(g.body, tc.want) {
				t.Errorf("%s in %s: %d %s", name, place, g.status, g.body)
			}
		}
	}
	if g := r.infer("/responses", `{"model":"gpt-5.4","input":[{"role":"user","content":"x","internal_chat_message_metadata_passthrough":{}}]}`); g.status != 400 || !strings.Contains(g.body, "Unknown parameter: 'input[0].internal_") {
		t.Errorf("passthrough: %d %s", g.status, g.body)
	}
}
