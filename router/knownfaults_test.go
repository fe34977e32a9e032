package router_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/tidwall/gjson"

	"detour/internal/dialect"
	chatcodec "detour/internal/dialect/chat"
	messagescodec "detour/internal/dialect/messages"
	responsescodec "detour/internal/dialect/responses"
	"detour/internal/sse"
	"detour/providers"
	"detour/router"
)

// The tests of this file are about faults that translating proxies are known for and that only show on the whole way
// from client to model. Those of one dialect are in the dialect's package.

// speaking makes all that the upstream offers one model, "m", that speaks the endpoints.
func speaking(endpoints ...dialect.Endpoint) option {
	return func(c *router.Config, f *fake) {
		f.models = []providers.Model{{ID: "m", Picker: true, Endpoints: endpoints}}
		c.Retry.Connection, c.Retry.MaxWait = 1, 1
	}
}

func endpoints() map[string]dialect.Endpoint {
	return map[string]dialect.Endpoint{"chat": dialect.EndpointChat, "responses": dialect.EndpointResponses, "messages": dialect.EndpointMessages}
}

// A client that asked for a stream and gets an error instead needs its status: inside a stream of status 200 it does not
// look for one. That holds for refusals and for errors that come with status 200.
func TestAnErrorInsteadOfAStreamIsNoStream(t *testing.T) {
	t.Parallel()
	const words = "Input tokens of tool 3 are odd."
	for _, tc := range []struct {
		name, body   string
		status, want int
	}{
		{"refused", `{"error":{"message":"` + words + `","type":"invalid_request_error","code":"odd"}}`, 400, 400},
		{"refused in the words of Messages", `{"type":"error","error":{"type":"invalid_request_error","message":"` + words + `"}}`, 400, 400},
		{"too large", `{"message":"` + words + `"}`, 413, 0},
		{"slow down", `{"error":{"message":"` + words + `","code":"rate_limit_exceeded"}}`, 429, 429},
		{"broken", words, 503, 0},
		{"an error with status 200", `{"error":{"message":"` + words + `","type":"server_error","code":"odd"}}`, 200, 0},
		{"the same in the words of Messages", `{"type":"error","error":{"type":"api_error","message":"` + words + `"}}`, 200, 0},
	} {
		for clientName, client := range askers() {
			for upstreamName, endpoint := range endpoints() {
				t.Run(fmt.Sprintf("%s/%s client, %s model", tc.name, clientName, upstreamName), func(t *testing.T) {
					t.Parallel()
					w := newWorld(t, false, func(rw http.ResponseWriter, _ *http.Request) { plain(rw, tc.status, tc.body) }, speaking(endpoint))
					resp := w.post(client.path("m", true), client.body("m", true))
					got := text(t, resp)
					if resp.StatusCode < 400 || tc.want > 0 && resp.StatusCode != tc.want || resp.Header.Get("Content-Type") != "application/json" {
						t.Errorf("status %d, %s: %s", resp.StatusCode, resp.Header.Get("Content-Type"), got)
					}
					if message := gjson.Get(got, "error.message").Str; !strings.Contains(message, words) {
						t.Errorf("the upstream's words are lost: %s", got)
					}
				})
			}
		}
	}
}

// turnOf makes the assistant's turn of a history out of a stream of Messages, as clients do.
func turnOf(t *testing.T, raw string) string {
	t.Helper()
	var blocks []map[string]any
	frames := sse.NewReader(strings.NewReader(raw))
	for {
		f, err := frames.Next()
		if err != nil {
			break
		}
		switch e := gjson.ParseBytes(f.Data); e.Get("type").Str {
		case "content_block_start":
			if int(e.Get("index").Int()) != len(blocks) {
				t.Errorf("block %s is the %dth in\n%s", e.Get("index").Raw, len(blocks), raw)
			}
			blocks = append(blocks, e.Get("content_block").Value().(map[string]any))
		case "content_block_delta":
			b := blocks[e.Get("index").Int()]
			for _, key := range []string{"text", "thinking", "signature"} {
				if v := e.Get("delta." + key); v.Exists() {
					b[key] = b[key].(string) + v.Str
				}
			}
		}
	}
	turn, _ := json.Marshal(blocks)
	return string(turn)
}

