package gemini_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"testing"

	"google.golang.org/genai"

	"detour/internal/dialect"
	"detour/internal/dialect/gemini"
	"detour/internal/llm"
)

// service answers the official SDK with events, and keeps what it asked.
type service struct {
	events []llm.Event
	fail   *dialect.Failure // instead of an answer
	raw    []byte           // instead of an encoded stream
	asked  *llm.Request
	peek   dialect.Peek
	err    error
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	c, method, ok := gemini.Operation(r.URL.Path, r.URL.Query().Get("alt"))
	if !ok {
		s.err = errors.New("path " + r.URL.Path)
		http.NotFound(w, r)
		return
	}
	if s.peek, s.err = c.Peek(body); s.err == nil {
		if method == gemini.Count {
			s.asked, s.err = c.DecodeCount(body)
		} else {
			s.asked, s.err = c.DecodeRequest(body)
		}
	}
	failure, _ := errors.AsType[*dialect.Failure](s.err)
	if s.fail != nil {
		failure = s.fail
	}
	w.Header().Set("Content-Type", "application/json")
	switch {
	case failure != nil:
		w.WriteHeader(failure.StatusFor(dialect.Gemini))
		_, _ = w.Write(c.AppendError(nil, *failure))
	case method == gemini.Count:
		_, _ = w.Write(c.AppendCount(nil, 42))
	case method == gemini.Stream:
		w.Header().Set("Content-Type", c.ContentType())
		if s.raw != nil {
			_, _ = w.Write(s.raw)
			return
		}
		e := c.NewEncoder(dialect.AnswerOptions{Request: s.asked, Model: s.asked.Model, ID: "minted"})
		out := e.Ping(nil)
		for _, ev := range s.events {
			out = e.Ping(e.Encode(out, ev))
		}
		_, _ = w.Write(out)
	default:
		var f llm.Folder
		for _, ev := range s.events {
			f.Add(ev)
		}
		a, _ := f.Answer()
		_, _ = w.Write(c.EncodeAnswer(nil, a, dialect.AnswerOptions{Request: s.asked, Model: s.asked.Model}))
	}
}

