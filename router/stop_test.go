package router_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"detour/internal/dialect"
	"detour/providers"
	"detour/router"
)

// rTexts is a message of a Responses stream in several deltas.
func rTexts(deltas ...string) (events []string, item string) {
	events, item = rText(0, strings.Join(deltas, ""))
	said := make([]string, len(deltas))
	for i, d := range deltas {
		said[i] = fmt.Sprintf(`{"type":"response.output_text.delta","item_id":"m_0","output_index":0,"content_index":0,"delta":%q}`, d)
	}
	return slices.Concat(events[:2], said, events[3:]), item
}

// Models that speak Responses know no stop sequences. What clients hear is the same as if they did.
func TestAnswersEndAtStopSequencesThatTheModelDoesNotKnow(t *testing.T) {
	t.Parallel()
	events, item := rTexts("one E", "N", "D two", " three")
	whole := responsesStream(events, item, "completed")
	broken := responsesStream(events[:len(events)-1], "", "")
	a, d, z, call := rCall(1, "call_1", `{"at":"END"}`)
	_, _, _, early := rCall(0, "call_1", `{"at":"END"}`)
	calls := responsesStream([]string{a, d, z}, call, "completed")
	for _, answer := range []struct {
		name, stream string
		want         heard
		match        bool
	}{
		{"whole", whole, heard{text: "one ", stop: "end", in: 100, out: 20}, true},
		{"broken behind the sequence", broken, heard{text: "one ", stop: "end"}, true},
		{"a call behind the sequence", responsesStream(append(slices.Clip(events), a, d, z), item+","+call, "completed"), heard{text: "one ", stop: "end", in: 100, out: 20}, true},
		{"a call with the sequence in it", strings.ReplaceAll(calls, `"output_index":1`, `"output_index":0`), heard{calls: []string{`look {"at":"END"}`}, stop: "tool", in: 100, out: 20}, false},
		{"a call in the output only", responsesStream(nil, early, "completed"), heard{calls: []string{`look {"at":"END"}`}, stop: "tool", in: 100, out: 20}, false},
	} {
		for clientName, stop := range map[string]string{"chat": `"stop":["END"],`, "messages": `"stop_sequences":["END"],`, "gemini": `"generationConfig":{"stopSequences":["END"]},`} {
			client := askers()[clientName]
			for _, streamed := range []bool{true, false} {
				t.Run(fmt.Sprintf("%s/%s client/streamed=%t", answer.name, clientName, streamed), func(t *testing.T) {
					t.Parallel()
					w, asked := captured(t, dialect.EndpointResponses, answer.stream)
					body := strings.Replace(client.body("m", streamed), `"generationConfig":{"thinkingConfig":{"includeThoughts":true}},`, "", 1)
					resp := w.post(client.path("m", streamed), "{"+stop+body[1:])
					var raw bytes.Buffer
					resp.Body = io.NopCloser(io.TeeReader(resp.Body, &raw))
					var got heard
					if streamed {
						got = client.stream(resp)
					} else {
						got = client.plain([]byte(text(t, resp)))
					}
					want := answer.want
					if clientName == "messages" && answer.match {
						want.stop = "" // in this dialect it has a word of its own
						if !strings.Contains(raw.String(), `"stop_reason":"stop_sequence","stop_sequence":"END"`) {
							t.Errorf("the sequence is not told in\n%s", &raw)
						}
					}
					if fmt.Sprint(got) != fmt.Sprint(want) {
						t.Errorf("heard %+v, want %+v, of\n%s", got, want, &raw)
					}
					if asked().Get("stop").Exists() || asked().Get("stop_sequences").Exists() {
						t.Errorf("the model was sent what it does not know: %s", asked().Raw)
					}
				})
			}
		}
	}
}

