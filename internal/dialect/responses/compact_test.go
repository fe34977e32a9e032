package responses_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	sdk "github.com/openai/openai-go/v3/responses"
	"golang.org/x/tools/txtar"

	"detour/internal/dialect"
	"detour/internal/dialect/compaction"
	"detour/internal/dialect/responses"
	"detour/internal/llm"
)

func compactionPart(value string) llm.Part {
	return llm.Part{Kind: llm.PartCompaction, Opaque: llm.Opaque{Kind: llm.OpaqueCarrier, Value: value}}
}

// TestCompactionsAreWrittenAsRecorded takes requests to compact from archives: what goes upstream, and how a compaction
// is answered: at the endpoint, in a plain answer and in a stream.
func TestCompactionsAreWrittenAsRecorded(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"codex": `{"model":"gpt-5.4","instructions":"Be precise.","stream":true,"parallel_tool_calls":true,"input":[` +
			`{"type":"message","id":"msg_1","role":"developer","content":[{"type":"input_text","text":"<permissions>"}]},` +
			`{"type":"message","id":"msg_2","role":"user","content":[{"type":"input_text","text":"do it"},{"type":"input_image","image_url":"data:image/png;base64,AAAA"}]},` +
			`{"type":"reasoning","summary":[],"encrypted_content":"gAAAA"},` +
			`{"type":"function_call","call_id":"c1","name":"shell","arguments":"{}"},{"type":"function_call_output","call_id":"c1","output":"ok"},` +
			`{"type":"message","role":"assistant","status":"completed","phase":"commentary","content":[{"type":"output_text","text":"do\nne","annotations":[],"logprobs":[]},{"type":"refusal","refusal":"no"}]},` +
			`{"type":"compaction","id":"cmp_1","encrypted_content":"gAAAAold"}` + "\n ]}",
		"bare": `{ "model": "m", "input": "just this", "stream": false}`,
		"plain": `{"model":"m","input":[{"role":"system","content":"s"},{"role":"user","content":""},{"role":"assistant","content":"a"},` +
			`{"role":"critic","content":"x"},{"type":"item_reference","id":"x"}]}`,
		"nothing": `{"model":"m"}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			up := responses.WithTrigger([]byte(body))
			if again := responses.WithTrigger(up); !bytes.Equal(again, up) {
				t.Errorf("asked twice: %s", again)
			}
			p, err := responses.Format{}.Peek(up)
			if err != nil || !p.Compact || p.Stream || p.Initiator != llm.InitiatorAgent {
				t.Errorf("peek %+v, %v", p, err)
			}
			a := &llm.Answer{ID: "resp_u", Parts: []llm.Part{compactionPart("first"), {Kind: llm.PartText, Text: "aside"}, compactionPart("dtr1.s.last")}, Usage: llm.Usage{Input: 90, CacheRead: 9, Output: 5}, Stop: llm.StopEnd}
			o := options()
			o.Request = &llm.Request{Compact: true, Source: "responses", Raw: []byte(body)}
			at := responses.Compaction{}.EncodeAnswer(nil, a, o)
			plain := responses.Codec{}.EncodeAnswer(nil, a, o)
			stream := encode(a.Replay(nil), o)
			golden(t, "testdata/compaction/"+name+".txtar", txtar.File{Name: "in", Data: []byte(body + "\n")}, txtar.File{Name: "up", Data: append(bytes.Clone(up), '\n')},
				txtar.File{Name: "endpoint", Data: lines(at)}, txtar.File{Name: "plain", Data: lines(plain)}, txtar.File{Name: "stream", Data: stream})
			var c sdk.CompactedResponse
			if err := json.Unmarshal(at, &c); err != nil || c.ID == "" || c.Object != "response.compaction" || c.Usage.TotalTokens != 104 {
				t.Errorf("the SDK reads %+v, %v", c, err)
			}
			if last := c.Output[len(c.Output)-1]; last.Type != "compaction" || last.EncryptedContent != "dtr1.s.last" {
				t.Errorf("the SDK reads %+v", last)
			}
			ids := map[string]bool{}
			for i, item := range c.Output {
				if item.ID == "" || ids[item.ID] || (item.Type == "compaction") != (i == len(c.Output)-1) {
					t.Errorf("item %d: %+v", i, item)
				}
				ids[item.ID] = true
			}
			got := observe(t, stream)
			if n := strings.Count(string(stream), `"response.output_item.done"`); got.status != "completed" || n != 2 {
				t.Errorf("%s with %d items in\n%s", got.status, n, stream)
			}
			for _, b := range [][]byte{plain, stream} {
				if bytes.Contains(b, []byte("first")) {
					t.Errorf("two compactions in %s", b)
				}
			}
		})
	}
}

func TestWhatStaysBesideACompactionIsBounded(t *testing.T) {
	t.Parallel()
	var items []string
	for i := range 100 {
		items = append(items, fmt.Sprintf(`{"type":"message","role":"user","content":"%d %s"}`, i, strings.Repeat("x", 10_000)))
	}
	o := options()
	o.Request = &llm.Request{Raw: []byte(`{"input":[` + strings.Join(items, ",") + `]}`)}
	a := &llm.Answer{Parts: []llm.Part{compactionPart("c")}}
	out := responses.Compaction{}.EncodeAnswer(nil, a, o)
	if len(out) > 4*64<<10+10_000 || !bytes.Contains(out, []byte(`"99 xxx`)) || !bytes.Contains(out, []byte(`"75 xxx`)) || bytes.Contains(out, []byte(`"70 xxx`)) {
		t.Errorf("%d bytes", len(out))
	}
	o.Request = &llm.Request{Raw: []byte(`{"input":[{"role":"user","content":"` + strings.Repeat("x", 300_000) + `"}]}`)}
	if out = (responses.Compaction{}).EncodeAnswer(nil, a, o); len(out) > 10_000 || !json.Valid(out) {
		t.Errorf("a message that is too large alone: %d bytes", len(out))
	}
}

