package copilot_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"detour/internal/dialect"
	"detour/providers"
	"detour/providers/copilot"
)

// catalogue serves body as the model list of every account.
func catalogue(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/models" {
			_, _ = io.WriteString(w, body)
			return
		}
		healthy(w, r)
	}
}

func TestModels(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("testdata/models.json")
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, worldConfig{serve: catalogue(string(raw))})
	models, err := w.Models(t.Context(), w.account)
	if err != nil {
		t.Fatal(err)
	}
	const chat, responses, messages, count, embeddings = dialect.EndpointChat, dialect.EndpointResponses, dialect.EndpointMessages, dialect.EndpointCountTokens, dialect.EndpointEmbeddings
	type endpoints = []dialect.Endpoint
	want := []struct {
		providers.Model
		dialects endpoints
	}{
		{providers.Model{ID: "claude-sonnet-4.6", Name: "Claude Sonnet 4.6", Vendor: "Anthropic", Endpoints: endpoints{chat, messages}, Picker: true, ContextWindow: 200000, MaxPrompt: 128000, MaxOutput: 32000, Multiplier: 1}, endpoints{messages, chat, count}},
		{providers.Model{ID: "gpt-5.4", Name: "GPT-5.4", Vendor: "Azure OpenAI", Endpoints: endpoints{responses}, Picker: true, ContextWindow: 264000, Multiplier: 0.33}, endpoints{responses}},
		{providers.Model{ID: "gpt-4.1", Vendor: "Azure OpenAI", Picker: true}, endpoints{chat}},
		{providers.Model{ID: "gpt-4.1-2025-04-14"}, endpoints{chat}},
		{providers.Model{ID: "gemini-3.1-pro-preview", Endpoints: endpoints{chat}, Disabled: true}, endpoints{chat}},
		{providers.Model{ID: "grok-4.5", Disabled: true}, endpoints{chat}},
		{providers.Model{ID: "odd-1", Disabled: true}, endpoints{chat}},
		{providers.Model{ID: "text-embedding-3-small", Name: "Embedding V3 small", Embeddings: true}, endpoints{embeddings}},
	}
	if len(models) != len(want) {
		t.Fatalf("%d models, want %d", len(models), len(want))
	}
	for i, m := range models {
		if !bytes.Contains(raw, m.Raw) || !json.Valid(m.Raw) {
			t.Errorf("%s: the entry was changed: %s", m.ID, m.Raw)
		}
		if got := w.Dialects(m); !slices.Equal(got, want[i].dialects) {
			t.Errorf("%s: dialects %v, want %v", m.ID, got, want[i].dialects)
		}
		m.Raw = nil
		if got, want := fmt.Sprintf("%+v", m), fmt.Sprintf("%+v", want[i].Model); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func TestModelsOfStrangeCatalogues(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		body string
		want string
	}{
		"bare list":   {`[{"id":"a"},{"id":"b"}]`, "[a b]"},
		"empty":       {`{"data":[]}`, "[]"},
		"no list":     {`{"data":{}}`, "server"},
		"null":        {`null`, "server"},
		"no JSON":     {`{"data":[`, "server"},
		"endless":     {`{"data":["` + strings.Repeat("x", 17<<20) + `"]}`, "server"},
		"nothing":     {``, "server"},
		"only a page": {"<html>", "network"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, worldConfig{serve: catalogue(tc.body)})
			models, err := w.Models(t.Context(), w.account)
			got := []string{}
			for _, m := range models {
				got = append(got, m.ID)
			}
			if err != nil {
				if s := asError(t, err).Kind.String(); s != tc.want {
					t.Errorf("%s, want %s", s, tc.want)
				}
			} else if fmt.Sprint(got) != tc.want {
				t.Errorf("%v, want %s", got, tc.want)
			}
		})
	}
}

