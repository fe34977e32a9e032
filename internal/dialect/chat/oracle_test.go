package chat_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"

	"detour/internal/dialect"
	"detour/internal/dialect/chat"
	"detour/internal/llm"
)

// sdk answers requests of the official client with a body.
func sdk(t *testing.T, contentType string, body []byte) openai.Client {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		_, _ = w.Write(body)
	}))
	t.Cleanup(s.Close)
	return openai.NewClient(option.WithBaseURL(s.URL), option.WithAPIKey("none"), option.WithMaxRetries(0))
}

// sdkStream is what the official client makes of a stream.
func sdkStream(t *testing.T, stream []byte) (*openai.ChatCompletionAccumulator, error) {
	t.Helper()
	client := sdk(t, "text/event-stream", stream)
	s := client.Chat.Completions.NewStreaming(t.Context(), openai.ChatCompletionNewParams{Model: "m"})
	acc := &openai.ChatCompletionAccumulator{}
	for s.Next() {
		if !acc.AddChunk(s.Current()) {
			t.Errorf("the accumulator refuses %s", s.Current().RawJSON())
		}
	}
	return acc, s.Err()
}

func sdkAnswer(t *testing.T, body []byte) (*openai.ChatCompletion, error) {
	t.Helper()
	client := sdk(t, "application/json", body)
	return client.Chat.Completions.New(t.Context(), openai.ChatCompletionNewParams{Model: "m"})
}

// meant is what a client should see of an answer.
type meant struct {
	content, refusal, thought, opaque, finish string
	calls                                     []llm.Call
	usage                                     [5]int64 // prompt, completion, total, cached, reasoning
}

func meaning(a llm.Answer) meant {
	m := meant{finish: map[llm.Stop]string{
		llm.StopEnd: "stop", llm.StopTool: "tool_calls", llm.StopLength: "length", llm.StopFilter: "content_filter",
	}[a.Stop]}
	for _, p := range a.Parts {
		switch p.Kind {
		case llm.PartText:
			m.content += p.Text
		case llm.PartRefusal:
			m.refusal += p.Text
		case llm.PartThinking:
			m.thought += p.Text
			m.opaque = p.Opaque.Value
		case llm.PartCall:
			m.calls = append(m.calls, *p.Call)
		}
	}
	u := a.Usage
	prompt := u.Input + u.CacheRead + u.CacheWrite
	m.usage = [5]int64{prompt, u.Output, prompt + u.Output, u.CacheRead, u.Reasoning}
	return m
}

func checkMeaning(t *testing.T, c *openai.ChatCompletion, want meant) {
	t.Helper()
	if len(c.Choices) != 1 {
		t.Fatalf("%d choices", len(c.Choices))
	}
	got := c.Choices[0]
	if c.ID != "chatcmpl-1" || c.Model != "asked-for" || c.Created != 1700000000 {
		t.Errorf("id %q model %q created %d", c.ID, c.Model, c.Created)
	}
	if got.Message.Content != want.content || got.Message.Refusal != want.refusal || got.FinishReason != want.finish {
		t.Errorf("got %q, %q, %q; want %+v", got.Message.Content, got.Message.Refusal, got.FinishReason, want)
	}
	if len(got.Message.ToolCalls) != len(want.calls) {
		t.Fatalf("%d calls, want %d", len(got.Message.ToolCalls), len(want.calls))
	}
	for i, call := range got.Message.ToolCalls {
		if w := want.calls[i]; call.ID != w.ID || call.Function.Name != w.Name || call.Function.Arguments != w.Arguments {
			t.Errorf("call %d is %s, want %+v", i, call.RawJSON(), w)
		}
	}
	u := c.Usage
	if usage := [5]int64{u.PromptTokens, u.CompletionTokens, u.TotalTokens, u.PromptTokensDetails.CachedTokens,
		u.CompletionTokensDetails.ReasoningTokens}; usage != want.usage {
		t.Errorf("usage %v, want %v", usage, want.usage)
	}
}

func TestOfficialClientUnderstandsAnswers(t *testing.T) {
	t.Parallel()
	for name, a := range answers() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a.ID, a.Model = "chatcmpl-1", "upstream"
			want := meaning(a)
			acc, err := sdkStream(t, encodeStream(a.Replay(nil), options()))
			if err != nil {
				t.Fatal(err)
			}
			checkMeaning(t, &acc.ChatCompletion, want)
			whole, err := sdkAnswer(t, chat.Codec{}.EncodeAnswer(nil, &a, options()))
			if err != nil {
				t.Fatal(err)
			}
			checkMeaning(t, whole, want)
			var message struct {
				Thought string `json:"reasoning_content"`
				Opaque  string `json:"reasoning_opaque"`
			}
			if err := json.Unmarshal([]byte(whole.Choices[0].Message.RawJSON()), &message); err != nil {
				t.Fatal(err)
			}
			if message.Thought != want.thought || message.Opaque != want.opaque {
				t.Errorf("reasoning %+v, want %q and %q", message, want.thought, want.opaque)
			}
		})
	}
}

