package router

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/tidwall/sjson"

	"detour/internal/dialect"
	"detour/internal/dialect/gemini"
	"detour/internal/dialect/messages"
	"detour/providers"
)

// listShape is the form of a list of models.
type listShape string

// The shapes.
const (
	listOpenAI    listShape = "openai"
	listAnthropic listShape = "anthropic" // https://docs.anthropic.com/en/api/models-list
	listGemini    listShape = "gemini"    // https://ai.google.dev/api/models
	listCodex     listShape = "codex"     // what Codex asks for with client_version
)

// listModels answers GET /models and GET /models/{id} from the merged catalogue, in the shape that the caller expects.
func (x *exchange) listModels(id string) {
	cat := x.table.models.whole(x.req.Context())
	shape := x.shape()
	switch shape {
	case listAnthropic:
		x.op.voice = messages.Format{}
	case listGemini:
		x.op.voice = gemini.Codec{}
	}
	if cat.empty() && len(x.table.Accounts) > 0 {
		if why := unlisted(x.table.pool.Status()); why != "" {
			x.fail(dialect.Failure{Status: http.StatusServiceUnavailable, Code: "models_unavailable", Message: why})
			return
		}
	}
	seen := cat.listed
	if x.limited() {
		seen = slices.DeleteFunc(slices.Clone(seen), func(e *entry) bool { return !x.maySee(e) })
	}
	if id != "" {
		i := slices.IndexFunc(seen, func(e *entry) bool { return e.id() == id })
		if i < 0 {
			x.fail((&unknownModelError{name: id, near: cat.near(id, x.maySee)}).failure())
			return
		}
		x.respondJSON(http.StatusOK, seen[i].as(shape))
		return
	}
	switch {
	case shape == listAnthropic:
		body, f := anthropicPage(offered(seen), x.req.URL.Query())
		if f != nil {
			x.fail(*f)
			return
		}
		x.respondJSON(http.StatusOK, body)
	case shape == listOpenAI && len(seen) == len(cat.listed):
		x.respondJSON(http.StatusOK, cat.body)
	default:
		x.respondJSON(http.StatusOK, renderList(seen, shape))
	}
}

// unlisted says why none of the accounts told its models, "" when none of them is used.
func unlisted(accounts []AccountStatus) string {
	used := slices.DeleteFunc(slices.Clone(accounts), func(s AccountStatus) bool { return s.Tier == providers.Disabled })
	if len(used) == 0 {
		return ""
	}
	var why []string
	for _, s := range used {
		if s.Why != "" {
			why = append(why, s.ID+": "+s.Why)
		}
	}
	if len(why) == 0 {
		return "No account could list its models just now; the log says why."
	}
	return "No account could list its models just now: " + strings.Join(why, "; ") + "."
}

// shape tells the callers apart.
func (x *exchange) shape() listShape {
	switch {
	case x.op.shape == listGemini:
	case strings.HasSuffix(x.rec.Host, ".githubcopilot.com"): // its own clients know its own list
	case strings.Contains(x.req.URL.RawQuery, "client_version="):
		return listCodex
	case x.req.Header.Get("Anthropic-Version") != "":
		return listAnthropic
	case x.rec.Host == "" && x.req.Header.Get("X-Goog-Api-Key") != "":
		return listGemini
	}
	return x.op.shape
}

// limited tells whether the caller may use a part of the models only.
func (x *exchange) limited() bool {
	return len(x.client.Models) > 0 || x.table.allowed(&x.route, &x.client) != nil
}

func (x *exchange) maySee(e *entry) bool {
	probe := exchange{table: x.table, client: x.client, route: x.route, name: e.id()}
	probe.wish.Model, probe.wish.Provider, probe.wish.Accounts = e.model.ID, e.provider, e.accounts
	return probe.narrow() == nil
}

// offered leaves the models that somebody can talk to, and of a provider that marks those for people only these.
func offered(all []*entry) []*entry {
	marks := map[string]bool{}
	for _, e := range all {
		marks[e.provider] = marks[e.provider] || e.model.Picker
	}
	return slices.DeleteFunc(slices.Clone(all), func(e *entry) bool {
		return len(e.accounts) == 0 || e.model.Embeddings || marks[e.provider] && !e.model.Picker
	})
}