func TestTokenPrices(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		billing string
		want    providers.Cost
	}{
		"usual":              {`{"token_prices":{"batch_size":1000000,"default":{"input_price":300000000000,"output_price":1500000000000,"cache_price":30000000000}}}`, providers.Cost{Input: 3, Output: 15, CacheRead: 0.3}},
		"another batch":      {`{"token_prices":{"batch_size":1000,"default":{"input_price":25000000,"output_price":"200000000"}}}`, providers.Cost{Input: 0.25, Output: 2}},
		"no batch":           {`{"token_prices":{"default":{"input_price":300000000000,"output_price":1500000000000}}}`, providers.Cost{}},
		"a batch of none":    {`{"token_prices":{"batch_size":0,"default":{"input_price":3,"output_price":15}}}`, providers.Cost{}},
		"part of it":         {`{"token_prices":{"batch_size":1000000,"default":{"output_price":1500000000000}}}`, providers.Cost{Output: 15}},
		"free":               {`{"token_prices":{"batch_size":1000000,"default":{"input_price":0,"output_price":0,"cache_price":0}}}`, providers.Cost{}},
		"absurd":             {`{"token_prices":{"batch_size":1,"default":{"input_price":300000000000,"output_price":-1,"cache_price":1e400}}}`, providers.Cost{}},
		"of another shape":   {`{"token_prices":[1,2]}`, providers.Cost{}},
		"no prices":          {`{"multiplier":1}`, providers.Cost{}},
		"no default of them": {`{"token_prices":{"batch_size":1000000,"input_price":300000000000}}`, providers.Cost{}},
	} {
		w := newWorld(t, worldConfig{serve: catalogue(`{"data":[{"id":"m","billing":` + tc.billing + `}]}`)})
		models, err := w.Models(t.Context(), w.account)
		if err != nil || len(models) != 1 || models[0].Cost != tc.want {
			t.Errorf("%s: %v, %+v, want %+v", name, err, models, tc.want)
		}
	}
}

func TestModelsRenewsACredentialOnce(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		status    int
		refusals  int
		kind      string
		exchanges int
	}{
		"expired":           {401, 1, "", 2},
		"wrong host":        {421, 1, "", 2},
		"expired for good":  {401, 99, "auth", 3}, // the second refusal is told to the account too
		"limited":           {429, 99, "rate_limit", 1},
		"not allowed":       {403, 99, "policy", 1},
		"broken":            {500, 99, "server", 1},
		"wrong for good":    {421, 99, "misdirected", 3},
		"transport refuses": {0, 99, "network", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n, minted := 0, 0
				w := newWorld(t, worldConfig{serve: func(w http.ResponseWriter, r *http.Request) {
					switch {
					case r.URL.Path == tokenPath:
						minted++
						_, _ = io.WriteString(w, grant(minted, ""))
					case n < tc.refusals && tc.status == 0:
						n++
						broken(w)
					case n < tc.refusals:
						n++
						w.WriteHeader(tc.status)
					default:
						_, _ = io.WriteString(w, `{"data":[{"id":"a"}]}`)
					}
				}})
				models, err := w.Models(t.Context(), w.account)
				if got := ""; err != nil {
					got = asError(t, err).Kind.String()
					if got != tc.kind {
						t.Errorf("%s, want %s", got, tc.kind)
					}
				} else if tc.kind != "" || len(models) != 1 {
					t.Errorf("%d models, want %q", len(models), tc.kind)
				}
				if _, err := w.account.Lease(t.Context()); err != nil {
					t.Error(err)
				}
				if minted != tc.exchanges {
					t.Errorf("%d exchanges, want %d", minted, tc.exchanges)
				}
			})
		})
	}
}

func TestDialectsOfModelsInNoCatalogue(t *testing.T) {
	t.Parallel()
	p := copilot.New(copilot.Options{Transport: http.DefaultTransport})
	for id, want := range map[string]string{
		"claude-opus-4.8":        "[messages chat/completions messages/count_tokens]",
		"gpt-5.3-codex":          "[responses chat/completions]",
		"gpt-10":                 "[responses chat/completions]",
		"o4-mini":                "[responses chat/completions]",
		"gpt-4o":                 "[chat/completions]",
		"grok-4.5":               "[chat/completions]",
		"omni":                   "[chat/completions]",
		"text-embedding-3-small": "[embeddings]",
		"":                       "[chat/completions]",
	} {
		if got := fmt.Sprint(p.Dialects(providers.Model{ID: id})); got != want {
			t.Errorf("%q: %s, want %s", id, got, want)
		}
	}
}

func FuzzModels(f *testing.F) {
	raw, err := os.ReadFile("testdata/models.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(raw))
	f.Add(`[{"id":"a","capabilities":7,"supported_endpoints":{"a":1},"policy":[],"billing":{"multiplier":"NaN"}}]`)
	f.Fuzz(func(t *testing.T, body string) {
		w := newWorld(t, worldConfig{serve: catalogue(body)})
		models, err := w.Models(t.Context(), w.account)
		if err != nil {
			return
		}
		for _, m := range models {
			if m.ID == "" || m.MaxOutput < 0 || m.MaxPrompt < 0 || m.ContextWindow < 0 || m.Multiplier < 0 || !json.Valid(m.Raw) || len(w.Dialects(m)) == 0 {
				t.Errorf("%+v", m)
			}
		}
	})
}
