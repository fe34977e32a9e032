package router_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/anthropics/anthropic-sdk-go"
	aoption "github.com/anthropics/anthropic-sdk-go/option"
	"github.com/openai/openai-go/v3"
	ooption "github.com/openai/openai-go/v3/option"
	"google.golang.org/genai"

	"detour/router"
)

func aliases(alias map[string]string) option {
	return func(c *router.Config, _ *fake) { c.Models.Alias = alias }
}

func TestModelListsAsTheOfficialSDKsReadThem(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false, nil, aliases(map[string]string{"fast": "chat-only", "lost": "nobody", "gpt-x": "chat-only"}))
	t.Run("openai", func(t *testing.T) {
		t.Parallel()
		c := openai.NewClient(ooption.WithBaseURL(w.door.URL+"/v1/"), ooption.WithAPIKey("x"), ooption.WithHTTPClient(w.door.Client()))
		page, err := c.Models.List(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, m := range page.Data {
			ids = append(ids, m.ID)
		}
		if got := strings.Join(ids, " "); got != "gpt-x claude-sonnet-4.5 claude-sonnet-4.6 chat-only off embed messages-only fast" {
			t.Errorf("%s", got)
		}
		if m, err := c.Models.Get(t.Context(), "fast"); err != nil || m.ID != "fast" || !strings.Contains(m.RawJSON(), `"alias_of":"chat-only"`) {
			t.Errorf("%v, %v", m, err)
		}
	})
	t.Run("anthropic", func(t *testing.T) {
		t.Parallel()
		c := anthropic.NewClient(aoption.WithBaseURL(w.door.URL), aoption.WithAPIKey("x"), aoption.WithHTTPClient(w.door.Client()))
		var ids []string
		pages := c.Models.ListAutoPaging(t.Context(), anthropic.ModelListParams{Limit: anthropic.Int(2)})
		for pages.Next() {
			m := pages.Current()
			ids = append(ids, m.ID)
			if m.DisplayName == "" || m.Type != "model" || m.CreatedAt.IsZero() && !strings.Contains(m.RawJSON(), "1970") {
				t.Errorf("%s", m.RawJSON())
			}
		}
		if got := strings.Join(ids, " "); pages.Err() != nil || got != "gpt-x claude-sonnet-4.5 claude-sonnet-4.6 chat-only messages-only fast" {
			t.Errorf("%s, %v", got, pages.Err())
		}
		if m, err := c.Models.Get(t.Context(), "claude-sonnet-4.5", anthropic.ModelGetParams{}); err != nil || m.ID != "claude-sonnet-4.5" {
			t.Errorf("%v, %v", m, err)
		}
		if _, err := c.Models.Get(t.Context(), "none", anthropic.ModelGetParams{}); err == nil || !strings.Contains(err.Error(), "not_found_error") {
			t.Errorf("%v", err)
		}
	})
	t.Run("gemini", func(t *testing.T) {
		t.Parallel()
		c, err := genai.NewClient(t.Context(), &genai.ClientConfig{APIKey: "x", HTTPClient: w.door.Client(), HTTPOptions: genai.HTTPOptions{BaseURL: w.door.URL}})
		if err != nil {
			t.Fatal(err)
		}
		page, err := c.Models.List(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(page.Items) != 6 || page.Items[0].Name != "models/gpt-x" || len(page.Items[0].SupportedActions) != 3 {
			t.Errorf("%+v", page.Items)
		}
		if m, err := c.Models.Get(t.Context(), "fast", nil); err != nil || m.Name != "models/fast" {
			t.Errorf("%v, %v", m, err)
		}
	})
}

func TestCallersGetTheirOwnShapeOfTheModelList(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		host, path string // host "" is the API door
		headers    []string
		begins     string
	}{
		"plain":                    {"", "/v1/models", nil, `{"object":"list","data":[{"id":"gpt-x"`},
		"anthropic-version":        {"", "/v1/models?limit=1", []string{"Anthropic-Version", "2023-06-01"}, `{"data":[{"type":"model","id":"gpt-x"`},
		"client_version":           {"", "/v1/models?client_version=0.169.0", nil, `{"models":[{"slug":"gpt-x"`},
		"v1beta":                   {"", "/v1beta/models", nil, `{"models":[{"name":"models/gpt-x"`},
		"a Gemini key":             {"", "/v1/models", []string{"X-Goog-Api-Key", "x"}, `{"models":[{"name":"models/gpt-x"`},
		"Anthropic's host":         {"api.anthropic.com", "/v1/models", nil, `{"data":[{"type":"model"`},
		"OpenAI's host":            {"api.openai.com", "/v1/models", nil, `{"object":"list"`},
		"OpenAI's host for Codex":  {"api.openai.com", "/v1/models?client_version=1", nil, `{"models":[{"slug"`},
		"Gemini's host":            {"generativelanguage.googleapis.com", "/v1/models", nil, `{"models":[{"name"`},
		"Gemini's OpenAI paths":    {"generativelanguage.googleapis.com", "/v1beta/openai/models", nil, `{"object":"list"`},
		"Copilot's host, as it is": {"api.githubcopilot.com", "/models?client_version=1", []string{"Anthropic-Version", "x"}, `{"object":"list"`},
		"a page that is none":      {"", "/v1/models?after_id=none", []string{"Anthropic-Version", "2023-06-01"}, `{"type":"error","error":{"type":"invalid_request_error"`},
		"no model, for Anthropic":  {"", "/v1/models/none", []string{"Anthropic-Version", "2023-06-01"}, `{"type":"error","error":{"type":"not_found_error"`},
		"no model, for Gemini":     {"", "/v1beta/models/none", nil, `{"error":{"code":404`},
	}
	for name, tt := range tests {
		run(t, func(t *testing.T, h2 bool) {
			w := newWorld(t, h2, nil)
			s, headers := w.door, tt.headers
			if tt.host != "" {
				s, headers = w.proxy, append([]string{"X-Test-Host", tt.host}, headers...)
			}
			got := text(t, w.do(s, http.MethodGet, tt.path, "", headers...))
			if !strings.HasPrefix(got, tt.begins) || !json.Valid([]byte(got)) {
				t.Errorf("%s: got %.200s, want %s", name, got, tt.begins)
			}
		})
	}
}

