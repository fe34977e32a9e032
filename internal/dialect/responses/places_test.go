package responses_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"detour/internal/dialect"
	"detour/internal/dialect/responses"
	"detour/internal/llm"
	"detour/internal/sse"
)

// TestItemsOfTheOutputAreThoseOfTheStream ends streams with outputs that leave items out, have more of them, or do not
// agree with the stream's indexes. Each item counts once: clients run a call that is finished twice, twice.
func TestItemsOfTheOutputAreThoseOfTheStream(t *testing.T) {
	t.Parallel()
	// An upstream that gives an item another id in each event leaves nothing else to know it by.
	n := 0
	item := func(kind, name string) string {
		n++
		switch kind {
		case "call":
			return fmt.Sprintf(`{"id":"x%d","type":"function_call","status":"completed","call_id":%q,"name":"f","arguments":"{}"}`, n, name)
		case "message":
			return fmt.Sprintf(`{"id":"x%d","type":"message","role":"assistant","status":"completed","content":[{"type":"output_text","text":%q,"annotations":[]}]}`, n, name)
		}
		return fmt.Sprintf(`{"id":"x%d","type":%q,"summary":[]}`, n, kind)
	}
	type placed struct {
		index      int
		kind, name string
	}
	for _, tc := range []struct {
		name   string
		stream []placed
		output []placed
		want   string // messages and calls
	}{
		{"as they came", []placed{{0, "reasoning", ""}, {1, "message", "a"}, {2, "call", "c"}}, []placed{{0, "reasoning", ""}, {1, "message", "a"}, {2, "call", "c"}}, "a c"},
		{"indexes with gaps", []placed{{1, "message", "a"}, {4, "call", "c"}}, []placed{{0, "message", "a"}, {0, "call", "c"}}, "a c"},
		{"without what the client does not need", []placed{{0, "reasoning", ""}, {2, "message", "a"}, {3, "call", "c"}}, []placed{{0, "message", "a"}, {0, "call", "c"}}, "a c"},
		{"calls alone", []placed{{0, "message", "a"}, {3, "call", "c"}, {5, "call", "d"}}, []placed{{0, "call", "c"}, {0, "call", "d"}}, "a c d"},
		{"the second of two calls", []placed{{2, "call", "c"}, {3, "call", "d"}}, []placed{{0, "call", "d"}}, "c d"},
		{"one call more", []placed{{0, "message", "a"}}, []placed{{0, "message", "a"}, {1, "call", "c"}}, "a c"},
		{"one call more, and one item less", []placed{{0, "reasoning", ""}, {1, "message", "a"}}, []placed{{0, "message", "a"}, {0, "call", "c"}}, "a c"},
		{"calls more, and gaps", []placed{{0, "reasoning", ""}, {4, "call", "c"}}, []placed{{0, "call", "c"}, {0, "call", "d"}, {0, "call", "e"}}, "c d e"},
		{"nothing came", nil, []placed{{0, "message", "a"}, {1, "call", "c"}}, "a c"},
	} {
		var stream strings.Builder
		stream.WriteString(created("r"))
		for _, p := range tc.stream {
			fmt.Fprint(&stream, ev("response.output_item.added", 1, fmt.Sprintf(`"output_index":%d,"item":%s`, p.index, item(p.kind, p.name))),
				ev("response.output_item.done", 1, fmt.Sprintf(`"output_index":%d,"item":%s`, p.index, item(p.kind, p.name))))
		}
		var output []string
		for _, p := range tc.output {
			output = append(output, item(p.kind, p.name))
		}
		stream.WriteString(completed(9, "r", "["+strings.Join(output, ",")+"]"))
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			a, err := fold(decode(strings.NewReader(stream.String())))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, p := range a.Parts {
				switch {
				case p.Call != nil:
					got = append(got, p.Call.ID)
				case p.Kind == llm.PartText:
					got = append(got, p.Text)
				}
			}
			slices.Sort(got)
			if s := strings.Join(got, " "); s != tc.want {
				t.Errorf("translated: %s, want %s", s, tc.want)
			}
			if s := finishedItems(stream.String()); s != tc.want {
				t.Errorf("in its own dialect: %s, want %s", s, tc.want)
			}
		})
	}
}

// finishedItems are the messages and calls that a client of the dialect sees finished.
func finishedItems(stream string) string {
	tap := responses.Format{}.NewTap(dialect.TapOptions{ID: "x"})
	var out []byte
	frames := sse.NewReader(strings.NewReader(stream))
	for {
		f, err := frames.Next()
		if err != nil {
			break
		}
		out, _ = tap.Frame(out, f)
	}
	var got []string
	for data, rest, ok := sse.NextData(out); ok; data, rest, ok = sse.NextData(rest) {
		if e := gjson.ParseBytes(data); e.Get("type").Str == "response.output_item.done" {
			if name := e.Get("item.call_id").Str + e.Get("item.content.0.text").Str; name != "" {
				got = append(got, name)
			}
		}
	}
	slices.Sort(got)
	return strings.Join(got, " ")
}
