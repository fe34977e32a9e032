package openai

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
	"github.com/tidwall/sjson"

	"detour/internal/dialect"
	"detour/providers"
	"detour/providers/keyed"
)

// Name is the id of OpenAI itself in configuration.
const Name = "openai"

// paths are OpenAI's own, below the address of an API of its kind.
func paths(endpoints ...dialect.Endpoint) map[dialect.Endpoint]string {
	all := map[dialect.Endpoint]string{dialect.EndpointModels: "/models"}
	for _, e := range endpoints {
		all[e] = "/" + string(e)
	}
	return all
}

// OpenAI is api.openai.com.
func OpenAI(o keyed.Options) *keyed.Provider {
	return keyed.New(keyed.Service{
		Name: Name, Title: "OpenAI", Base: "https://api.openai.com/v1",
		Paths:     paths(dialect.EndpointChat, dialect.EndpointResponses, dialect.EndpointCompact, dialect.EndpointEmbeddings),
		Variables: []string{"OPENAI_API_KEY"}, KeyPage: "https://platform.openai.com/api-keys",
		Passed:   []string{"OpenAI-Beta", "X-Codex-Turn-State"},
		Dialects: dialects, Target: target, Parse: parse, Edit: edit,
	}, o)
}

var (
	// reasoningModels refuse sampling parameters and take an effort.
	reasoningModels = regexp.MustCompile(`^(?:o\d|gpt-(?:[5-9]|\d\d)|codex-)`)
	// responsesOnly are models that are not served by chat/completions, and chatOnly those that nothing else serves.
	responsesOnly = regexp.MustCompile(`-codex|^codex-|-pro\b|deep-research|computer-use`)
	chatOnly      = regexp.MustCompile(`search-preview|search-api|audio`)
	// noText are models that neither chat nor embed.
	noText = regexp.MustCompile(`whisper|tts|dall-e|sora|realtime|transcribe|image|moderation|instruct|babbage|davinci`)
)

func reasons(id string) bool {
	return reasoningModels.MatchString(id) && !strings.Contains(id, "-chat")
}

// parse leaves out models that nothing here speaks to.
func parse(_ gjson.Result, m *providers.Model) bool {
	m.Reasons = reasons(m.ID)
	return !noText.MatchString(m.ID)
}

func dialects(m providers.Model) []dialect.Endpoint {
	switch {
	case responsesOnly.MatchString(m.ID):
		return []dialect.Endpoint{dialect.EndpointResponses}
	case chatOnly.MatchString(m.ID):
		return []dialect.Endpoint{dialect.EndpointChat}
	}
	return []dialect.Endpoint{dialect.EndpointResponses, dialect.EndpointChat}
}

// target is what OpenAI's models can be told. Free-text tools and the built-in shell and patch tools came with GPT-5.
func target(m providers.Model) dialect.Target {
	modern := strings.HasPrefix(m.ID, "gpt-") && reasons(m.ID)
	return dialect.Target{
		Model: m.ID, MaxOutput: m.MaxOutput, Reasons: reasons(m.ID),
		ToolImages: true, Files: true, UsageIfAsked: true,
		CustomTools: modern, Namespaces: modern, NativeTools: modern, Collaboration: true,
		HostedTools: []string{"web_search"},
	}
}

const encryptedReasoning = "reasoning.encrypted_content"

// edit applies the edits of the openai service.
func edit(c *providers.Call) ([]byte, error) {
	switch think := reasons(c.Model.ID); {
	case c.Endpoint == dialect.EndpointChat && think:
		return newLimit(c.Body), nil
	case c.Endpoint == dialect.EndpointResponses && !think:
		return withoutEncrypted(c.Body), nil
	}
	return c.Body, nil
}

// newLimit gives a limit the name under which models that reason take it.
func newLimit(body []byte) []byte {
	old := gjson.GetBytes(body, "max_tokens")
	if !old.Exists() || !gjson.ValidBytes(body) {
		return body
	}
	out, err := sjson.DeleteBytes(body, "max_tokens")
	if err == nil && old.Type == gjson.Number && !gjson.GetBytes(body, "max_completion_tokens").Exists() {
		out, err = sjson.SetRawBytes(out, "max_completion_tokens", []byte(old.Raw))
	}
	if err != nil {
		return body
	}
	return out
}

// withoutEncrypted takes encrypted reasoning out of what a model is to include that has none.
func withoutEncrypted(body []byte) []byte {
	include := gjson.GetBytes(body, "include")
	for i, v := range include.Array() {
		if v.Str != encryptedReasoning {
			continue
		}
		path := "include"
		if len(include.Array()) > 1 {
			path += "." + strconv.Itoa(i)
		}
		if out, err := sjson.DeleteBytes(body, path); err == nil {
			return out
		}
	}
	return body
}