// However the connection breaks behind the sequence, the client has all that it asked for.
func TestAnAnswerThatHadItsStopSequenceIsWhole(t *testing.T) {
	t.Parallel()
	events, _ := rTexts("one END", " two")
	run(t, func(t *testing.T, h2 bool) {
		for _, streamed := range []bool{true, false} {
			for text, want := range map[string]string{"END": "one ", "ENDS": ""} {
				w := newWorld(t, h2, func(rw http.ResponseWriter, r *http.Request) {
					_, _ = io.Copy(io.Discard, r.Body)
					stream(rw, responsesStream(events[:3], "", ""))
					panic(http.ErrAbortHandler)
				}, speaking(dialect.EndpointResponses))
				client := askers()["chat"]
				resp := w.post(client.path("m", streamed), `{"stop":"`+text+`",`+client.body("m", streamed)[1:])
				var got heard
				if streamed {
					got = client.stream(resp)
				} else {
					b, _ := io.ReadAll(resp.Body)
					got = client.plain(b)
				}
				if want != "" && (got.text != want || got.stop != "end" || got.err) || want == "" && resp.StatusCode == 200 && !got.err {
					t.Errorf("streamed=%t, %s: status %d, heard %+v", streamed, text, resp.StatusCode, got)
				}
			}
		}
	})
}

// Text goes out as soon as no sequence can begin in it, and the answer ends with the upstream's, which says what it cost.
func TestTextIsHeldBackOnlyWhileItMayBeAStopSequence(t *testing.T) {
	t.Parallel()
	events, item := rTexts("one E", "ND two")
	step := make(chan struct{})
	w := newWorld(t, false, func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Type", "text/event-stream")
		for _, part := range []string{responsesStream(events[:3], "", ""), data(events[3:]...), strings.Replace(responsesStream(nil, item, "completed"), "response.created", "response.in_progress", 2)} {
			_, _ = io.WriteString(rw, part)
			_ = http.NewResponseController(rw).Flush()
			select {
			case <-step:
			case <-r.Context().Done():
			}
		}
	}, func(c *router.Config, f *fake) {
		f.models = []providers.Model{{ID: "m", Picker: true, Endpoints: []dialect.Endpoint{dialect.EndpointResponses}}}
	})
	resp := w.post("/v1/chat/completions", `{"model":"m","stream":true,"stream_options":{"include_usage":true},"stop":"END","messages":[{"role":"user","content":"hi"}]}`)
	read := func(until string) string {
		var got []byte
		for !bytes.Contains(got, []byte(until)) {
			b := make([]byte, 4096)
			n, err := resp.Body.Read(b)
			if got = append(got, b[:n]...); err != nil {
				t.Fatalf("%v before %q in\n%s", err, until, got)
			}
		}
		return string(got)
	}
	if got := read(`"content":"one `); strings.Contains(got, "one E") {
		t.Errorf("the beginning of the sequence is out: %s", got)
	}
	step <- struct{}{}
	step <- struct{}{}
	if got := read("[DONE]"); strings.Contains(got, "two") || !strings.Contains(got, `"completion_tokens":20`) || !strings.Contains(got, `"finish_reason":"stop"`) {
		t.Errorf("got %s", got)
	}
	close(step)
}

// Anthropic's API refuses sequences of white space, and OpenAI's more than four.
func TestStopSequencesThatTheModelRefusesCountAllTheSame(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, answer string
		endpoint     dialect.Endpoint
		stop, sent   string
	}{
		{"white space", messagesStream([]string{
			`{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}`,
			`{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"one\n\ntwo"}}`,
			`{"type":"content_block_stop","index":0}`,
		}, "end_turn"), dialect.EndpointMessages, `["\n\n","END"]`, `["END"]`},
		{"the fifth", chatStream([]string{`{"role":"assistant","content":"one"}`, `{"content":"e two"}`}, "stop"), dialect.EndpointChat, `["a","b","c","d","e t"]`, `["a","b","c","d"]`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w, asked := captured(t, tc.endpoint, tc.answer)
			path, body := "/v1/chat/completions", `{"model":"m","stop":`+tc.stop+`,"messages":[{"role":"user","content":"hi"}]}`
			if tc.endpoint == dialect.EndpointChat {
				path, body = "/v1/messages", `{"model":"m","max_tokens":9,"stop_sequences":`+tc.stop+`,"messages":[{"role":"user","content":"hi"}]}`
			}
			got := gjson.Parse(text(t, w.post(path, body)))
			if said := got.Get("choices.0.message.content").Str + got.Get("content.0.text").Str; said != "one" {
				t.Errorf("got %s", got.Raw)
			}
			if sent := asked().Get("stop").Raw + asked().Get("stop_sequences").Raw; sent != tc.sent {
				t.Errorf("sent %s", sent)
			}
		})
	}
}