// client starts s and returns the SDK's way to it.
func client(t *testing.T, s *service) *genai.Client {
	t.Helper()
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	c, err := genai.NewClient(t.Context(), &genai.ClientConfig{
		APIKey: "dummy", Backend: genai.BackendGeminiAPI, HTTPClient: server.Client(),
		HTTPOptions: genai.HTTPOptions{BaseURL: server.URL},
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// heard is what the SDK made of an answer.
type heard struct {
	text, thoughts string
	signatures     []string
	calls          []*genai.FunctionCall
	finish         genai.FinishReason
	usage          *genai.GenerateContentResponseUsageMetadata
	parts          []*genai.Part
}

func (h *heard) add(r *genai.GenerateContentResponse) {
	if r.UsageMetadata != nil {
		h.usage = r.UsageMetadata
	}
	for _, c := range r.Candidates {
		if c.FinishReason != "" {
			h.finish = c.FinishReason
		}
		for _, p := range c.Content.Parts {
			h.parts = append(h.parts, p)
			switch {
			case p.FunctionCall != nil:
				h.calls = append(h.calls, p.FunctionCall)
			case p.Thought:
				h.thoughts += p.Text
			default:
				h.text += p.Text
			}
			if p.ThoughtSignature != nil {
				h.signatures = append(h.signatures, string(p.ThoughtSignature))
			}
		}
	}
}

// hear asks once streamed and once whole.
func hear(ctx context.Context, c *genai.Client, config *genai.GenerateContentConfig, stream bool) (heard, error) {
	var h heard
	contents := genai.Text("hi")
	if !stream {
		r, err := c.Models.GenerateContent(ctx, "gemini-x", contents, config)
		if err == nil {
			h.add(r)
		}
		return h, err
	}
	for r, err := range c.Models.GenerateContentStream(ctx, "gemini-x", contents, config) {
		if err != nil {
			return h, err
		}
		h.add(r)
	}
	return h, nil
}

func TestOfficialSDKHearsWhatWasMeant(t *testing.T) {
	t.Parallel()
	usage := llm.Usage{Input: 10, CacheRead: 4, Output: 9, Reasoning: 3, Reported: true}
	type parts = []llm.Part
	call := func(id, name, args string) llm.Part {
		return llm.Part{Kind: llm.PartCall, Call: &llm.Call{ID: id, Name: name, Arguments: args}}
	}
	for name, tc := range map[string]struct {
		parts  parts
		stop   llm.Stop
		want   heard
		finish genai.FinishReason
	}{
		"text": {parts{{Kind: llm.PartText, Text: "Hel"}, {Kind: llm.PartText, Text: "lo\n\u2028"}}, llm.StopEnd, heard{text: "Hello\n\u2028"}, genai.FinishReasonStop},
		"parallel tools": {
			parts{{Kind: llm.PartText, Text: "I look."}, call("c1", "f", `{"a": {"b": [1, "x"]}}`), call("c2", "f", ``)}, llm.StopTool,
			heard{text: "I look.", calls: []*genai.FunctionCall{
				{ID: "c1", Name: "f", Args: map[string]any{"a": map[string]any{"b": []any{1.0, "x"}}}}, {ID: "c2", Name: "f", Args: map[string]any{}},
			}}, genai.FinishReasonStop,
		},
		"thinking with signature": {
			parts{{Kind: llm.PartThinking, Text: "hm", Opaque: llm.Opaque{Kind: llm.OpaqueCarrier, Value: "dtr1.a.m.é"}}, call("c", "f", `{}`)}, llm.StopTool,
			heard{thoughts: "hm", signatures: []string{"dtr1.a.m.é"}, calls: []*genai.FunctionCall{{ID: "c", Name: "f", Args: map[string]any{}}}}, genai.FinishReasonStop,
		},
		"signature without text": {
			parts{{Kind: llm.PartThinking, Opaque: llm.Opaque{Kind: llm.OpaqueCarrier, Value: "dtr1.r.1"}}, {Kind: llm.PartThinking, Opaque: llm.Opaque{Kind: llm.OpaqueCarrier, Value: "dtr1.r.2"}}}, llm.StopEnd,
			heard{signatures: []string{"dtr1.r.1", "dtr1.r.2"}}, genai.FinishReasonStop,
		},
		"refusal":      {parts{{Kind: llm.PartRefusal, Text: "No."}}, llm.StopFilter, heard{text: "No."}, genai.FinishReasonSafety},
		"length":       {parts{{Kind: llm.PartText, Text: "Hel"}, call("c", "f", `{"a":`)}, llm.StopLength, heard{text: "Hel"}, genai.FinishReasonMaxTokens},
		"empty answer": {nil, llm.StopEnd, heard{}, genai.FinishReasonStop},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := &llm.Answer{ID: "r1", Model: "up", Parts: tc.parts, Stop: tc.stop, Usage: usage}
			s := &service{events: a.Replay(nil)}
			c := client(t, s)
			config := &genai.GenerateContentConfig{ThinkingConfig: &genai.ThinkingConfig{IncludeThoughts: true}}
			for _, stream := range []bool{true, false} {
				got, err := hear(t.Context(), c, config, stream)
				if err != nil {
					t.Fatalf("stream %v: %v", stream, err)
				}
				if got.text != tc.want.text || got.thoughts != tc.want.thoughts || got.finish != tc.finish ||
					!reflect.DeepEqual(got.signatures, tc.want.signatures) || !reflect.DeepEqual(got.calls, tc.want.calls) {
					t.Errorf("stream %v: got %+v, want %+v and %s", stream, got, tc.want, tc.finish)
				}
				if u := got.usage; u == nil || u.PromptTokenCount != 14 || u.CandidatesTokenCount != 6 || u.ThoughtsTokenCount != 3 || u.CachedContentTokenCount != 4 || u.TotalTokenCount != 23 {
					t.Errorf("stream %v: usage %+v", stream, u)
				}
				if s.asked.Stream != stream || s.peek.Stream != stream || s.peek.Model != "gemini-x" || s.peek.Initiator != llm.InitiatorUser {
					t.Errorf("stream %v: asked %+v, peek %+v", stream, s.asked, s.peek)
				}
			}
		})
	}
}

func TestOfficialSDKSeesErrors(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		s      *service
		code   int
		status string
	}{
		"before the stream":   {&service{fail: &dialect.Failure{Status: 429, Message: "slow down"}}, 429, "RESOURCE_EXHAUSTED"},
		"inside the stream":   {&service{events: []llm.Event{{Kind: llm.EventStart}, {Kind: llm.EventBlock, Part: &llm.Part{}}, {Kind: llm.EventText, Delta: []byte("Hel")}, {Kind: llm.EventFailure, Err: &dialect.Failure{Status: 529, Message: "busy"}}}}, 503, "UNAVAILABLE"},
		"first in the stream": {&service{events: []llm.Event{{Kind: llm.EventFailure, Err: io.ErrUnexpectedEOF}}}, 502, "UNAVAILABLE"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := hear(t.Context(), client(t, tc.s), nil, true)
			e, ok := errors.AsType[genai.APIError](err)
			if !ok || e.Code != tc.code || e.Status != tc.status {
				t.Errorf("got %#v, want %d %s", err, tc.code, tc.status)
			}
		})
	}
}

