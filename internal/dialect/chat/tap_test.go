package chat_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"detour/internal/dialect"
	"detour/internal/dialect/chat"
	"detour/internal/dialect/dialecttest"
	"detour/internal/llm"
)

const (
	prefix = `data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"gpt-x","choices":`
	hello  = prefix + `[{"index":0,"delta":{"role":"assistant","content":"hi"},"finish_reason":null}]}` + "\n\n"
	stop   = prefix + `[{"index":0,"delta":{},"finish_reason":"stop"}]}` + "\n\n"
	done   = "data: [DONE]\n\n"
)

func suite() dialecttest.Suite {
	return dialecttest.Suite{
		Format: chat.Format{},
		Ending: ending,
		Edits: map[string]string{
			"02_no_done":             "[DONE] is put in",
			"04_no_choices_key":      "choices become []",
			"05_choices_null":        "choices become []",
			"06_id_changes":          "the first id stays",
			"07_empty_first_copilot": "the leading chunk gets the id of the answer",
			"08_no_finish":           "finish_reason is put in before [DONE]",
			"09_no_role":             "the first delta gets a role",
			"10_tool_idx_from_1":     "the index of tool calls begins at 0",
			"11_tool_no_type":        "the call gets a type",
			"12_tool_no_id":          "the call gets an id",
			"13_tool_name_repeated":  "the name is sent once",
			"14_tool_no_args":        "arguments become {}",
			"16_error_null_key":      "error:null is taken out",
			"17_garbage":             "what is not JSON ends the answer with an error",
			"19_usage_on_two":        "a usage chunk that repeats the one before is dropped",
			"21_finish_error":        "becomes an error",
			"23_event_error_line":    "[DONE] is put in",
			"24_delta_null":          "delta becomes {}",
			"25_delta_missing":       "delta becomes {}",
		},
		Start: hello,
		Delta: prefix + `[{"index":0,"delta":{"content":"Hel"},"finish_reason":null}]}` + "\n\n",
	}
}

// chunk is what a client decodes.
type chunk struct {
	Error   json.RawMessage `json:"error"`
	Choices []struct {
		Index  int     `json:"index"`
		Finish *string `json:"finish_reason"`
	} `json:"choices"`
}

