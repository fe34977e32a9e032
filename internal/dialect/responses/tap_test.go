package responses_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"detour/internal/dialect"
	"detour/internal/dialect/carrier"
	"detour/internal/dialect/dialecttest"
	"detour/internal/dialect/responses"
	"detour/internal/llm"
)

// ev is an event as OpenAI sends it.
func ev(typ string, number int, members string) string {
	return fmt.Sprintf("event: %s\ndata: {\"type\":%q,%s,\"sequence_number\":%d}\n\n", typ, typ, members, number)
}

func created(id string) string {
	return ev("response.created", 0, `"response":{"id":"`+id+`","object":"response","created_at":1,"status":"in_progress","model":"m","output":[]}`)
}

func completed(number int, id, output string) string {
	return ev("response.completed", number, `"response":{"id":"`+id+`","object":"response","created_at":1,"status":"completed","model":"m","error":null,"incomplete_details":null,"output":`+output+
		`,"usage":{"input_tokens":14,"input_tokens_details":{"cached_tokens":4,"cache_write_tokens":2},"output_tokens":9,"output_tokens_details":{"reasoning_tokens":2},"total_tokens":23}}`)
}

func suite() dialecttest.Suite {
	return dialecttest.Suite{
		Format: responses.Format{},
		Ending: ending,
		Edits: map[string]string{
			"06_ping_event":               "ping becomes a comment",
			"08_no_created":               "response.created is put in",
			"09_inprogress_first":         "response.created is put in",
			"10_no_item_added":            "output_item.added is put in",
			"11_no_content_part_added":    "content_part.added is put in",
			"12_output_index_gap":         "indexes without a gap",
			"13_no_summary_part_added":    "reasoning_summary_part.added is put in",
			"14_reasoning_no_summary_arr": "summary is put in",
			"15_no_terminal":              "response.failed is put in",
			"18_error_event":              "response.failed follows the error",
			"19_error_event_nested":       "response.failed follows the error",
			"20_completed_no_output":      "output is put in",
			"21_rotating_ids":             "the first ids stay",
			"25_usage_missing":            "usage is put in",
			"27_deltas_only_no_dones":     "output_item.done is put in",
			"28_item_done_only":           "output_item.added is put in",
			"33_raw_reasoning_no_part":    "content_part.added is put in",
			"37_compaction":               "the first ids stay",
			"38_two_compactions":          "the first ids stay",
		},
		Start: created("resp_1") + ev("response.output_item.added", 1, `"output_index":0,"item":{"id":"msg_1","type":"message","role":"assistant","status":"in_progress","content":[]}`) +
			ev("response.content_part.added", 2, `"item_id":"msg_1","output_index":0,"content_index":0,"part":{"type":"output_text","text":"","annotations":[]}`),
		Delta: ev("response.output_text.delta", 3, `"item_id":"msg_1","output_index":0,"content_index":0,"delta":"Hello","logprobs":[]`),
	}
}

type item struct {
	ID      string
	Type    string
	Summary *json.RawMessage
}

// event is what a client decodes.
type event struct {
	Type        string
	OutputIndex int    `json:"output_index"`
	ItemID      string `json:"item_id"`
	Item        *item
	Response    *struct {
		ID     string
		Object string
		Status string
		Output *[]item
		Usage  *json.RawMessage
		Error  *struct{ Code, Message string }
	}
}

func datas(stream []byte) (all []string) {
	text := strings.ReplaceAll(string(stream), "\r\n", "\n")
	for frame := range strings.SplitSeq(text, "\n\n") {
		for line := range strings.SplitSeq(frame, "\n") {
			if data, ok := strings.CutPrefix(line, "data:"); ok {
				all = append(all, strings.TrimPrefix(data, " "))
			}
		}
	}
	return all
}

