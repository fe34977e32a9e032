package router_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/tidwall/gjson"

	"detour/internal/dialect"
	"detour/providers"
	"detour/router"
)

const pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="

// talks are requests with instructions, a picture, a tool round whose result holds a picture, and a shape for the answer.
func talks() map[string]string {
	const shape = `{"type":"object","properties":{"value":{"type":"string"}},"required":["value"],"additionalProperties":false}`
	const schema = `{"type":"object","properties":{"at":{"type":"string"}},"required":["at"]}`
	uri := "data:image/png;base64," + pixel
	return map[string]string{
		"chat": `{"model":"m","messages":[{"role":"system","content":"be-brief"},{"role":"user","content":[{"type":"text","text":"see-this"},{"type":"image_url","image_url":{"url":"` + uri + `"}}]},
			{"role":"assistant","content":"i-look","tool_calls":[{"id":"call_1","type":"function","function":{"name":"look","arguments":"{\"at\":\"a\"}"}}]},
			{"role":"tool","tool_call_id":"call_1","content":[{"type":"text","text":"found-it"},{"type":"image_url","image_url":{"url":"` + uri + `"}}]},{"role":"user","content":"go-on"}],
			"tools":[{"type":"function","function":{"name":"look","parameters":` + schema + `}}],"tool_choice":"required","response_format":{"type":"json_schema","json_schema":{"name":"answer","schema":` + shape + `}}}`,
		"responses": `{"model":"m","instructions":"be-brief","input":[{"role":"user","content":[{"type":"input_text","text":"see-this"},{"type":"input_image","image_url":"` + uri + `"}]},
			{"type":"message","role":"assistant","content":[{"type":"output_text","text":"i-look","annotations":[]}]},{"type":"function_call","call_id":"call_1","name":"look","arguments":"{\"at\":\"a\"}"},
			{"type":"function_call_output","call_id":"call_1","output":[{"type":"input_text","text":"found-it"},{"type":"input_image","image_url":"` + uri + `"}]},{"role":"user","content":"go-on"}],
			"tools":[{"type":"function","name":"look","strict":false,"parameters":` + schema + `}],"tool_choice":"required","text":{"format":{"type":"json_schema","name":"answer","schema":` + shape + `}}}`,
		"messages": `{"model":"m","max_tokens":500,"system":"be-brief","messages":[{"role":"user","content":[{"type":"text","text":"see-this"},{"type":"image","source":{"type":"base64","media_type":"image/png","data":"` + pixel + `"}}]},
			{"role":"assistant","content":[{"type":"text","text":"i-look"},{"type":"tool_use","id":"call_1","name":"look","input":{"at":"a"}}]},
			{"role":"user","content":[{"type":"tool_result","tool_use_id":"call_1","content":[{"type":"text","text":"found-it"},{"type":"image","source":{"type":"base64","media_type":"image/png","data":"` + pixel + `"}}]},{"type":"text","text":"go-on"}]}],
			"tools":[{"name":"look","input_schema":` + schema + `}],"tool_choice":{"type":"any"},"output_config":{"format":{"type":"json_schema","schema":` + shape + `}}}`,
		"gemini": `{"systemInstruction":{"parts":[{"text":"be-brief"}]},"contents":[{"role":"user","parts":[{"text":"see-this"},{"inlineData":{"mimeType":"image/png","data":"` + pixel + `"}}]},
			{"role":"model","parts":[{"text":"i-look"},{"functionCall":{"id":"call_1","name":"look","args":{"at":"a"}}}]},
			{"role":"user","parts":[{"functionResponse":{"id":"call_1","name":"look","response":{"output":"found-it"},"parts":[{"inlineData":{"mimeType":"image/png","data":"` + pixel + `"}}]}},{"text":"go-on"}]}],
			"tools":[{"functionDeclarations":[{"name":"look","parametersJsonSchema":` + schema + `}]}],"toolConfig":{"functionCallingConfig":{"mode":"ANY"}},"generationConfig":{"responseMimeType":"application/json","responseJsonSchema":` + shape + `}}`,
	}
}

// captured is an upstream of one dialect that answers with stream and keeps what it was asked.
func captured(t *testing.T, endpoint dialect.Endpoint, answer string) (*world, func() gjson.Result) {
	t.Helper()
	var mu sync.Mutex
	var last []byte
	w := newWorld(t, false, func(rw http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		if pictures := bytes.Contains(b, []byte(pixel)); r.Header.Get("X-Vision") != strconv.FormatBool(pictures) {
			t.Errorf("pictures %t, and the provider is told %s", pictures, r.Header.Get("X-Vision"))
		}
		mu.Lock()
		last = b
		mu.Unlock()
		stream(rw, answer)
	}, func(c *router.Config, f *fake) {
		f.models = []providers.Model{{ID: "m", Picker: true, Endpoints: []dialect.Endpoint{endpoint}}}
	})
	return w, func() gjson.Result {
		mu.Lock()
		defer mu.Unlock()
		return gjson.ParseBytes(last)
	}
}

