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
	"detour/internal/sse"
	"detour/providers"
	"detour/router"
)

// needs says what of a stream some client of the dialect fails without, or goes round for ever. raw is a stream that
// ended well.
func needs(client, raw string) (missing []string) {
	var events []gjson.Result
	frames := sse.NewReader(strings.NewReader(raw))
	named := true
	for {
		f, err := frames.Next()
		if err != nil {
			break
		}
		if e := gjson.ParseBytes(f.Data); e.IsObject() {
			events = append(events, e)
			named = named && (string(f.Event) == e.Get("type").Str)
		}
	}
	want := func(what string, ok func(e gjson.Result) bool) {
		if slices.ContainsFunc(events, ok) {
			return
		}
		missing = append(missing, what)
	}
	is := func(typ string) func(gjson.Result) bool {
		return func(e gjson.Result) bool { return e.Get("type").Str == typ }
	}
	switch client {
	case "messages":
		if !named {
			missing = append(missing, "event lines")
		}
		want("message_start with usage", func(e gjson.Result) bool {
			return is("message_start")(e) && e.Get("message.usage.input_tokens").Exists()
		})
		want("content_block_start", is("content_block_start"))
		want("content_block_stop", is("content_block_stop"))
		want("stop_reason and usage", func(e gjson.Result) bool {
			return is("message_delta")(e) && e.Get("delta.stop_reason").Str != "" && e.Get("usage.output_tokens").Exists()
		})
		want("message_stop", is("message_stop"))
	case "chat":
		want("finish_reason", func(e gjson.Result) bool { return e.Get("choices.0.finish_reason").Str != "" })
		for _, e := range events {
			if !e.Get("choices").IsArray() || e.Get("id").Str == "" {
				missing = append(missing, "choices and id in "+e.Raw)
			}
		}
		if !strings.Contains(raw, "data: [DONE]") {
			missing = append(missing, "[DONE]")
		}
	case "responses":
		if first := events[0].Get("type").Str; first != "response.created" {
			missing = append(missing, "response.created at first, not "+first)
		}
		want("output_item.added", is("response.output_item.added"))
		want("output_item.done", is("response.output_item.done"))
		want("output_text.delta", is("response.output_text.delta"))
		want("response.completed with output and usage", func(e gjson.Result) bool {
			return is("response.completed")(e) && len(e.Get("response.output").Array()) > 0 && e.Get("response.usage.total_tokens").Exists()
		})
	case "gemini":
		want("finishReason", func(e gjson.Result) bool { return e.Get("candidates.0.finishReason").Str != "" })
	}
	return missing
}

// Whatever an upstream leaves out or repeats, a client gets all that clients need, or an error: never a stream that
// just stops being.
func TestStreamsHaveWhatClientsNeedWhateverUpstreamsLeaveOut(t *testing.T) {
	t.Parallel()
	text := scenarios()["text"]
	streams := map[string]string{"chat": text.chat, "responses": text.responses, "messages": text.messages}
	for upstreamName, whole := range streams {
		frames := strings.SplitAfter(strings.TrimSuffix(whole, "\n\n"), "\n\n")
		variants := map[string]string{
			"nothing changed":    whole,
			"no event lines":     eventLine(whole, ""),
			"[DONE] at the end":  strings.TrimSuffix(whole, "data: [DONE]\n\n") + "data: [DONE]\n\n",
			"a comment in front": ": hello\n\n" + whole,
			"CRLF":               strings.ReplaceAll(whole, "\n", "\r\n"),
			"no last line":       strings.TrimSuffix(whole, "\n\n"),
		}
		for i := range frames {
			variants[fmt.Sprintf("without frame %d", i)] = strings.Join(append(append([]string{}, frames[:i]...), frames[i+1:]...), "") + "\n\n"
			variants[fmt.Sprintf("cut behind frame %d", i)] = strings.Join(frames[:i+1], "")
		}
		for clientName, client := range askers() {
			t.Run(clientName+" client, "+upstreamName+" model", func(t *testing.T) {
				t.Parallel()
				var say string
				w := newWorld(t, false, func(rw http.ResponseWriter, r *http.Request) {
					_, _ = io.Copy(io.Discard, r.Body)
					stream(rw, say)
				}, func(c *router.Config, f *fake) {
					f.models = []providers.Model{{ID: "m", Picker: true, Endpoints: []dialect.Endpoint{map[string]dialect.Endpoint{
						"chat": dialect.EndpointChat, "responses": dialect.EndpointResponses, "messages": dialect.EndpointMessages,
					}[upstreamName]}}}
					c.Retry.Connection, c.Retry.MaxWait, c.Pool.Cooldown = 1, 1, 1
				})
				for name, s := range variants { // one after the other: they share the upstream
					say = s
					resp := w.post(client.path("m", true), client.body("m", true))
					var raw bytes.Buffer
					resp.Body = io.NopCloser(io.TeeReader(resp.Body, &raw))
					if resp.StatusCode != 200 {
						_, _ = io.Copy(io.Discard, resp.Body)
						if name == "nothing changed" || !gjson.ValidBytes(raw.Bytes()) {
							t.Errorf("%s: status %d: %s", name, resp.StatusCode, &raw)
						}
						continue
					}
					got := client.stream(resp)
					_, _ = io.Copy(io.Discard, resp.Body)
					switch {
					case got.err && name != "nothing changed":
					case got.stop != "end" || got.err:
						t.Errorf("%s: heard %+v of\n%s", name, got, &raw)
					default:
						if lack := needs(clientName, raw.String()); lack != nil && got.text != "" {
							t.Errorf("%s: lacks %s:\n%s", name, lack, &raw)
						}
					}
				}
			})
		}
	}
}

// eventLine replaces every event: line of a stream.
func eventLine(s, with string) string {
	var b strings.Builder
	for line := range strings.Lines(s) {
		if strings.HasPrefix(line, "event:") {
			line = with
		}
		b.WriteString(line)
	}
	return b.String()
}
