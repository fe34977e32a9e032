package chat_test

import (
	"testing"

	"detour/internal/dialect/chat"
	"detour/internal/dialect/dialecttest"
)

func TestRepairMendsWholeAnswers(t *testing.T) {
	t.Parallel()
	const head = `{"id":"a","object":"chat.completion","created":1,"choices":`
	for _, tc := range []struct{ name, in, want string }{
		{"nothing to mend", head + `[ {"index":0,"message":{"role":"assistant","content":"x"},"finish_reason":"stop"} ] ,"x" : 1.0}`,
			head + `[ {"index":0,"message":{"role":"assistant","content":"x"},"finish_reason":"stop"} ] ,"x" : 1.0}`},
		{"two alternatives stay two", head + `[{"index":0,"message":{"content":"a"},"finish_reason":"stop"},{"index":1,"message":{"content":"b"},"finish_reason":"stop"}]}`,
			head + `[{"index":0,"message":{"content":"a"},"finish_reason":"stop"},{"index":1,"message":{"content":"b"},"finish_reason":"stop"}]}`},
		{"object, created and id missing", `{"choices":[]}`, `{"id":"minted","object":"chat.completion","created":1700000000,"choices":[]}`},
		{"text and calls in two choices", head + `[{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":"I'll \"look\"."}},{"index":1,"finish_reason":"tool_calls","message":{"role":"assistant","tool_calls":[{"id":"t"}],"reasoning_opaque":"o"}}],"usage":null}`,
			head + `[{"index":0,"finish_reason":"tool_calls","message":{"reasoning_opaque":"o","tool_calls":[{"id":"t"}],"role":"assistant","content":"I'll \"look\"."}}],"usage":null}`},
		{"calls spread over choices of one index", head + `[{"index":0,"message":{"content":"a","tool_calls":[{"id":"1"}]},"finish_reason":"tool_calls"},{"index":0,"message":{"content":"b","tool_calls":[{"id":"2"},{"id":"3"}]},"finish_reason":"tool_calls"}]}`,
			head + `[{"index":0,"message":{"content":"ab","tool_calls":[{"id":"1"},{"id":"2"},{"id":"3"}]},"finish_reason":"tool_calls"}]}`},
		{"calls only, in two choices", head + `[{"index":0,"message":{"tool_calls":[{"id":"1"}]},"finish_reason":"tool_calls"},{"index":1,"message":{"content":null,"tool_calls":[{"id":"2"}]},"finish_reason":"tool_calls"}]}`,
			head + `[{"index":0,"message":{"content":null,"tool_calls":[{"id":"1"},{"id":"2"}]},"finish_reason":"tool_calls"}]}`},
		{"stop although tools are called", head + `[{"index":0,"message":{"content":null,"tool_calls":[{"id":"1"}]},"finish_reason":"stop"}]}`,
			head + `[{"index":0,"message":{"content":null,"tool_calls":[{"id":"1"}]},"finish_reason":"tool_calls"}]}`},
		{"index and finish_reason missing", head + `[{"message":{"content":"x"}}]}`,
			head + `[{"index":0,"finish_reason":"stop","message":{"content":"x"}}]}`},
		{"an error", `{"error":{"message":"x"}}`, `{"error":{"message":"x"}}`},
		{"not JSON", `oops`, `oops`},
		{"choice that is no object", head + `[null]}`, head + `[null]}`},
		{"message that is missing", head + `[{"index":0,"finish_reason":"stop"},{"index":0,"finish_reason":"stop"}]}`, head + `[{"index":0,"finish_reason":"stop"}]}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got, _ := chat.Format{}.Repair([]byte(tc.in), dialecttest.Options())
			if string(got) != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
			if again, _ := (chat.Format{}).Repair(got, dialecttest.Options()); string(again) != string(got) {
				t.Errorf("mended again: %s", again)
			}
		})
	}
}

func FuzzRepair(f *testing.F) {
	f.Add([]byte(`{"choices":[{"message":{"content":"a"}},{"index":0,"message":{"tool_calls":[{}]}}]}`))
	f.Fuzz(func(t *testing.T, in []byte) { dialecttest.CheckRepair(t, chat.Format{}, in) })
}
