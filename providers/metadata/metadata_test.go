package metadata_test

import (
	"slices"
	"strings"
	"testing"

	"detour/providers"
	"detour/providers/metadata"
)

func TestBuiltinKnowsEveryProviderThatTellsNothing(t *testing.T) {
	t.Parallel()
	d := metadata.Builtin()
	for name, id := range map[string]string{
		"openai": "gpt-5", "anthropic": "claude-sonnet-4-5", "zai": "glm-4.7", "zai-coding-plan": "glm-4.7", "zhipuai": "glm-4.6", "zhipuai-coding-plan": "glm-4.6",
		"deepseek": "deepseek-chat", "google": "gemini-2.5-pro",
	} {
		m := providers.Model{ID: id}
		d.Fill(name, &m)
		free := strings.HasSuffix(name, "-plan")
		if m.ContextWindow == 0 || m.MaxOutput == 0 || (m.Cost.Input > 0) == free || !slices.Contains(m.Input, "text") || !slices.Contains(m.Output, "text") {
			t.Errorf("%s/%s: %+v", name, id, m)
		}
	}
}

func TestFillKeepsWhatTheUpstreamSays(t *testing.T) {
	t.Parallel()
	m := providers.Model{ID: "gpt-5", Name: "Mine", ContextWindow: 1, MaxOutput: 2, Cost: providers.Cost{Input: 3}, Input: []string{"smell"}}
	metadata.Builtin().Fill("openai", &m)
	if m.Name != "Mine" || m.ContextWindow != 1 || m.MaxOutput != 2 || m.Cost != (providers.Cost{Input: 3}) || m.Input[0] != "smell" || !m.Reasons {
		t.Errorf("%+v", m)
	}
	other := providers.Model{ID: "gpt-5"}
	metadata.Builtin().Fill("nobody", &other)
	if other.ContextWindow != 0 {
		t.Errorf("%+v", other)
	}
	for _, id := range []string{"claude-sonnet-4-5-20250929", "claude-sonnet-4-latest"} {
		m := providers.Model{ID: id}
		if metadata.Builtin().Fill("anthropic", &m); m.ContextWindow == 0 {
			t.Errorf("%s is not known", id)
		}
	}
}

func TestAFreeModelHasNotThePriceOfTheOther(t *testing.T) {
	t.Parallel()
	m := providers.Model{ID: "gpt-5:free"}
	if metadata.Builtin().Fill("openai", &m); m.ContextWindow == 0 || m.Cost != (providers.Cost{}) {
		t.Errorf("%+v", m)
	}
}

// A catalogue as the public one looks: with members and providers that do not matter here.
const catalogue = `{"openai":{"id":"openai","env":["OPENAI_API_KEY"],"npm":"x","name":"OpenAI","models":{"gpt-9":{"id":"gpt-9","name":"GPT-9","attachment":true,"reasoning":true,
	"limit":{"context":9000000,"output":9},"cost":{"input":9.5,"output":99,"cache_read":0.9,"context_over_200k":{"input":1}},"modalities":{"input":["text"],"output":["text"]}},
	"gpt-5":{"limit":{"context":5,"output":5}}}},"nobody":{"models":{"x":7}}}`

func TestParseKeepsWhatMattersAndComesBackFromTheFile(t *testing.T) {
	t.Parallel()
	d, err := metadata.Parse([]byte(catalogue))
	if err != nil {
		t.Fatal(err)
	}
	b, err := d.Encode()
	if err != nil || strings.Contains(string(b), "nobody") || strings.Contains(string(b), "attachment") {
		t.Fatalf("%v\n%s", err, b)
	}
	again, err := metadata.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	over := again.Over(metadata.Builtin())
	for id, window := range map[string]int{"gpt-9": 9000000, "gpt-5": 5, "gpt-4o": 128000} {
		m := providers.Model{ID: id}
		if over.Fill("openai", &m); m.ContextWindow != window {
			t.Errorf("%s has %d, want %d", id, m.ContextWindow, window)
		}
	}
	if p, n := d.Count(); p != 1 || n != 2 {
		t.Errorf("%d providers, %d models", p, n)
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for name, data := range map[string]string{
		"a page":             `<html>`,
		"an error":           `{"error":"rate limited"}`,
		"nothing":            `{}`,
		"no models":          `{"openai":{"models":{}}}`,
		"cut":                catalogue[:len(catalogue)/2],
		"a negative price":   `{"openai":{"models":{"m":{"cost":{"input":-1}}}}}`,
		"an absurd price":    `{"openai":{"models":{"m":{"cost":{"output":1e9}}}}}`,
		"a negative window":  `{"openai":{"models":{"m":{"limit":{"context":-5}}}}}`,
		"an absurd window":   `{"openai":{"models":{"m":{"limit":{"output":1e300}}}}}`,
		"half a token":       `{"openai":{"models":{"m":{"limit":{"output":1.5}}}}}`,
		"words for a number": `{"openai":{"models":{"m":{"limit":{"context":"big"}}}}}`,
		"a list":             `[]`,
	} {
		if _, err := metadata.Parse([]byte(data)); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

func TestOneOddEntryDoesNotSpoilTheRest(t *testing.T) {
	t.Parallel()
	good := ""
	for _, id := range []string{"a", "b", "c", "d", "e", "f", "g", "h", "i"} {
		good += `"` + id + `":{"limit":{"context":7}},`
	}
	d, err := metadata.Parse([]byte(`{"openai":{"models":{` + good + `"odd":{"cost":{"input":"free"}}}}}`))
	if err != nil {
		t.Fatal(err)
	}
	if _, n := d.Count(); n != 9 {
		t.Errorf("%d models are kept", n)
	}
	if _, err := metadata.Parse([]byte(`{"openai":{"models":{` + good + `"odd":{"cost":{"input":"free"}},"odder":7}}}`)); err == nil || !strings.Contains(err.Error(), "openai/odd") {
		t.Errorf("a catalogue that is odd in two of eleven entries: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(catalogue))
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := metadata.Parse(data)
		if err != nil {
			return
		}
		b, err := d.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := metadata.Parse(b); err != nil {
			t.Errorf("what was written is refused: %v", err)
		}
	})
}