// ending reads a stream as strictly as any client does.
func ending(stream []byte) dialecttest.Ending {
	first, id, ids := true, "", []string{}
	for _, data := range datas(stream) {
		if data == "" {
			continue
		}
		if data == "[DONE]" {
			return dialecttest.Open
		}
		var e event
		if err := json.Unmarshal([]byte(data), &e); err != nil {
			return dialecttest.Open
		}
		if first && e.Type != "response.created" && e.Type != "keepalive" {
			return dialecttest.Open
		}
		if e.Type == "response.created" {
			first, id = false, e.Response.ID
		}
		if e.Response != nil && e.Response.ID != id {
			return dialecttest.Open
		}
		if e.Item != nil {
			if e.Type == "response.output_item.added" && e.OutputIndex == len(ids) {
				ids = append(ids, e.Item.ID)
			}
			if e.OutputIndex >= len(ids) || ids[e.OutputIndex] != e.Item.ID || e.Item.ID == "" ||
				e.Item.Type == "reasoning" && e.Item.Summary == nil {
				return dialecttest.Open
			}
		}
		if e.ItemID != "" && (e.OutputIndex >= len(ids) || ids[e.OutputIndex] != e.ItemID) {
			return dialecttest.Open
		}
		r := e.Response
		switch e.Type {
		case "response.completed", "response.incomplete":
			if r.Object != "response" || r.Status == "" || r.Output == nil || r.Usage == nil {
				return dialecttest.Open
			}
			return dialecttest.Clean
		case "response.failed":
			if r.Object != "response" || r.Status != "failed" || r.Output == nil || r.Error == nil || r.Error.Code == "" {
				return dialecttest.Open
			}
			return dialecttest.Failed
		}
	}
	return dialecttest.Open
}

func TestTapKeepsItsContract(t *testing.T) {
	t.Parallel()
	dialecttest.Run(t, suite())
}

func TestDeltaAllocatesNothing(t *testing.T) { suite().CheckAllocations(t) }

func TestInvariant2_TruncatedUpstreamNeverEndsClean(t *testing.T) {
	t.Parallel()
	files, _ := filepath.Glob("testdata/*.sse")
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			in, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			suite().CheckCuts(t, in, complete)
		})
	}
}

// complete reports whether the upstream itself said that the answer is whole.
func complete(part []byte) bool {
	for _, data := range datas(part) {
		var e event
		if json.Unmarshal([]byte(data), &e) == nil && (e.Type == "response.completed" || e.Type == "response.incomplete") {
			return true
		}
	}
	return false
}

func TestCutFrameIsNotQuoted(t *testing.T) {
	t.Parallel()
	suite().CheckCutFrame(t)
}

func TestTapSurvivesDamagedStreams(t *testing.T) {
	t.Parallel()
	files, _ := filepath.Glob("testdata/*.sse")
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			in, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			suite().CheckDamaged(t, in, 25)
		})
	}
}

func TestInvariant10_UnknownFieldsSurviveByteForByte(t *testing.T) {
	t.Parallel()
	unknown := `"copilot_quota_snapshots":[{"a" : 1.0e0,"z":"<é\u00e9>"}],"zzz":{"b":2,"a":1}`
	in := ev("response.created", 0, unknown+`,"response":{"id":"a",`+unknown+`}`) +
		ev("response.brand_new", 1, unknown) +
		"retry: 7\n" + strings.TrimSuffix(ev("response.output_item.added", 2, `"output_index":0,"item":{"id":"x",`+unknown+`,"type":"reasoning"}`), "\n") + ": c\nfoo: bar\n\n" +
		ev("response.output_item.done", 3, `"output_index":0,"item":{"id":"y",`+unknown+`,"type":"reasoning","encrypted_content":"b"}`) +
		ev("response.completed", 4, `"response":{"id":"b",`+unknown+`,"output":[{"id":"z",`+unknown+`,"type":"reasoning"}]}`)
	o := dialecttest.Options()
	o.Seal = func(id, blob string) string { return id + "/" + blob }
	got := dialecttest.Relay(responses.Format{}, o, strings.NewReader(in))
	if n := strings.Count(string(got.Out), unknown); n != 7 || got.Err != nil {
		t.Errorf("%d of 7 left, error %v in\n%s", n, got.Err, got.Out)
	}
	for _, keep := range []string{"retry: 7\n", ": c\nfoo: bar\n\n"} {
		if !strings.Contains(string(got.Out), keep) {
			t.Errorf("%q is gone from\n%s", keep, got.Out)
		}
	}
}