// Reasoning without words is of use all the same: its state is what the model goes on from. It has to come back,
// whether the upstream streams or not.
func TestReasoningStateWithoutWordsComesBack(t *testing.T) {
	t.Parallel()
	block := func(start string, deltas ...string) []string {
		events := []string{`{"type":"content_block_start","index":0,"content_block":` + start + `}`}
		for _, d := range deltas {
			events = append(events, `{"type":"content_block_delta","index":0,"delta":`+d+`}`)
		}
		return append(events, `{"type":"content_block_stop","index":0}`,
			`{"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}}`,
			`{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"Hello"}}`, `{"type":"content_block_stop","index":1}`)
	}
	const thinking = `{"type":"thinking","thinking":"","signature":""}`
	const signed = `{"type":"signature_delta","signature":"EqSignature"}`
	empty := `{"id":"rs_1","type":"reasoning","summary":[],"encrypted_content":"gAAAAblob"}`
	said, item := rText(1, "Hello")
	for _, answer := range []struct {
		name, stream, upstream, state string
	}{
		{"signature with thoughts", messagesStream(block(thinking, `{"type":"thinking_delta","thinking":"Hm."}`, signed), "end_turn"), "messages", `"signature":"EqSignature"`},
		{"signature alone", messagesStream(block(thinking, signed), "end_turn"), "messages", `"signature":"EqSignature"`},
		{"redacted thinking", messagesStream(block(`{"type":"redacted_thinking","data":"EqRedacted"}`), "end_turn"), "messages", `"data":"EqRedacted"`},
		{"encrypted reasoning", responsesStream(append([]string{
			`{"type":"response.output_item.added","output_index":0,"item":{"id":"rs_1","type":"reasoning","summary":[]}}`,
			`{"type":"response.output_item.done","output_index":0,"item":` + empty + `}`,
		}, said...), empty+","+item, "completed"), "responses", `"encrypted_content":"gAAAAblob"`},
		{"opaque reasoning", chatStream([]string{`{"role":"assistant","content":""}`, `{"content":"","reasoning_opaque":"opaque-blob"}`, `{"content":"Hello"}`}, "stop"), "chat", `"reasoning_opaque":"opaque-blob"`},
	} {
		for clientName, again := range secondTurns() {
			for _, whole := range []bool{false, true} {
				for _, streamed := range []bool{false, true} {
					if streamed && clientName != "messages" {
						continue // what others stream says the same as their plain answer: TestEveryClientUnderstandsEveryModel
					}
					t.Run(fmt.Sprintf("%s/%s client/upstream whole=%t, client streamed=%t", answer.name, clientName, whole, streamed), func(t *testing.T) {
						t.Parallel()
						var last string
						var mu sync.Mutex
						w := newWorld(t, false, func(rw http.ResponseWriter, r *http.Request) {
							b, _ := io.ReadAll(r.Body)
							mu.Lock()
							defer mu.Unlock()
							last = string(b)
							if whole || !gjson.GetBytes(b, "stream").Bool() {
								codec := codecs()[answer.upstream]
								_, body := plainOf(t, codec, codec, answer.stream)
								plain(rw, 200, string(body))
								return
							}
							stream(rw, answer.stream)
						}, speaking(endpoints()[answer.upstream]))
						client := askers()[clientName]
						first := text(t, w.post(client.path("m", streamed), client.body("m", streamed)))
						turn := gjson.Parse(first)
						if streamed {
							turn = gjson.Parse(`{"content":` + turnOf(t, first) + `}`)
						}
						text(t, w.post(client.path("m", false), again(turn)))
						mu.Lock()
						defer mu.Unlock()
						if !strings.Contains(last, answer.state) || !strings.Contains(last, "go-on") {
							t.Errorf("the second request lacks %s: %s\nfirst answer %s", answer.state, last, first)
						}
					})
				}
			}
		}
	}
}

func codecs() map[string]interface {
	dialect.Upstream
	dialect.Client
} {
	return map[string]interface {
		dialect.Upstream
		dialect.Client
	}{"chat": chatcodec.Codec{}, "responses": responsescodec.Codec{}, "messages": messagescodec.Codec{}}
}