func TestOfficialClientSeesFailures(t *testing.T) {
	t.Parallel()
	start := []llm.Event{
		{Kind: llm.EventStart, ID: "chatcmpl-1"}, {Kind: llm.EventBlock, Part: &llm.Part{}}, {Kind: llm.EventText, Delta: []byte("half")},
	}
	for name, err := range map[string]error{
		"named":     &dialect.Failure{Status: 429, Code: "rate_limited", Message: "slow down"},
		"truncated": nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			events := append(start[:3:3], llm.Event{Kind: llm.EventFailure, Err: err})
			_, got := sdkStream(t, encodeStream(events, options()))
			if got == nil || err != nil && !strings.Contains(got.Error(), "slow down") {
				t.Errorf("error %v", got)
			}
		})
	}
}

// TestOfficialClientUnderstandsFixtures sends each recorded stream that ends well through the codec.
func TestOfficialClientUnderstandsFixtures(t *testing.T) {
	t.Parallel()
	eachFixture(t, func(t *testing.T, _ string, in []byte) {
		events := decodeStream(bytes.NewReader(in))
		acc, err := sdkStream(t, encodeStream(events, options()))
		if last := events[len(events)-1]; last.Kind == llm.EventFailure {
			if err == nil {
				t.Error("the client sees no error")
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		want := meaning(*fold(t, events))
		for i := range want.calls {
			if want.calls[i].Kind == llm.ToolCustom {
				want.calls[i].Arguments = `{"input":"` + want.calls[i].Arguments + `"}`
			}
		}
		acc.ID = "chatcmpl-1"
		checkMeaning(t, &acc.ChatCompletion, want)
	})
}

// TestOfficialRequestsAreRead lets the official client write requests of every kind.
func TestOfficialRequestsAreRead(t *testing.T) {
	t.Parallel()
	var body []byte
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var b bytes.Buffer
		_, _ = b.ReadFrom(r.Body)
		body = b.Bytes()
		w.Header().Set("Content-Type", "application/json")
		a := answers()["text"]
		_, _ = w.Write(chat.Codec{}.EncodeAnswer(nil, &a, options()))
	}))
	defer s.Close()
	client := openai.NewClient(option.WithBaseURL(s.URL), option.WithAPIKey("none"))
	_, err := client.Chat.Completions.New(t.Context(), openai.ChatCompletionNewParams{
		Model: "m",
		Messages: []openai.ChatCompletionMessageParamUnion{
			openai.SystemMessage("sys"), openai.DeveloperMessage("dev"),
			openai.UserMessage([]openai.ChatCompletionContentPartUnionParam{
				openai.TextContentPart("see"),
				openai.ImageContentPart(openai.ChatCompletionContentPartImageImageURLParam{URL: "data:image/png;base64,aGk="}),
			}),
			{OfAssistant: &openai.ChatCompletionAssistantMessageParam{ToolCalls: []openai.ChatCompletionMessageToolCallUnionParam{
				{OfFunction: &openai.ChatCompletionMessageFunctionToolCallParam{
					ID: "c", Function: openai.ChatCompletionMessageFunctionToolCallFunctionParam{Name: "f", Arguments: "{}"},
				}},
			}}},
			openai.ToolMessage("r", "c"),
		},
		Tools: []openai.ChatCompletionToolUnionParam{
			openai.ChatCompletionFunctionTool(openai.FunctionDefinitionParam{Name: "f", Strict: openai.Bool(true)}),
			openai.ChatCompletionCustomTool(openai.ChatCompletionCustomToolCustomParam{Name: "g"}),
		},
		ToolChoice:      openai.ToolChoiceOptionFunctionToolChoice(openai.ChatCompletionNamedToolChoiceFunctionParam{Name: "f"}),
		ReasoningEffort: openai.ReasoningEffortHigh,
	})
	if err != nil {
		t.Fatal(err)
	}
	r, err := chat.Codec{}.DecodeRequest(body)
	if err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	if len(r.System) != 2 || len(r.Turns) != 3 || len(r.Turns[0].Parts) != 2 || len(r.Tools) != 2 ||
		r.Tools[1].Kind != llm.ToolCustom || r.Choice.Mode != llm.ChoiceOne || r.Reasoning.Effort != llm.EffortHigh {
		t.Errorf("read as\n%s\nfrom %s", printRequest(r), body)
	}
}
