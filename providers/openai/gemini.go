package openai

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
	"github.com/tidwall/sjson"

	"detour/internal/dialect"
	"detour/internal/llm"
	"detour/providers"
	"detour/providers/keyed"
)

// Gemini is the OpenAI-compatible surface of generativelanguage.googleapis.com.
func Gemini(o keyed.Options) *keyed.Provider {
	return keyed.New(keyed.Service{
		Name: NameGemini, Title: "Gemini", Base: "https://generativelanguage.googleapis.com/v1beta/openai",
		Paths:     paths(dialect.EndpointChat, dialect.EndpointEmbeddings),
		Variables: []string{"GEMINI_API_KEY", "GOOGLE_API_KEY"}, KeyPage: "https://aistudio.google.com/apikey",
		Metadata: "google",
		Dialects: chatOr,
		Target: func(m providers.Model) dialect.Target {
			t := dialect.Target{Model: m.ID, MaxOutput: m.MaxOutput, MaxTokensOld: true, UsageIfAsked: true}
			if m.Reasons {
				t.Efforts = []llm.Effort{llm.EffortLow, llm.EffortMedium, llm.EffortHigh}
			}
			return t
		},
		Parse: parseGemini, Edit: editGemini,
	}, o)
}

// parseGemini takes the word that Google puts before ids, and leaves out what neither chats nor embeds.
func parseGemini(_ gjson.Result, m *providers.Model) bool {
	m.ID = strings.TrimPrefix(m.ID, "models/")
	for _, kind := range []string{"imagen", "veo", "tts", "-image", "aqa", "native-audio", "-live", "lyria"} {
		if strings.Contains(m.ID, kind) {
			return false
		}
	}
	return true
}

// anySignature is what Google documents for calls that come without a signature from somewhere else.
const anySignature = `{"google":{"thought_signature":"skip_thought_signature_validator"}}`

// editGemini applies the edit of the gemini service.
func editGemini(c *providers.Call) ([]byte, error) {
	if c.Endpoint != dialect.EndpointChat || !strings.HasPrefix(c.Model.ID, "gemini-3") || !bytes.Contains(c.Body, []byte(`"tool_calls"`)) {
		return c.Body, nil
	}
	body := c.Body
	for i, m := range gjson.GetBytes(c.Body, "messages").Array() {
		call := m.Get("tool_calls.0")
		if !call.IsObject() || call.Get("extra_content").Exists() {
			continue
		}
		edited, err := sjson.SetRawBytes(body, "messages."+strconv.Itoa(i)+".tool_calls.0.extra_content", []byte(anySignature))
		if err != nil {
			return c.Body, nil
		}
		body = edited
	}
	return body, nil
}