// The SDK is an oracle for requests too: what its options mean is known from its own documentation.
func TestOfficialSDKRequestIsUnderstood(t *testing.T) {
	t.Parallel()
	s := &service{events: (&llm.Answer{Stop: llm.StopEnd}).Replay(nil)}
	c := client(t, s)
	config := &genai.GenerateContentConfig{
		SystemInstruction: genai.NewContentFromText("Be brief.", genai.RoleUser),
		Temperature:       genai.Ptr[float32](0.5), TopP: genai.Ptr[float32](0.25), TopK: genai.Ptr[float32](40),
		MaxOutputTokens: 100, StopSequences: []string{"END"}, Seed: genai.Ptr[int32](7),
		ResponseMIMEType: "application/json", ResponseSchema: &genai.Schema{Type: genai.TypeObject, Properties: map[string]*genai.Schema{"x": {Type: genai.TypeString, Nullable: new(true)}}},
		ThinkingConfig: &genai.ThinkingConfig{ThinkingLevel: genai.ThinkingLevelHigh},
		SafetySettings: []*genai.SafetySetting{{Category: genai.HarmCategoryHarassment, Threshold: genai.HarmBlockThresholdBlockNone}},
		Tools:          []*genai.Tool{{FunctionDeclarations: []*genai.FunctionDeclaration{{Name: "f", Description: "d", Parameters: &genai.Schema{Type: genai.TypeObject, Properties: map[string]*genai.Schema{"n": {Type: genai.TypeArray, MinItems: genai.Ptr[int64](2), Items: &genai.Schema{Type: genai.TypeInteger}}}}}}}},
		ToolConfig:     &genai.ToolConfig{FunctionCallingConfig: &genai.FunctionCallingConfig{Mode: genai.FunctionCallingConfigModeAny, AllowedFunctionNames: []string{"f"}}},
	}
	contents := []*genai.Content{
		genai.NewContentFromText("hi", genai.RoleUser),
		{Role: genai.RoleModel, Parts: []*genai.Part{{FunctionCall: &genai.FunctionCall{ID: "c", Name: "f", Args: map[string]any{"n": []int{1, 2}}}, ThoughtSignature: []byte("dtr1.a.b.c")}}},
		{Role: genai.RoleUser, Parts: []*genai.Part{genai.NewPartFromFunctionResponse("f", map[string]any{"output": "ok"}), genai.NewPartFromBytes([]byte("hi"), "image/png")}},
	}
	if _, err := c.Models.GenerateContent(t.Context(), "gemini-x", contents, config); err != nil {
		t.Fatal(err)
	}
	want := `model "gemini-x" stream false source gemini
system text "Be brief."
turn user
  text "hi"
turn assistant
  thinking opaque ? "dtr1.a.b.c"
  call "c" f {"n":[1,2]}
turn user
  result of "c" f error false [text "ok"]
  image {Type:image/png Data:aGk= URL: FileID: Name: Detail: Text:}
tool kind 0 "f" type "" description "d"
  schema {"properties":{"n":{"items":{"type":"integer"},"minItems":2,"type":"array"}},"type":"object"}
choice {Mode:4 Names:[f] Must:false}
max 100 stop ["END"] candidates 0 temperature 0.5 top_p 0.25 top_k 40
reasoning {Effort:high Budget:0 Adaptive:false Disabled:false Hidden:true Summary: Display: Encrypted:false}
output format "json_schema" schema {"properties":{"x":{"type":["string","null"]}},"type":"object"}
extra generationConfig.seed 7
extra safetySettings [{"category":"HARM_CATEGORY_HARASSMENT","threshold":"BLOCK_NONE"}]
`
	if got := printRequest(s.asked); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if !s.peek.Vision || s.peek.Initiator != llm.InitiatorAgent {
		t.Errorf("peek %+v", s.peek)
	}
}

func TestOfficialSDKCountsTokens(t *testing.T) {
	t.Parallel()
	s := &service{}
	r, err := client(t, s).Models.CountTokens(t.Context(), "gemini-x", genai.Text("hi"), nil)
	if err != nil || r.TotalTokens != 42 || s.asked == nil || len(s.asked.Turns) != 1 || s.asked.Model != "gemini-x" {
		t.Errorf("got %+v, %v; asked %+v", r, err, s.asked)
	}
}

