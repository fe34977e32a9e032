package responses_test

import (
	"bytes"
	"errors"
	"net/http"
	"strings"
	"testing"

	"detour/internal/dialect"
	"detour/internal/dialect/dialecttest"
	"detour/internal/dialect/rawjson"
	"detour/internal/dialect/responses"
)

func TestReadFrame(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, text string
		want       responses.Frame
		body       string
	}{
		{"as Codex sends it", `{"client_metadata":{"a":"b"},"generate":false,"input":[],"model":"m","stream":true,"type":"response.create"}`,
			responses.Frame{Type: "response.create", Warm: true}, `{"client_metadata":{"a":"b"},"input":[],"model":"m","stream":true}`},
		{"as VS Code sends it", ` {"type":"response.create","model":"m","initiator":"agent","input":[ 1.0 ]}`,
			responses.Frame{Type: "response.create", Initiator: "agent"}, `{"model":"m","input":[ 1.0 ],"stream":true}`},
		{"on a lane", `{"type":"response.create","stream_id":"a\"b","model":"m","generate":true}`,
			responses.Frame{Type: "response.create", Lane: []byte(`"a\"b"`)}, `{"model":"m","stream":true}`},
		{"not streamed", `{"type":"response.create","stream":false,"stream":null,"model":"m","initiator":7}`,
			responses.Frame{Type: "response.create"}, `{"stream":true,"model":"m","initiator":7}`},
		{"append", `{"type":"response.append","input":[]}`, responses.Frame{Type: "response.append"}, `{"input":[],"stream":true}`},
		{"nothing but a type", `{"type":"response.processed"}`, responses.Frame{Type: "response.processed"}, `{"stream":true}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got, err := responses.ReadFrame([]byte(tc.text))
			if err != nil {
				t.Fatal(err)
			}
			if got.Type != tc.want.Type || got.Warm != tc.want.Warm || got.Initiator != tc.want.Initiator || !bytes.Equal(got.Lane, tc.want.Lane) || string(got.Body) != tc.body {
				t.Errorf("got %+v with body\n%s\nwant\n%s", got, got.Body, tc.body)
			}
		})
	}
}

func TestFramesThatAreNoRequest(t *testing.T) {
	t.Parallel()
	for text, say := range map[string]string{
		``: "not valid JSON", `{`: "not valid JSON", `[]`: "an array", `"x"`: "a string", `null`: "null", `{"model":"m"}`: "response.create",
		`{"type":7}`: "response.create", `{"type":"response.frobnicate"}`: "response.frobnicate", `{"type":"session.update"} x`: "not valid JSON",
	} {
		_, err := responses.ReadFrame([]byte(text))
		f, ok := errors.AsType[*dialect.Failure](err)
		if !ok || f.Status != 400 || !strings.Contains(f.Message, say) {
			t.Errorf("%s: got %v, want a failure that says %q", text, err, say)
		}
	}
}

func TestAppendedGoesOnFromTheLastAnswer(t *testing.T) {
	t.Parallel()
	last := []byte(`{"model":"m","input":[],"tools":[1]}`)
	for _, tc := range []struct {
		input   string
		repeats bool
	}{
		{`[{"type":"function_call_output","call_id":"c","output":"x"}]`, false},
		{`[{"role":"user","content":"x"}]`, false},
		{`[]`, false},
		{`[{"type":"function_call","call_id":"c"},{"type":"function_call_output","call_id":"c","output":"x"}]`, true},
		{`[{"type":"reasoning"}]`, true},
		{`[{"type":"message","role":"assistant","content":[]}]`, true},
	} {
		body, repeats := responses.Appended(last, []byte(`{"input":`+tc.input+`,"stream":true}`), "resp_1")
		if want := `{"model":"m","input":` + tc.input + `,"tools":[1],"previous_response_id":"resp_1"}`; string(body) != want || repeats != tc.repeats {
			t.Errorf("%s: got %s, %t", tc.input, body, repeats)
		}
	}
}

func TestAppendLane(t *testing.T) {
	t.Parallel()
	for event, want := range map[string]string{
		`{"type":"a"}`: `{"stream_id":"l","type":"a"}`, ` { "type":"a"}`: ` {"stream_id":"l", "type":"a"}`, `{}`: `{"stream_id":"l"}`, `{ }`: `{"stream_id":"l" }`,
	} {
		if got := string(responses.AppendLane(nil, []byte(event), []byte(`"l"`))); got != want {
			t.Errorf("%s: got %s", event, got)
		}
	}
	if got := string(responses.AppendLane(nil, []byte(`{"type":"a"}`), nil)); got != `{"type":"a"}` {
		t.Errorf("without a lane: %s", got)
	}
}

func TestAppendErrorEvent(t *testing.T) {
	t.Parallel()
	h := http.Header{"Retry-After": {"7"}, "Content-Type": {"application/json"}, "Content-Length": {"9"}, "X-Request-Id": {`a"b`}}
	got := string(responses.AppendErrorEvent(nil, 429, h, []byte("{\"error\":{\"code\":\"rate_limited\",\n\"message\":\"m\"}}")))
	want := `{"type":"error","status":429,"error":{"code":"rate_limited", "message":"m"},"headers":{"retry-after":"7","x-request-id":"a\"b"}}`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	got = string(responses.AppendErrorEvent(nil, 502, nil, []byte("<html>")))
	if rawjson.Check([]byte(got)) != nil || !strings.HasPrefix(got, `{"type":"error","status":502,"error":{"type":"server_error"`) {
		t.Errorf("got %s", got)
	}
}

func TestWarmUpIsAnEmptyAnswer(t *testing.T) {
	t.Parallel()
	out := responses.AppendWarmUp(nil, []byte(`{"model":"m","instructions":"be brief","input":[{"oh":"no"}]}`), dialect.AnswerOptions{Model: "m", ID: "resp_w", OwnID: true, Created: 5})
	if ending(out) != dialecttest.Clean {
		t.Errorf("a client cannot read\n%s", out)
	}
	all := datas(out)
	last := all[len(all)-1]
	for _, want := range []string{`"type":"response.completed"`, `"id":"resp_w"`, `"output":[]`, `"instructions":"be brief"`, `"input_tokens":0`, `"total_tokens":0`} {
		if !strings.Contains(last, want) {
			t.Errorf("no %s in %s", want, last)
		}
	}
}

func FuzzReadFrame(f *testing.F) {
	f.Add([]byte(`{"type":"response.create","generate":false,"stream_id":"x","model":"m","input":[{"role":"user","content":"x"}],"stream":true,"initiator":"user"}`))
	f.Add([]byte(`{"type":"response.append","input":"x","type":"response.cancel"}`))
	f.Add([]byte(" \n{ } "))
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := responses.ReadFrame(text)
		if err != nil {
			if f, ok := errors.AsType[*dialect.Failure](err); !ok || f.Status != 400 {
				t.Fatalf("got %v", err)
			}
			return
		}
		if err := rawjson.Check(got.Body); err != nil {
			t.Fatalf("%s became %s: %v", text, got.Body, err)
		}
		for it := rawjson.Members(got.Body, 0); it.Next(); {
			switch key := string(it.Key()); {
			case key == "type", key == "stream_id", key == "generate":
				t.Fatalf("%s is left in %s", key, got.Body)
			case key == "stream" && string(it.Raw()) != "true":
				t.Fatalf("not streamed: %s", got.Body)
			}
		}
		if lane := responses.AppendLane(nil, got.Body, got.Lane); rawjson.Check(lane) != nil {
			t.Fatalf("with its lane: %s", lane)
		}
		if body, _ := responses.Appended(got.Body, got.Body, "r"); rawjson.Check(body) != nil {
			t.Fatalf("appended: %s", body)
		}
	})
}