func TestRotatingIDsBecomeOneAndBlobsTravelWithTheirOwn(t *testing.T) {
	t.Parallel()
	codec := carrier.New([]byte("secret"))
	raw := func(i int) string { return fmt.Sprintf("%s%d", strings.Repeat("AbC+/", 80), i) }
	in := created("r1") +
		ev("response.in_progress", 1, `"response":{"id":"r2","object":"response"}`) +
		ev("response.output_item.added", 2, `"output_index":0,"item":{"id":"`+raw(0)+`","type":"reasoning","summary":[]}`) +
		ev("response.reasoning_summary_part.added", 3, `"item_id":"`+raw(1)+`","output_index":0,"summary_index":0,"part":{"type":"summary_text","text":""}`) +
		ev("response.reasoning_summary_text.delta", 4, `"item_id":"`+raw(2)+`","output_index":0,"summary_index":0,"delta":"x"`) +
		ev("response.output_item.done", 5, `"output_index":0,"item":{"id":"`+raw(3)+`","type":"reasoning","summary":[],"encrypted_content":"gAAAA"}`) +
		completed(6, "r3", `[{"id":"`+raw(4)+`","type":"reasoning","summary":[],"encrypted_content":"gBBBB"}]`)
	o := dialecttest.Options()
	o.Seal = codec.Seal
	got := dialecttest.Relay(responses.Format{}, o, strings.NewReader(in))
	if ending(got.Out) != dialecttest.Clean {
		t.Fatalf("a client cannot read\n%s", got.Out)
	}
	if strings.Contains(string(got.Out), "AbC+/") {
		t.Errorf("a raw id is left in\n%s", got.Out)
	}
	pairs := map[string]string{}
	var sealed string
	for _, data := range datas(got.Out) {
		var e struct {
			Item struct {
				ID        string `json:"id"`
				Encrypted string `json:"encrypted_content"`
			}
			Response struct {
				Output []struct {
					Encrypted string `json:"encrypted_content"`
				}
			}
		}
		if err := json.Unmarshal([]byte(data), &e); err != nil {
			t.Fatal(err)
		}
		if e.Item.Encrypted != "" {
			sealed = fmt.Sprintf(`{"type":"reasoning", "id":%q,"encrypted_content":%q,"x":1.0}`, e.Item.ID, e.Item.Encrypted)
			id, blob, _ := codec.Open(e.Item.Encrypted)
			pairs[blob] = id
		}
		for _, item := range e.Response.Output {
			id, blob, _ := codec.Open(item.Encrypted)
			pairs[blob] = id
		}
	}
	if len(pairs) != 2 || pairs["gAAAA"] != raw(3) || pairs["gBBBB"] != raw(4) {
		t.Errorf("pairs are %q", pairs)
	}
	// What the client replays becomes the exact pair again.
	body := responses.Unseal([]byte(`{"input":[`+sealed+`,"x"],"model":"m"}`), codec.Open)
	if want := `{"input":[{"type":"reasoning", "id":"` + raw(3) + `","encrypted_content":"gAAAA","x":1.0},"x"],"model":"m"}`; string(body) != want {
		t.Errorf("got\n%s\nwant\n%s", body, want)
	}
}

func TestBlobRepeatedUnderAnotherIDStaysWithTheIDThatItIsBoundTo(t *testing.T) {
	t.Parallel()
	codec := carrier.New([]byte("secret"))
	in := created("r1") +
		ev("response.output_item.added", 1, `"output_index":0,"item":{"id":"raw1","type":"reasoning","summary":[],"encrypted_content":"gAAAA"}`) +
		ev("response.output_item.done", 2, `"output_index":0,"item":{"id":"raw2","type":"reasoning","summary":[],"encrypted_content":"gAAAA"}`) +
		completed(3, "r2", `[{"id":"raw3","type":"reasoning","summary":[],"encrypted_content":"gAAAA"}]`)
	o := dialecttest.Options()
	o.Seal = codec.Seal
	got := dialecttest.Relay(responses.Format{}, o, strings.NewReader(in))
	var ids []string
	for _, data := range datas(got.Out) {
		for _, at := range []string{"item", "response.output.0"} {
			if v := gjson.Get(data, at+".encrypted_content"); v.Exists() {
				id, _, _ := codec.Open(v.Str)
				ids = append(ids, id)
			}
		}
	}
	if want := []string{"raw1", "raw2", "raw2"}; !slices.Equal(ids, want) {
		t.Errorf("the blob is bound to %q, want %q", ids, want)
	}
}