// The SDK's own chat keeps every chunk and sends it back.
func TestOfficialSDKChatSendsTheAnswerBack(t *testing.T) {
	t.Parallel()
	a := &llm.Answer{Stop: llm.StopTool, Parts: []llm.Part{
		{Kind: llm.PartThinking, Text: "hm", Opaque: llm.Opaque{Kind: llm.OpaqueCarrier, Value: "dtr1.a.x"}},
		{Kind: llm.PartText, Text: "I look."},
		{Kind: llm.PartCall, Call: &llm.Call{ID: "c", Name: "f", Arguments: `{"a":1}`}},
	}}
	s := &service{events: a.Replay(nil)}
	chat, err := client(t, s).Chats.Create(t.Context(), "gemini-x", &genai.GenerateContentConfig{ThinkingConfig: &genai.ThinkingConfig{IncludeThoughts: true}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		for _, err := range chat.SendMessageStream(t.Context(), genai.Part{Text: "hi"}) {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(s.asked.Turns) != 3 || !reflect.DeepEqual(s.asked.Turns[1].Parts, a.Parts) {
		t.Errorf("got\n%s", printRequest(s.asked))
	}
}

// What the SDK is known to refuse must be refused here too, or the oracle says nothing.
func TestOfficialSDKOnRecordedStreams(t *testing.T) {
	t.Parallel()
	for name, ok := range map[string]bool{
		"00_ok": true, "01_comment": false, "02_blank_keepalive": false, "03_event_line": false, "04_done": false, "05_error": false,
		"06_parts_missing": true, "07_no_content": true, "08_crlf": true, "09_blank_keepalive_lead": true,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			raw, err := os.ReadFile("testdata/" + name + ".sse")
			if err != nil {
				t.Fatal(err)
			}
			_, err = chunks(t, client(t, &service{raw: raw}))
			if (err == nil) != ok {
				t.Errorf("got %v", err)
			}
		})
	}
}

func chunks(t *testing.T, c *genai.Client) (n int, err error) {
	for _, err := range c.Models.GenerateContentStream(t.Context(), "m", genai.Text("hi"), nil) {
		if err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// The recorded stream of a good answer and the one that is written for the same events say the same.
func TestWrittenStreamSaysWhatTheRecordedOneSays(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("testdata/00_ok.sse")
	if err != nil {
		t.Fatal(err)
	}
	a := &llm.Answer{ID: "r1", Model: "gemini-x", Stop: llm.StopTool, Usage: llm.Usage{Input: 10, CacheRead: 4, Output: 11, Reasoning: 2, Reported: true}, Parts: []llm.Part{
		{Kind: llm.PartThinking, Text: "thinking"}, {Kind: llm.PartText, Text: "Hel"}, {Kind: llm.PartText, Text: "lo"},
		{Kind: llm.PartCall, Call: &llm.Call{ID: "c1", Name: "Read", Arguments: `{"path":"a"}`}},
	}}
	want := readStream(t, raw, false)
	got := readStream(t, encode(gemini.Codec{}, dialect.AnswerOptions{}, a.Replay(nil)), false)
	want.parts[3].ThoughtSignature = nil // of the service itself
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

func TestOperation(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"/v1beta/models/gemini-x:generateContent":        "gemini-x generateContent {Model:gemini-x Stream:false Array:false}",
		"/v1/models/gemini-x:streamGenerateContent":      "gemini-x streamGenerateContent {Model:gemini-x Stream:true Array:true}",
		"/v1beta/models/a/b:c:countTokens":               "a/b:c countTokens {Model:a/b:c Stream:false Array:false}",
		"/v1beta/models/x:embedContent":                  "",
		"/v1beta/models/:generateContent":                "",
		"/v1beta/models/gemini-x":                        "",
		"/v1beta/models":                                 "",
		"/v2/models/x:generateContent":                   "",
		"/v1beta/models/gemini-x:streamGenerateContent/": "",
	} {
		c, m, ok := gemini.Operation(path, "")
		got := ""
		if ok {
			got = c.Model + " " + string(m) + " " + fmt.Sprintf("%+v", c)
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
	if c, _, _ := gemini.Operation("/v1beta/models/x:streamGenerateContent", "sse"); c.Array || !c.Stream || c.ContentType() != "text/event-stream" {
		t.Errorf("alt=sse: %+v", c)
	}
}