// Instructions, pictures, tool rounds, the choice among tools and the shape of the answer, from every dialect to every
// other one.
func TestWhatClientsSayReachesEveryModel(t *testing.T) {
	t.Parallel()
	text := scenarios()["text"]
	upstreams := map[string]struct {
		endpoint dialect.Endpoint
		answer   string
		choice   [2]string // path, value
		shape    string
	}{
		"chat":      {dialect.EndpointChat, text.chat, [2]string{"tool_choice", "required"}, "response_format.json_schema.schema.properties.value.type"},
		"responses": {dialect.EndpointResponses, text.responses, [2]string{"tool_choice", "required"}, "text.format.schema.properties.value.type"},
		"messages":  {dialect.EndpointMessages, text.messages, [2]string{"tool_choice.type", "any"}, "output_config.format.schema.properties.value.type"},
	}
	for clientName, body := range talks() {
		for upstreamName, up := range upstreams {
			if clientName == upstreamName {
				continue
			}
			t.Run(clientName+" client, "+upstreamName+" model", func(t *testing.T) {
				t.Parallel()
				w, asked := captured(t, up.endpoint, up.answer)
				resp := w.post(askers()[clientName].path("m", false), body)
				if resp.StatusCode != 200 {
					b, _ := io.ReadAll(resp.Body)
					t.Fatalf("status %d: %s", resp.StatusCode, b)
				}
				got := asked()
				last := -1
				for _, word := range []string{"be-brief", "see-this", "i-look", "found-it", "go-on"} {
					at := strings.Index(got.Raw, word)
					if at < 0 || at < last && word != "be-brief" && upstreamName != "messages" {
						t.Errorf("%q is at %d, behind it %d", word, at, last)
					}
					last = at
				}
				if n := strings.Count(got.Raw, pixel); n != 2 {
					t.Errorf("%d pictures, want 2", n)
				}
				if got.Get(up.choice[0]).Str != up.choice[1] || got.Get(up.shape).Str != "string" {
					t.Errorf("tool choice %s, shape %s", got.Get(up.choice[0]).Raw, got.Get(up.shape).Raw)
				}
				if t.Failed() {
					t.Log(got.Raw)
				}
			})
		}
	}
}

// secondTurns make the request of a second turn out of the answer to the first, as clients of each dialect do.
func secondTurns() map[string]func(answer gjson.Result) string {
	return map[string]func(answer gjson.Result) string{
		"chat": func(a gjson.Result) string {
			return fmt.Sprintf(`{"model":"m","messages":[{"role":"user","content":"hi"},%s,{"role":"user","content":"go-on"}]}`, a.Get("choices.0.message").Raw)
		},
		"responses": func(a gjson.Result) string {
			return fmt.Sprintf(`{"model":"m","store":false,"include":["reasoning.encrypted_content"],"input":[{"role":"user","content":"hi"},%s,{"role":"user","content":"go-on"}]}`, strings.Trim(a.Get("output").Raw, "[]"))
		},
		"messages": func(a gjson.Result) string {
			return fmt.Sprintf(`{"model":"m","max_tokens":500,"thinking":{"type":"adaptive"},"messages":[{"role":"user","content":"hi"},{"role":"assistant","content":%s},{"role":"user","content":"go-on"}]}`, a.Get("content").Raw)
		},
		"gemini": func(a gjson.Result) string {
			return fmt.Sprintf(`{"contents":[{"role":"user","parts":[{"text":"hi"}]},%s,{"role":"user","parts":[{"text":"go-on"}]}]}`, a.Get("candidates.0.content").Raw)
		},
	}
}

// Replay state of a model's reasoning survives in the histories of clients that cannot know it.
func TestReasoningStateComesBackToTheModelThatMadeIt(t *testing.T) {
	t.Parallel()
	thinking := scenarios()["thinking"]
	upstreams := map[string]struct {
		endpoint     dialect.Endpoint
		answer, blob string
	}{
		"chat":      {dialect.EndpointChat, thinking.chat, `"reasoning_opaque":"opaque-blob"`},
		"responses": {dialect.EndpointResponses, thinking.responses, `"encrypted_content":"gAAAAblob"`},
		"messages":  {dialect.EndpointMessages, thinking.messages, `"signature":"EqSignature"`},
	}
	again := secondTurns()
	for clientName, client := range askers() {
		for upstreamName, up := range upstreams {
			if clientName == upstreamName {
				continue
			}
			t.Run(clientName+" client, "+upstreamName+" model", func(t *testing.T) {
				t.Parallel()
				w, asked := captured(t, up.endpoint, up.answer)
				answer := text(t, w.post(client.path("m", false), client.body("m", false)))
				if strings.Contains(answer, strings.SplitN(up.blob, ":", 2)[1]) {
					t.Errorf("the state is not sealed, so that any client could say it was this model's: %s", answer)
				}
				next := text(t, w.post(client.path("m", false), again[clientName](gjson.Parse(answer))))
				if got := asked().Raw; !strings.Contains(got, up.blob) || !strings.Contains(got, "go-on") {
					t.Errorf("the second request lacks %s: %s\nfirst answer %s\nsecond %s", up.blob, got, answer, next)
				}
			})
		}
	}
}