func TestClientKeySeesOnlyTheModelsItMayUse(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false, nil)
	req := httptest.NewRequest(http.MethodGet, "/v1/models", nil)
	rec := httptest.NewRecorder()
	w.router.ServeHTTP(rec, req.WithContext(router.WithClient(t.Context(), router.Client{Name: "k", Models: []string{"claude-*"}})))
	if got := rec.Body.String(); strings.Contains(got, "gpt-x") || !strings.Contains(got, "claude-sonnet-4.6") {
		t.Errorf("%s", got)
	}
}

// Codex refuses a catalogue with an entry that lacks instructions, and sends none to a model whose instructions are
// empty.
func TestCodexCatalogueHoldsWhatCodexNeeds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false, nil)
	var list struct {
		Models []struct {
			Slug             string `json:"slug"`
			BaseInstructions string `json:"base_instructions"`
			ShellType        string `json:"shell_type"`
			Visibility       string `json:"visibility"`
			Truncation       struct {
				Mode  string `json:"mode"`
				Limit int    `json:"limit"`
			} `json:"truncation_policy"`
			Efforts *[]struct{}    `json:"supported_reasoning_levels"`
			API     bool           `json:"supported_in_api"`
			Tools   *[]json.Number `json:"experimental_supported_tools"`
		} `json:"models"`
	}
	if err := json.Unmarshal([]byte(text(t, w.do(w.door, http.MethodGet, "/v1/models?client_version=0.169.0", ""))), &list); err != nil {
		t.Fatal(err)
	}
	if len(list.Models) != 5 {
		t.Errorf("%d models, want those that can chat and are switched on", len(list.Models))
	}
	for _, m := range list.Models {
		if m.Slug == "" || m.BaseInstructions == "" || m.ShellType == "" || m.Visibility != "list" || m.Truncation.Limit == 0 || m.Efforts == nil || !m.API || m.Tools == nil {
			t.Errorf("%+v", m)
		}
	}
}