// Blocks of Messages are counted by what the client sees, not by the upstream's items: some of those are not for it, and
// some upstreams leave gaps.
func TestBlocksAreCountedByWhatTheClientSees(t *testing.T) {
	t.Parallel()
	said, item := rText(4, "Hello")
	added, args, done, call := rCall(7, "call_1", `{"at":"a"}`)
	events := append([]string{
		`{"type":"response.output_item.added","output_index":0,"item":{"id":"rs_1","type":"reasoning","summary":[]}}`,
		`{"type":"response.output_item.done","output_index":0,"item":{"id":"rs_1","type":"reasoning","summary":[]}}`,
		`{"type":"response.output_item.added","output_index":2,"item":{"id":"ws_1","type":"web_search_call","status":"in_progress"}}`,
		`{"type":"response.output_item.done","output_index":2,"item":{"id":"ws_1","type":"web_search_call","status":"completed"}}`,
	}, said...)
	w := newWorld(t, false, func(rw http.ResponseWriter, _ *http.Request) {
		stream(rw, responsesStream(append(events, added, args, done), item+","+call, "completed"))
	}, speaking(dialect.EndpointResponses))
	client := askers()["messages"]
	raw := text(t, w.post(client.path("m", true), client.body("m", true)))
	if turn := gjson.Parse(turnOf(t, raw)); turn.Get("0.text").Str != "Hello" || turn.Get("1.name").Str != "look" || turn.Get("#").Int() != 2 {
		t.Errorf("got %s of\n%s", turn.Raw, raw)
	}
}

// Newer reasoning models refuse tools together with an effort on Chat, and take both on Responses.
func TestToolsWithAnEffortGoWhereTheModelTakesBoth(t *testing.T) {
	t.Parallel()
	const tools = `"tools":[{"type":"function","function":{"name":"look"}}],`
	for _, tc := range []struct {
		name, more string
		speaks     []dialect.Endpoint
		want       string
	}{
		{"both", tools + `"reasoning_effort":"low",`, allEndpoints, "/responses"},
		{"no effort", tools, allEndpoints, "/chat/completions"},
		{"effort none", tools + `"reasoning_effort":"none",`, allEndpoints, "/chat/completions"},
		{"no tools", `"tools":[],"reasoning_effort":"low",`, allEndpoints, "/chat/completions"},
		{"a model without Responses", tools + `"reasoning_effort":"low",`, []dialect.Endpoint{dialect.EndpointChat}, "/chat/completions"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var asked string
			w := newWorld(t, false, func(rw http.ResponseWriter, r *http.Request) {
				asked = r.URL.Path
				if asked == "/responses" {
					stream(rw, scenarios()["text"].responses)
					return
				}
				plain(rw, 200, answer)
			}, speaking(tc.speaks...))
			resp := w.post("/v1/chat/completions", `{"model":"m",`+tc.more+`"messages":[{"role":"user","content":"hi"}]}`)
			if got := text(t, resp); resp.StatusCode != 200 || asked != tc.want || gjson.Get(got, "choices.0.message.role").Str != "assistant" {
				t.Errorf("asked %s, want %s: %d %s", asked, tc.want, resp.StatusCode, got)
			}
		})
	}
}

// Reasoning state is bound to the account that made it: another one would refuse the request for it.
func TestReasoningStateDoesNotGoToAnotherAccount(t *testing.T) {
	t.Parallel()
	thinking := scenarios()["thinking"]
	for clientName, again := range secondTurns() {
		t.Run(clientName+" client", func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			first := ""
			bodies := map[string]string{}
			w := newWorld(t, false, func(rw http.ResponseWriter, r *http.Request) {
				b, _ := io.ReadAll(r.Body)
				mu.Lock()
				defer mu.Unlock()
				account := r.Header.Get("X-Account")
				if first == "" {
					first = account
				} else if bodies[account] = string(b); account == first {
					plain(rw, 503, `{"error":{"message":"down"}}`)
					return
				}
				if gjson.GetBytes(b, "stream").Bool() {
					stream(rw, thinking.responses)
					return
				}
				codec := codecs()["responses"]
				_, body := plainOf(t, codec, codec, thinking.responses)
				plain(rw, 200, string(body))
			}, speaking(dialect.EndpointResponses), withAccounts("a", "b"))
			client := askers()[clientName]
			answered := gjson.Parse(text(t, w.post(client.path("m", false), client.body("m", false))))
			resp := w.post(client.path("m", false), again(answered))
			if resp.StatusCode != 200 {
				t.Fatalf("status %d: %s", resp.StatusCode, text(t, resp))
			}
			mu.Lock()
			defer mu.Unlock()
			for account, body := range bodies {
				if strings.Contains(body, "gAAAAblob") != (account == first) || strings.Contains(body, "dtr1.") || !strings.Contains(body, "go-on") {
					t.Errorf("%s, and %s made the state, was sent %s", account, first, body)
				}
			}
			if len(bodies) != 2 {
				t.Errorf("%d accounts were asked", len(bodies))
			}
		})
	}
}