// ending reads a stream as strictly as any client does.
func ending(stream []byte) dialecttest.Ending {
	open := map[int]bool{}
	for event := range strings.SplitSeq(strings.ReplaceAll(string(stream), "\r\n", "\n"), "\n\n") {
		var data string
		for line := range strings.SplitSeq(event, "\n") {
			if d, ok := strings.CutPrefix(line, "data:"); ok {
				data += strings.TrimPrefix(d, " ")
			}
		}
		switch {
		case data == "":
			continue
		case data == "[DONE]":
			for _, unfinished := range open {
				if unfinished {
					return dialecttest.Open
				}
			}
			if len(open) == 0 {
				return dialecttest.Open
			}
			return dialecttest.Clean
		}
		var c chunk
		if err := json.Unmarshal([]byte(data), &c); err != nil {
			return dialecttest.Open
		}
		if c.Error != nil {
			return dialecttest.Failed
		}
		if c.Choices == nil {
			return dialecttest.Open
		}
		for _, ch := range c.Choices {
			if ch.Finish != nil && *ch.Finish != "" {
				open[ch.Index] = false
			} else if _, known := open[ch.Index]; !known {
				open[ch.Index] = true
			}
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

// complete reports whether the upstream itself said that the answer is whole: [DONE] after some of it, or a
// finish_reason for each choice that began.
func complete(part []byte) bool {
	open := map[int]bool{}
	for line := range strings.Lines(string(part)) {
		data, ok := strings.CutPrefix(strings.TrimRight(line, "\r\n"), "data: ")
		if !ok {
			continue
		}
		if data == "[DONE]" {
			return len(open) > 0
		}
		var c chunk
		if json.Unmarshal([]byte(data), &c) != nil {
			continue
		}
		for _, ch := range c.Choices {
			if _, known := open[ch.Index]; !known {
				open[ch.Index] = true
			}
			if ch.Finish != nil {
				open[ch.Index] = false
			}
		}
	}
	for _, unfinished := range open {
		if unfinished {
			return false
		}
	}
	return len(open) > 0
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
	unknown := `"copilot_references":[{"a" : 1.0e0,"z":"<é\u00e9>"}],"zzz":{"b":2,"a":1}`
	in := `data: {` + unknown + `,"id":"","created":0,"model":"","choices":null,"prompt_filter_results":[]}` + "\n\n" +
		"retry: 7\ndata:  {" + unknown + `,"id":"x","choices":[{` + unknown + `,"delta":{` + unknown + `,"content":"a"}}]}` + "\n: c\nfoo: bar\n\n" +
		`data: {"id":"x","created":5,"object":"o","choices":[{"index":0,"delta":{"tool_calls":[{` + unknown + `,"function":{` + unknown + `,"name":"n"}}]},"finish_reason":"stop"}]}` + "\n\n"
	got := dialecttest.Relay(chat.Format{}, dialecttest.Options(), strings.NewReader(in))
	if n := bytes.Count(got.Out, []byte(unknown)); n != 6 || got.Err != nil {
		t.Errorf("%d of 6 left, error %v in\n%s", n, got.Err, got.Out)
	}
	for _, keep := range []string{"retry: 7\n", ": c\nfoo: bar\n\n", `"prompt_filter_results":[]`} {
		if !bytes.Contains(got.Out, []byte(keep)) {
			t.Errorf("%q is gone from\n%s", keep, got.Out)
		}
	}
}

func TestTapMends(t *testing.T) {
	t.Parallel()
	call := func(fragment string) string {
		return prefix + `[{"index":0,"delta":{"tool_calls":[` + fragment + `]},"finish_reason":null}]}` + "\n\n"
	}
	const callsEnd = prefix + `[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}` + "\n\n"
	for _, tc := range []struct{ name, in, want string }{
		{"object and created missing", `data: {"id":"a","choices":[{"index":0,"delta":{"role":"assistant","content":"x"}}]}` + "\n\n",
			`data: {"object":"chat.completion.chunk","created":1700000000,"id":"a","choices":[{"index":0,"delta":{"role":"assistant","content":"x"}}]}` + "\n\n"},
		{"id empty on a chunk with text", `data: {"object":"o","created":3,"id":"","choices":[{"index":0,"delta":{"role":"assistant","content":"x"}}]}` + "\n\n",
			`data: {"object":"o","created":3,"id":"minted","choices":[{"index":0,"delta":{"role":"assistant","content":"x"}}]}` + "\n\n"},
		{"role null", prefix + `[{"index":0,"delta":{"role":null,"content":"x"}}]}` + "\n\n",
			prefix + `[{"index":0,"delta":{"role":"assistant","content":"x"}}]}` + "\n\n"},
		{"choice index missing", hello + prefix + `[{"delta":{"content":"x"}}]}` + "\n\n",
			hello + prefix + `[{"index":0,"delta":{"content":"x"}}]}` + "\n\n"},
		{"empty data is dropped", "data: \n\ndata:\n\n" + hello, hello},
		{"frames after [DONE] are dropped", hello + stop + done + hello, hello + stop + done},
		{"stop after tool calls", hello + call(`{"index":0,"id":"c","type":"function","function":{"name":"n","arguments":"{}"}}`) + stop + done,
			hello + call(`{"index":0,"id":"c","type":"function","function":{"name":"n","arguments":"{}"}}`) + callsEnd + done},
		{"tool index missing", hello + call(`{"id":"c","type":"function","function":{"name":"n","arguments":"{"}}`) + call(`{"function":{"arguments":"}"}}`) +
			call(`{"id":"d","type":"function","function":{"name":"n","arguments":"{}"}}`) + callsEnd + done,
			hello + call(`{"index":0,"id":"c","type":"function","function":{"name":"n","arguments":"{"}}`) + call(`{"index":0,"function":{"arguments":"}"}}`) +
				call(`{"index":1,"id":"d","type":"function","function":{"name":"n","arguments":"{}"}}`) + callsEnd + done},
		{"same index for two calls", hello + call(`{"index":0,"id":"c","type":"function","function":{"name":"n","arguments":"{}"}}`) +
			call(`{"index":0,"id":"d","type":"function","function":{"name":"n","arguments":"{}"}}`) + callsEnd + done,
			hello + call(`{"index":0,"id":"c","type":"function","function":{"name":"n","arguments":"{}"}}`) +
				call(`{"index":1,"id":"d","type":"function","function":{"name":"n","arguments":"{}"}}`) + callsEnd + done},
		{"id of a call changes", hello + call(`{"index":0,"id":"c","type":"function","function":{"name":"n","arguments":"{"}}`) +
			call(`{"index":0,"id":"other","function":{"arguments":"}"}}`) + callsEnd + done,
			hello + call(`{"index":0,"id":"c","type":"function","function":{"name":"n","arguments":"{"}}`) +
				call(`{"index":0,"id":"c","function":{"arguments":"}"}}`) + callsEnd + done},
		{"call without arguments in the last chunk", hello + prefix + `[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"c","type":"function","function":{"name":"n","arguments":""}}]},"finish_reason":"tool_calls"}]}` + "\n\n" + done,
			hello + prefix + `[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"c","type":"function","function":{"name":"n","arguments":"{}"}}]},"finish_reason":"tool_calls"}]}` + "\n\n" + done},
		{"error that is text", hello + `data: {"error":"quota exceeded"}` + "\n\n",
			hello + `data: {"error":{"message":"quota exceeded","type":"server_error","param":null,"code":null}}` + "\n\n" + done},
		{"[DONE] alone", done, `data: {"error":{"message":"upstream sent an empty answer","type":"server_error","param":null,"code":null}}` + "\n\n" + done},
		{"data in two lines", hello + "data: {\"id\":\"chatcmpl-1\",\ndata: \"choices\":[]}\n\n",
			hello + `data: {"object":"chat.completion.chunk","created":1,"model":"gpt-x","id":"chatcmpl-1", "choices":[]}` + "\n\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got := string(dialecttest.Relay(chat.Format{}, dialecttest.Options(), strings.NewReader(tc.in)).Out)
			if !strings.HasPrefix(got, tc.want) {
				t.Errorf("got\n%s\nwant\n%s", got, tc.want)
			}
		})
	}
}

func TestClassesLetTheRelayHoldBack(t *testing.T) {
	t.Parallel()
	in := ": c\n\n" + `data: {"id":"","choices":[],"prompt_filter_results":[]}` + "\n\n" +
		prefix + `[{"index":0,"delta":{"role":"assistant","content":""}}]}` + "\n\n" +
		prefix + `[{"index":0,"delta":{"reasoning_opaque":"x"}}]}` + "\n\n" + stop +
		prefix + `[],"usage":{"prompt_tokens":1}}` + "\n\n" + done
	want := []dialect.Class{dialect.Meta, dialect.Meta, dialect.Meta, dialect.Content, dialect.Terminal, dialect.Meta, dialect.Terminal}
	got := dialecttest.Relay(chat.Format{}, dialecttest.Options(), strings.NewReader(in)).Classes
	if len(got) != len(want) {
		t.Fatalf("got %v, want %v", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("got %v, want %v", got, want)
		}
	}
}

func TestHiddenUsageIsCountedAllTheSame(t *testing.T) {
	t.Parallel()
	o := dialecttest.Options()
	o.HideUsage = true
	usage := prefix + `[],"usage":{"prompt_tokens":14,"completion_tokens":9,"total_tokens":23,"prompt_tokens_details":{"cached_tokens":4}},"copilot_usage":{"total_nano_aiu":77}}` + "\n\n"
	got := dialecttest.Relay(chat.Format{}, o, strings.NewReader(hello+stop+usage+done))
	if string(got.Out) != hello+stop+done {
		t.Errorf("got\n%s", got.Out)
	}
	if want := (llm.Usage{Input: 10, CacheRead: 4, Output: 9, NanoAIU: 77, Priced: true, Reported: true}); got.Tap.Usage() != want {
		t.Errorf("got %+v, want %+v", got.Tap.Usage(), want)
	}
}

func TestUsageArithmetic(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, usage string
		want        llm.Usage
	}{
		{"nested reasoning is part of the completion", `{"prompt_tokens":10,"completion_tokens":9,"total_tokens":19,"completion_tokens_details":{"reasoning_tokens":4}}`,
			llm.Usage{Input: 10, Output: 9, Reasoning: 4}},
		{"top-level reasoning comes on top when the total says so", `{"prompt_tokens":10,"completion_tokens":9,"reasoning_tokens":5,"total_tokens":24}`,
			llm.Usage{Input: 10, Output: 14, Reasoning: 5}},
		{"top-level reasoning that the total does not add", `{"prompt_tokens":10,"completion_tokens":9,"reasoning_tokens":5,"total_tokens":19}`,
			llm.Usage{Input: 10, Output: 9, Reasoning: 5}},
		{"cache read and write are part of the prompt", `{"prompt_tokens":10,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":4,"cache_creation_input_tokens":3}}`,
			llm.Usage{Input: 3, CacheRead: 4, CacheWrite: 3, Output: 1}},
		{"more cached than prompted", `{"prompt_tokens":1,"prompt_tokens_details":{"cached_tokens":4}}`, llm.Usage{CacheRead: 4}},
		{"nonsense", `{"prompt_tokens":-5,"completion_tokens":"x","prompt_tokens_details":null}`, llm.Usage{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			tc.want.Reported = true
			_, got := chat.Format{}.Repair([]byte(`{"usage":`+tc.usage+`}`), dialect.TapOptions{})
			if got != tc.want {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
		})
	}
}

func TestEndlessWhiteSpaceInArgumentsIsGivenUp(t *testing.T) {
	t.Parallel()
	fragment := func(text string) string {
		return prefix + `[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"c","type":"function","function":{"name":"n","arguments":"` + text + `"}}]},"finish_reason":null}]}` + "\n\n"
	}
	fine := fragment(`{\"a\":\"` + strings.Repeat(`\\n`, 500) + `\",` + strings.Repeat(` `, 500) + strings.Repeat(`\n\t`, 10))
	got := dialecttest.Relay(chat.Format{}, dialecttest.Options(), strings.NewReader(fine+fine+stop+done))
	if got.Err != nil {
		t.Errorf("text with line breaks is refused: %v", got.Tap.Failure())
	}
	got = dialecttest.Relay(chat.Format{}, dialecttest.Options(), strings.NewReader(fine+strings.Repeat(fragment(`\n\t \r`), 50)+stop+done))
	if ending(got.Out) != dialecttest.Failed || got.Tap.Failure().Code != "degenerate_output" {
		t.Errorf("not given up:\n%s", got.Out)
	}
}

func TestCloseQuotesNoAddress(t *testing.T) {
	t.Parallel()
	tap := chat.Format{}.NewTap(dialect.TapOptions{})
	cause := errors.New("read tcp 10.0.0.1:443: connection reset by peer")
	out, err := tap.Close(nil, cause)
	if !errors.Is(err, cause) || bytes.Contains(out, []byte("10.0.0.1")) {
		t.Errorf("%v, %s", err, out)
	}
	if _, err := (chat.Format{}).NewTap(dialect.TapOptions{}).Close(nil, nil); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("without a cause: %v", err)
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
	s.Delta = `data: {"id":"chatcmpl-1","created":1,"model":"gpt-x","choices":[{"index":0,"delta":{"content":"Hel"},"finish_reason":null}]}` + "\n\n"
	s.Bench(b)
}