func TestCompactionsComeBackAsWords(t *testing.T) {
	t.Parallel()
	open := func(s string) (string, bool, bool) {
		name, ours := strings.CutPrefix(s, "ours.")
		return "<" + name + `> "quoted"`, ours, name != "forged"
	}
	for name, tc := range map[string]struct{ in, want string }{
		"none":  {`{"input":[{"role":"user","content":"x"}]}`, ``},
		"words": {`{"input":"a compaction"}`, ``},
		"ours": {`{"model":"m", "input":[ {"role":"user","content":"x"} ,{"type":"compaction","id":"cmp_1","encrypted_content":"ours.a"},{"role":"user","content":"y"}],"x":1.0}`,
			`{"model":"m", "input":[ {"role":"user","content":"x"} ,{"type":"message","role":"user","content":[{"type":"input_text","text":"<a> \"quoted\""}]},{"role":"user","content":"y"}],"x":1.0}`},
		"older names": {`{"input":[{"type":"compaction_summary","encrypted_content":"ours.a"},{"type":"context_compaction","encrypted_content":"ours.b"}]}`,
			`{"input":[{"type":"message","role":"user","content":[{"type":"input_text","text":"<a> \"quoted\""}]},{"type":"message","role":"user","content":[{"type":"input_text","text":"<b> \"quoted\""}]}]}`},
		"a model's own": {`{"input":[{"type":"compaction","encrypted_content":"gAAAA"}]}`, ``},
		"what stayed": {`{"input":[{"type":"message","role":"assistant","content":[{"type":"input_text","text":"a"}]},{"role":"user","content":[{"type":"input_text","text":"u"}]},{"type":"compaction","encrypted_content":"gAAAA"}]}`,
			`{"input":[{"type":"message","role":"assistant","content":[{"type":"output_text","text":"a"}]},{"role":"user","content":[{"type":"input_text","text":"u"}]},{"type":"compaction","encrypted_content":"gAAAA"}]}`},
		"a trigger alone": {`{"input":[{"role":"assistant","content":[{"type":"input_text","text":"a"}]},{"type":"compaction_trigger"}]}`, ``},
	} {
		got, err := responses.Restore([]byte(tc.in), open)
		if tc.want == "" {
			tc.want = tc.in
		}
		if err != nil || string(got) != tc.want {
			t.Errorf("%s: %s, %v\nwant %s", name, got, err, tc.want)
		}
	}
	_, err := responses.Restore([]byte(`{"input":[{"role":"user","content":"x"},{"type":"compaction","encrypted_content":"ours.forged"}]}`), open)
	if f, ok := errors.AsType[*dialect.Failure](err); !ok || f.Status != 400 || f.Code != "foreign_compaction" || f.Param != "input[1]" {
		t.Errorf("forged: %+v", err)
	}
}

// Whatever a stream of compactions looks like and wherever it is cut, who asked for one sees one, or a failure.
func TestOneCompactionOrAFailure(t *testing.T) {
	t.Parallel()
	o := options()
	o.Request = &llm.Request{Compact: true}
	for _, name := range []string{"37_compaction", "38_two_compactions"} {
		in := streams(t)[name]
		want := map[string]string{"37_compaction": "gAAAAAfirst", "38_two_compactions": "gAAAAAwhole"}[name]
		frames := bytes.SplitAfter(in, []byte("\n\n"))
		for n := range len(frames) {
			var out []byte
			enc, step := responses.Codec{}.NewEncoder(o), &compaction.Native{}
			for _, e := range decode(bytes.NewReader(bytes.Join(frames[:n], nil))) {
				for _, s := range step.Step(nil, e) {
					out = enc.Encode(out, s)
				}
			}
			got := observe(t, out)
			items := strings.Count(string(out), `"type":"response.output_item.done"`)
			switch whole := n == len(frames)-1; {
			case whole && (got.status != "completed" || items != 1 || len(got.response.Output) != 1 || got.response.Output[0].EncryptedContent != want):
				t.Errorf("%s: %s with %d items in\n%s", name, got.status, items, out)
			case !whole && (got.status != "failed" || items != 0):
				t.Errorf("%s cut behind frame %d: %s with %d items in\n%s", name, n, got.status, items, out)
			}
		}
	}
}

func FuzzCompactionRequests(f *testing.F) {
	f.Add([]byte(`{"input":[{"role":"assistant","content":[{"type":"input_text"}]},{"type":"compaction","encrypted_content":"a"}]}`))
	f.Add([]byte(`{"input":"compaction","stream":true}`))
	f.Add([]byte(`{"input":[ ],"input":[{"type":"compaction"}]}`))
	f.Add(codexBody(1))
	f.Fuzz(func(t *testing.T, body []byte) {
		up := responses.WithTrigger(body)
		back, err := responses.Restore(up, func(s string) (string, bool, bool) { return s, len(s) > 0, len(s) < 9 })
		o := options()
		o.Request = &llm.Request{Raw: body}
		answer := responses.Compaction{}.EncodeAnswer(nil, &llm.Answer{Parts: []llm.Part{compactionPart("c")}}, o)
		if !json.Valid(body) {
			return // what then comes out nobody sends
		}
		if !json.Valid(up) || err == nil && !json.Valid(back) || !json.Valid(answer) {
			t.Fatalf("%q became %q, %q and %q", body, up, back, answer)
		}
	})
}
