package responses_test

import (
	"errors"
	"strconv"
	"strings"
	"testing"

	"detour/internal/dialect"
	"detour/internal/dialect/rawjson"
	"detour/internal/dialect/responses"
)

func TestWithInputPutsItemsInAndLeavesTheRest(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, body string
		items      []string
		want       string
	}{
		{"in its place", `{"model":"m","input":"new" ,"tools":[ 1.0 ],"previous_response_id":"r"}`, []string{`{"a":1}`, `{"b":2},{"c":3}`}, `{"model":"m","input":[{"a":1},{"b":2},{"c":3}],"tools":[ 1.0 ]}`},
		{"no input", `{"previous_response_id":"r", "model" : "m"}`, []string{`{"a":1}`}, `{"model" : "m","input":[{"a":1}]}`},
		{"nothing to put in", `{"model":"m","input":[{"x":1}]}`, []string{"", "", ""}, `{"model":"m","input":[]}`},
		{"empty pieces", `{"input":"x"}`, []string{"", `{"a":1}`, "", `{"b":2}`, ""}, `{"input":[{"a":1},{"b":2}]}`},
		{"an empty request", `{}`, []string{`{"a":1}`}, `{"input":[{"a":1}]}`},
		{"input twice", `{"input":"x","input":"y","model":"m"}`, []string{`{"a":1}`}, `{"input":[{"a":1}],"model":"m"}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var items [][]byte
			for _, i := range tc.items {
				items = append(items, []byte(i))
			}
			if got := string(responses.WithInput([]byte(tc.body), items...)); got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
		})
	}
}

func TestItemsOfAnInput(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{"input":"say \"hi\""}`:          `{"role":"user","content":"say \"hi\""}`,
		`{"input":[ {"a":1} , {"b":2} ]}`: `{"a":1} , {"b":2}`,
		`{"input":[]}`:                    "",
		`{"input":null}`:                  "",
		`{}`:                              "",
	} {
		if got := string(responses.Input([]byte(body))); got != want {
			t.Errorf("%s: got %s, want %s", body, got, want)
		}
	}
}

func TestReferencesBecomeTheItemsThatTheyName(t *testing.T) {
	t.Parallel()
	known := func(id string) ([]byte, bool) {
		text, ok := map[string]string{"rs_1": `{"id":"rs_1","type":"reasoning"}`, "fc 1": `{"id":"fc 1","type":"function_call" }`}[id]
		return []byte(text), ok
	}
	for body, want := range map[string]string{
		`{"input":[{"role":"user","content":"x"},{"type":"item_reference","id":"rs_1"}, {"id":"fc\u00201"},{"type":"function_call_output","id":"rs_1","output":"y"}]}`: `{"role":"user","content":"x"},{"id":"rs_1","type":"reasoning"},{"id":"fc 1","type":"function_call" },{"type":"function_call_output","id":"rs_1","output":"y"}`,
		`{"input":[{"id":"rs_1","type":null}]}`: `{"id":"rs_1","type":"reasoning"}`,
		`{"input":"x"}`:                         `{"role":"user","content":"x"}`,
	} {
		got, err := responses.Resolve([]byte(body), known)
		if err != nil || string(got) != want {
			t.Errorf("%s: got %s, %v\nwant %s", body, got, err, want)
		}
	}
	_, err := responses.Resolve([]byte(`{"input":["x",{"type":"item_reference","id":"rs_2"}]}`), known)
	f, ok := errors.AsType[*dialect.Failure](err)
	if !ok || f.Status != 400 || f.Code != "previous_response_not_found" || f.Param != "input[1]" || !strings.Contains(f.Message, "rs_2") {
		t.Errorf("got %+v", err)
	}
}

func TestOnlyAGoodEndIsRemembered(t *testing.T) {
	t.Parallel()
	for event, want := range map[string]string{
		`{"type":"response.completed","response":{"id":"r"}}`:                    `{"id":"r"}`,
		`{"response":{"id":"r","type":"x"},"type":"response.incomplete"}`:        `{"id":"r","type":"x"}`,
		`{"type":"response.failed","response":{"id":"r"}}`:                       "",
		`{"type":"response.output_text.delta","delta":"\"response.completed\""}`: "",
		`{"type":"response.created","response":{"type":"response.completed"}}`:   "",
		`[DONE]`: "",
	} {
		if got := string(responses.Finished([]byte(event))); got != want {
			t.Errorf("%s: got %s, want %s", event, got, want)
		}
	}
}

// Whatever a client and a model say, what comes of it is valid JSON with all items in order.
func FuzzRefer(f *testing.F) {
	f.Add([]byte(`{"model":"m","input":[{"role":"user","content":"x"},{"type":"item_reference","id":"a"}],"previous_response_id":"r"}`), []byte(`[{"id":"a"}]`))
	f.Add([]byte(`{"input":"x" , "input":[ ]}`), []byte(`[ ]`))
	f.Fuzz(func(t *testing.T, body, said []byte) {
		if rawjson.Check(body) != nil || rawjson.Check(said) != nil || rawjson.Of(body) != rawjson.Object || rawjson.Of(said) != rawjson.Array {
			t.Skip()
		}
		before := responses.Items(said)
		added, err := responses.Resolve(body, func(string) ([]byte, bool) { return []byte(`{"id":"a"}`), true })
		if err != nil {
			t.Fatal(err)
		}
		out := responses.WithInput(body, before, added)
		if err := rawjson.Check(out); err != nil {
			t.Fatalf("%s: %v", out, err)
		}
		if got, want := count(rawjson.Get(out, "input")), count(said)+count(wrap(added)); got != want {
			t.Errorf("%d items, want %d in %s", got, want, out)
		}
		list, err := responses.AppendItemList(nil, responses.ItemPage{Limit: 3}, before, added)
		if err != nil || rawjson.Check(list) != nil {
			t.Fatalf("%s: %v", list, err)
		}
		all := count(said) + count(wrap(added))
		if got := count(rawjson.Get(list, "data")); got != min(all, 3) || string(rawjson.Get(list, "has_more")) != strconv.FormatBool(all > 3) {
			t.Errorf("%d of %d items are listed in %s", got, all, list)
		}
	})
}

func wrap(items []byte) []byte { return append(append([]byte{'['}, items...), ']') }

func count(array []byte) (n int) {
	for it := rawjson.Elements(array, 0); it.Next(); {
		n++
	}
	return n
}
