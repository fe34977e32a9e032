package router

import (
	"maps"
	"net/http"
	"slices"
	"strings"

	"detour/internal/dialect"
	"detour/internal/dialect/chat"
	"detour/internal/dialect/gemini"
	"detour/internal/dialect/messages"
	"detour/internal/dialect/responses"
)

// operation is a request that detour knows how to serve.
type operation struct {
	endpoint dialect.Endpoint
	voice    voice
	format   dialect.Format // for answers in the client's own dialect; nil when no upstream speaks it
	client   dialect.Client // for answers that are translated; nil when that makes no sense
}

// voice is what every dialect needs here: to look into its requests and to word its errors.
type voice interface {
	Name() dialect.Name
	Peek(body []byte) (dialect.Peek, error)
	AppendError(dst []byte, f dialect.Failure) []byte
}

// surface is a set of paths that one kind of host serves.
type surface struct {
	provider string   // whose API it is, for [proxy_mode.provider_modes]
	prefixes []string // the paths below work behind each of these
	paths    map[string]operation
	gemini   bool // serves Gemini's paths, which name model and method in one segment
}

// surfaces returns the operation table by host. Paths are matched whole; what is not listed is relayed. OAuth,
// identity, telemetry and file paths are never listed. The entry "" is the API door's, and that of hosts which the
// owner adds to the intercepted ones.
func surfaces() map[string]*surface {
	chat := operation{dialect.EndpointChat, chat.Format{}, chat.Format{}, chat.Codec{}}
	responses := operation{dialect.EndpointResponses, responses.Format{}, responses.Format{}, responses.Codec{}}
	messages := operation{dialect.EndpointMessages, messages.Format{}, messages.Format{}, messages.Codec{}}
	count, embeddings, models := messages, chat, chat
	count.endpoint, embeddings.endpoint, models.endpoint = dialect.EndpointCountTokens, dialect.EndpointEmbeddings, dialect.EndpointModels
	embeddings.client = nil

	openai := map[string]operation{
		"POST /chat/completions": chat,
		"POST /responses":        responses,
		"POST /embeddings":       embeddings,
		"GET /models":            models,
	}
	anthropic := map[string]operation{
		"POST /messages":              messages,
		"POST /messages/count_tokens": count,
	}
	all := maps.Clone(openai)
	maps.Copy(all, anthropic)
	return map[string]*surface{
		"":                  {prefixes: []string{"/v1", ""}, paths: all, gemini: true},
		"api.openai.com":    {provider: "openai", prefixes: []string{"/v1"}, paths: openai},
		"api.anthropic.com": {provider: "anthropic", prefixes: []string{"/v1"}, paths: anthropic},
		// Copilot's own paths have no version, except those of Messages; clients are seen to send both.
		copilotHost: {provider: "github-copilot", prefixes: []string{"", "/v1"}, paths: all},
	}
}

const copilotHost = "api.githubcopilot.com"

// InterceptHosts lists the hosts whose requests the router serves.
func InterceptHosts() []string {
	return []string{"api.anthropic.com", copilotHost, "api.business.githubcopilot.com", "api.enterprise.githubcopilot.com", "api.individual.githubcopilot.com", "api.openai.com"}
}

// lookup finds the surface of a host: the API door's when host is "".
func (t *table) lookup(host string) *surface {
	if s, ok := t.surfaces[host]; ok {
		return s
	}
	if strings.HasPrefix(host, "api.") && strings.HasSuffix(host, ".githubcopilot.com") {
		return t.surfaces[copilotHost]
	}
	return t.surfaces[""]
}

// match returns the operation of a request, and for GET /models/{id} the id. alt is the query parameter of that name.
func (s *surface) match(method, path, alt string) (op operation, id string, ok bool) {
	for _, prefix := range s.prefixes {
		rest, found := strings.CutPrefix(path, prefix)
		if !found {
			continue
		}
		if op, ok = s.paths[method+" "+rest]; ok {
			return op, "", true
		}
		if id, found = strings.CutPrefix(rest, "/models/"); found && id != "" && method == http.MethodGet {
			if op, ok = s.paths["GET /models"]; ok {
				return op, id, true
			}
		}
	}
	if s.gemini && method == http.MethodPost {
		return geminiOperation(path, alt)
	}
	return operation{}, "", false
}

// geminiOperation reads what the other dialects have in their bodies off the path.
func geminiOperation(path, alt string) (operation, string, bool) {
	codec, method, ok := gemini.Operation(path, alt)
	op := operation{endpoint: dialect.EndpointGenerate, voice: codec, client: codec}
	if method == gemini.Count {
		op.endpoint = dialect.EndpointGenerateCount
	}
	return op, "", ok
}

// methods lists the methods that path is served under, for a 405.
func (s *surface) methods(path string) []string {
	var out []string
	for _, m := range []string{http.MethodGet, http.MethodPost} {
		if _, _, ok := s.match(m, path, ""); ok {
			out = append(out, m)
		}
	}
	slices.Sort(out)
	return out
}