func TestUnsealLeavesForeignItemsAlone(t *testing.T) {
	t.Parallel()
	codec := carrier.New([]byte("secret"))
	own := codec.Seal("raw", "blob")
	for _, tc := range []struct{ name, in, want string }{
		{"no input", `{"model":"m"}`, `{"model":"m"}`},
		{"text", `{"input":"x"}`, `{"input":"x"}`},
		{"not JSON", `{"input":[`, `{"input":[`},
		{"foreign blob", `{"input":[{"type":"reasoning","id":"rs_1","encrypted_content":"gAAAA"}]}`, `{"input":[{"type":"reasoning","id":"rs_1","encrypted_content":"gAAAA"}]}`},
		{"blob that is null", `{"input":[{"type":"reasoning","encrypted_content":null}]}`, `{"input":[{"type":"reasoning","encrypted_content":null}]}`},
		{"client without ids", `{"input":[{"type":"reasoning","encrypted_content":"` + own + `"}]}`, `{"input":[{"id":"raw","type":"reasoning","encrypted_content":"blob"}]}`},
		{"blob without an id", `{"input":[{"id":"x","type":"compaction","encrypted_content":"` + codec.Seal("", "b") + `"}]}`, `{"input":[{"type":"compaction","encrypted_content":"b"}]}`},
		{"program", `{"input":[{"id":"x","type":"program","fingerprint":"` + own + `"}]}`, `{"input":[{"id":"raw","type":"program","fingerprint":"blob"}]}`},
		{"id that was made up", `{"input":[{"type":"message","id":"msg_dtr1x00ff","role":"assistant"}]}`, `{"input":[{"type":"message","role":"assistant"}]}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if got := string(responses.Unseal([]byte(tc.in), codec.Open)); got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
		})
	}
}

func TestTapMends(t *testing.T) {
	t.Parallel()
	call := `{"id":"fc_1","type":"function_call","call_id":"c","name":"n","arguments":"{}","status":"completed"}`
	for _, tc := range []struct{ name, in, want string }{
		{"call only in the output", created("r") + completed(1, "r", "["+call+"]"),
			created("r") + "event: response.output_item.added\ndata: {\"type\":\"response.output_item.added\",\"sequence_number\":1,\"output_index\":0,\"item\":{\"id\":\"fc_1\",\"type\":\"function_call\",\"call_id\":\"c\",\"name\":\"n\",\"arguments\":\"\",\"status\":\"in_progress\"}}\n\n" +
				"event: response.output_item.done\ndata: {\"type\":\"response.output_item.done\",\"sequence_number\":2,\"output_index\":0,\"item\":" + call + "}\n\n" +
				completed(3, "r", "["+call+"]")},
		{"output empty although items were finished", created("r") + ev("response.output_item.added", 1, `"output_index":0,"item":`+call) + ev("response.output_item.done", 2, `"output_index":0,"item":`+call) + completed(3, "r", "[]"),
			created("r") + ev("response.output_item.added", 1, `"output_index":0,"item":`+call) + ev("response.output_item.done", 2, `"output_index":0,"item":`+call) + completed(3, "r", "["+call+"]")},
		{"custom call without a status", created("r") + ev("response.output_item.done", 1, `"output_index":0,"item":{"id":"c","type":"custom_tool_call","input":"x"}`),
			created("r") + "event: response.output_item.added\ndata: {\"type\":\"response.output_item.added\",\"sequence_number\":1,\"output_index\":0,\"item\":{\"status\":\"in_progress\",\"id\":\"c\",\"type\":\"custom_tool_call\",\"input\":\"\"}}\n\n" +
				ev("response.output_item.done", 2, `"output_index":0,"item":{"status":"completed","id":"c","type":"custom_tool_call","input":"x"}`)},
		{"item without an id", created("r") + ev("response.output_item.added", 1, `"output_index":0,"item":{"type":"message"}`),
			created("r") + ev("response.output_item.added", 1, `"output_index":0,"item":{"id":"msg_dtr1x`)[:110]},
		{"[DONE] before the end is dropped", created("r") + "data: [DONE]\n\n" + completed(1, "r", "[]") + "data: [DONE]\n\n",
			created("r") + completed(1, "r", "[]") + "data: [DONE]\n\n"},
		{"usage details without the counts", created("r") + ev("response.completed", 1, `"response":{"id":"r","object":"response","created_at":1,"status":"completed","model":"m","error":null,"incomplete_details":null,"output":[],"usage":{"input_tokens_details":{},"output_tokens_details":{"x":1}}}`),
			created("r") + ev("response.completed", 1, `"response":{"id":"r","object":"response","created_at":1,"status":"completed","model":"m","error":null,"incomplete_details":null,"output":[],"usage":{"input_tokens_details":{"cached_tokens":0},"output_tokens_details":{"reasoning_tokens":0,"x":1}}}`)},
		{"terminal response with nothing but its id", created("r") + ev("response.incomplete", 1, `"response":{"id":"r"}`),
			created("r") + ev("response.incomplete", 1, `"response":{"object":"response","created_at":1,"status":"incomplete","model":"m","error":null,"incomplete_details":null,"usage":{"input_tokens":0,"input_tokens_details":{"cached_tokens":0},"output_tokens":0,"output_tokens_details":{"reasoning_tokens":0},"total_tokens":0},"output":[],"id":"r"}`)},
		{"failed at once", ev("response.failed", 0, `"response":{"id":"r","object":"response","created_at":1,"status":"failed","model":"m","error":{"code":"rate_limit_exceeded","message":"x"},"incomplete_details":null,"output":[]}`),
			"event: response.created\ndata: {\"type\":\"response.created\",\"sequence_number\":0,\"response\":{\"id\":\"r\",\"object\":\"response\",\"created_at\":1,\"status\":\"in_progress\""},
		{"error of another dialect", created("r") + "data: {\"error\":{\"message\":\"slow down\",\"code\":\"rate_limited\"}}\n\n",
			created("r") + "event: response.failed\ndata: {\"type\":\"response.failed\",\"sequence_number\":1,\"response\":{\"id\":\"r\",\"object\":\"response\",\"created_at\":1,\"status\":\"failed\",\"error\":{\"code\":\"rate_limited\",\"message\":\"slow down\"}"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got := string(dialecttest.Relay(responses.Format{}, dialecttest.Options(), strings.NewReader(tc.in)).Out)
			if !strings.HasPrefix(got, tc.want) {
				t.Errorf("got\n%s\nwant\n%s", got, tc.want)
			}
		})
	}
}

func TestClassesLetTheRelayHoldBack(t *testing.T) {
	t.Parallel()
	s := suite()
	in := ": c\n\n" + s.Start + s.Delta + completed(4, "resp_1", "[]") + "data: [DONE]\n\n"
	want := []dialect.Class{dialect.Meta, dialect.Meta, dialect.Meta, dialect.Meta, dialect.Content, dialect.Terminal, dialect.Meta}
	if got := dialecttest.Relay(responses.Format{}, dialecttest.Options(), strings.NewReader(in)).Classes; !slices.Equal(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
	in = created("r") + ev("response.failed", 1, `"response":{"id":"r","error":{"code":"server_error","message":"Encrypted function output content could not be decrypted"}}`)
	got := dialecttest.Relay(responses.Format{}, dialecttest.Options(), strings.NewReader(in))
	if f := got.Tap.Failure(); !slices.Equal(got.Classes, []dialect.Class{dialect.Meta, dialect.Failed}) || f.Code != "server_error" || !strings.HasPrefix(f.Message, "Encrypted") {
		t.Errorf("got %v, %+v", got.Classes, f)
	}
}

func TestUsageArithmetic(t *testing.T) {
	t.Parallel()
	in := created("r") + strings.Replace(completed(1, "r", "[]"), `,"sequence_number"`, `,"copilot_usage":{"total_nano_aiu":3},"sequence_number"`, 1)
	got := dialecttest.Relay(responses.Format{}, dialecttest.Options(), strings.NewReader(in)).Tap.Usage()
	if want := (llm.Usage{Input: 8, CacheRead: 4, CacheWrite: 2, Output: 9, Reasoning: 2, NanoAIU: 3, Priced: true, Reported: true}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestEndlessWhiteSpaceInArgumentsIsGivenUp(t *testing.T) {
	t.Parallel()
	in := created("r") + ev("response.output_item.added", 1, `"output_index":0,"item":{"id":"f","type":"function_call","call_id":"c","name":"n","arguments":""}`) +
		strings.Repeat(ev("response.function_call_arguments.delta", 2, `"item_id":"f","output_index":0,"delta":"\n\t "`), 60) + completed(3, "r", "[]")
	got := dialecttest.Relay(responses.Format{}, dialecttest.Options(), strings.NewReader(in))
	if ending(got.Out) != dialecttest.Failed || got.Tap.Failure().Code != "degenerate_output" {
		t.Errorf("not given up:\n%s", got.Out)
	}
}

func TestRepairSealsBlobsAndChangesNothingElse(t *testing.T) {
	t.Parallel()
	in := `{"id":"r", "output":[{"id":"a","type":"reasoning","encrypted_content":"b","x" : 1.0},{"id":"m"}],"usage":{"input_tokens":3,"output_tokens":1}}`
	o := dialecttest.Options()
	out, u := responses.Format{}.Repair([]byte(in), o)
	if string(out) != in || u.Input != 3 {
		t.Errorf("without Seal: %s %+v", out, u)
	}
	o.Seal = func(id, blob string) string { return id + "/" + blob }
	out, _ = responses.Format{}.Repair([]byte(in), o)
	if want := strings.Replace(in, `"b"`, `"a/b"`, 1); string(out) != want {
		t.Errorf("got %s", out)
	}
}

func FuzzTap(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.sse")
	for _, file := range files {
		if in, err := os.ReadFile(file); err == nil {
			f.Add(in)
		}
	}
	f.Fuzz(func(t *testing.T, in []byte) { suite().CheckAny(t, in) })
}

func BenchmarkTapDelta(b *testing.B) { suite().Bench(b) }

func BenchmarkTapEditedDelta(b *testing.B) {
	s := suite()
	s.Delta = strings.Replace(s.Delta, "msg_1", strings.Repeat("x", 400), 1)
	s.Bench(b)
}

func TestOwnIDStandsForWhateverIDTheUpstreamGives(t *testing.T) {
	t.Parallel()
	o := dialecttest.Options()
	o.ID, o.OwnID = "resp_ours", true
	for name, in := range map[string]string{
		"an id in each event": created("r1") + ev("response.in_progress", 1, `"response":{"id":"r2"}`) + completed(2, "r3", "[]"),
		"no id":               ev("response.created", 0, `"response":{}`) + ev("response.completed", 1, `"response":{}`),
		"no created":          completed(0, "r1", "[]"),
		"no terminal":         created("r1"),
		"no response in it":   created("r1") + ev("response.completed", 1, `"x":1`),
	} {
		got := dialecttest.Relay(responses.Format{}, o, strings.NewReader(in))
		for _, data := range datas(got.Out) {
			if id := gjson.Get(data, "response.id").Str; id != "resp_ours" {
				t.Errorf("%s: the id is %q in %s", name, id, data)
			}
		}
	}
	body, _ := responses.Format{}.Repair([]byte(`{"id":"r1","output":[{"id":"m"}]}`), o)
	if want := `{"id":"resp_ours","output":[{"id":"m"}]}`; string(body) != want {
		t.Errorf("got %s", body)
	}
	enc := responses.Codec{}.NewEncoder(dialect.AnswerOptions{ID: "resp_ours", OwnID: true})
	if out := enc.Encode(nil, llm.Event{Kind: llm.EventStart, ID: "chatcmpl-1"}); !strings.Contains(string(out), `"id":"resp_ours"`) {
		t.Errorf("the encoder says %s", out)
	}
}