// renderList writes a whole list.
func renderList(entries []*entry, shape listShape) []byte {
	head, tail := `{"object":"list","data":[`, `]}`
	switch shape {
	case listOpenAI:
	case listGemini, listCodex:
		head, entries = `{"models":[`, offered(entries)
	}
	b := bytes.NewBufferString(head)
	for i, e := range entries {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(e.as(shape))
	}
	b.WriteString(tail)
	return b.Bytes()
}

// as writes one entry.
func (e *entry) as(shape listShape) []byte {
	var out any
	switch shape {
	case listAnthropic:
		out = e.anthropic()
	case listGemini:
		out = e.gemini()
	case listCodex:
		out = e.codex()
	default:
		return e.render()
	}
	b, _ := json.Marshal(out) // strings, numbers and lists
	return b
}

// anthropicModel is ModelInfo of the Anthropic API. A creation time that is not known is the epoch, as it says.
type anthropicModel struct {
	Type        string `json:"type"`
	ID          string `json:"id"`
	DisplayName string `json:"display_name"`
	CreatedAt   string `json:"created_at"`
	MaxInput    int    `json:"max_input_tokens,omitempty"`
	MaxTokens   int    `json:"max_tokens,omitempty"`
}

func (e *entry) anthropic() anthropicModel {
	m := e.model
	return anthropicModel{"model", e.id(), cmp.Or(m.Name, m.ID), "1970-01-01T00:00:00Z", cmp.Or(m.MaxPrompt, m.ContextWindow), m.MaxOutput}
}

// anthropicPage writes the page that after_id or before_id, and limit, ask for.
func anthropicPage(all []*entry, q url.Values) ([]byte, *dialect.Failure) {
	limit := 20
	if v := q.Get("limit"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 || n > 1000 {
			return nil, &dialect.Failure{Status: http.StatusBadRequest, Param: "limit", Message: "limit: must be a number from 1 to 1000"}
		}
		limit = n
	}
	at := func(name string) (int, *dialect.Failure) {
		i := slices.IndexFunc(all, func(e *entry) bool { return e.id() == q.Get(name) })
		if i < 0 {
			return 0, &dialect.Failure{Status: http.StatusBadRequest, Param: name, Message: fmt.Sprintf("%s: there is no model `%s`", name, clip(q.Get(name)))}
		}
		return i, nil
	}
	from, to := 0, len(all)
	switch {
	case q.Get("after_id") != "":
		i, f := at("after_id")
		if f != nil {
			return nil, f
		}
		from = i + 1
		to = min(to, from+limit)
	case q.Get("before_id") != "":
		i, f := at("before_id")
		if f != nil {
			return nil, f
		}
		from, to = max(0, i-limit), i
	default:
		to = min(to, limit)
	}
	page := struct {
		Data    []anthropicModel `json:"data"`
		HasMore bool             `json:"has_more"`
		FirstID *string          `json:"first_id"`
		LastID  *string          `json:"last_id"`
	}{Data: []anthropicModel{}, HasMore: to < len(all)}
	if q.Get("before_id") != "" {
		page.HasMore = from > 0
	}
	for _, e := range all[from:to] {
		page.Data = append(page.Data, e.anthropic())
	}
	if n := len(page.Data); n > 0 {
		page.FirstID, page.LastID = &page.Data[0].ID, &page.Data[n-1].ID
	}
	b, _ := json.Marshal(page)
	return b, nil
}

// geminiModel is Model of the Gemini API.
type geminiModel struct {
	Name        string   `json:"name"`
	Version     string   `json:"version"`
	DisplayName string   `json:"displayName"`
	Description string   `json:"description"`
	Input       int      `json:"inputTokenLimit,omitempty"`
	Output      int      `json:"outputTokenLimit,omitempty"`
	Methods     []string `json:"supportedGenerationMethods"`
}

func (e *entry) gemini() geminiModel {
	m := e.model
	return geminiModel{
		Name: "models/" + e.id(), Version: "1", DisplayName: cmp.Or(m.Name, m.ID), Description: "Served by detour from " + e.provider + ".",
		Input: cmp.Or(m.MaxPrompt, m.ContextWindow), Output: m.MaxOutput,
		Methods: []string{string(gemini.Generate), string(gemini.Stream), string(gemini.Count)},
	}
}

// withID is raw, an entry of an upstream's list, under another id.
func withID(raw []byte, id string) []byte {
	if out, err := sjson.SetBytes(raw, "id", id); err == nil {
		return out
	}
	return raw
}
