package router

import (
	"maps"
	"net/http"
	"slices"
	"strings"

	"detour/internal/dialect"
	"detour/internal/dialect/chat"
	"detour/internal/dialect/messages"
	"detour/internal/dialect/responses"
)

// operation is a request that detour knows how to serve.
type operation struct {
	endpoint dialect.Endpoint
	format   dialect.Format // whose errors and streams the client expects
}

// surface is a set of paths that one kind of host serves.
type surface struct {
	provider string   // whose API it is, for [proxy_mode.provider_modes]
	prefixes []string // the paths below work behind each of these
	paths    map[string]operation
}

// surfaces returns the operation table by host. Paths are matched whole; what is not listed is relayed. OAuth,
// identity, telemetry and file paths are never listed. The entry "" is the API door's, and that of hosts which the
// owner adds to the intercepted ones.
func surfaces() map[string]*surface {
	chat := operation{dialect.EndpointChat, chat.Format{}}
	responses := operation{dialect.EndpointResponses, responses.Format{}}
	messages, count := operation{dialect.EndpointMessages, messages.Format{}}, operation{dialect.EndpointCountTokens, messages.Format{}}
	embeddings, models := operation{dialect.EndpointEmbeddings, chat.format}, operation{dialect.EndpointModels, chat.format}

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
		"":                  {"", []string{"/v1", ""}, all},
		"api.openai.com":    {"openai", []string{"/v1"}, openai},
		"api.anthropic.com": {"anthropic", []string{"/v1"}, anthropic},
		// Copilot's own paths have no version, except those of Messages; clients are seen to send both.
		copilotHost: {"github-copilot", []string{"", "/v1"}, all},
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

// match returns the operation of a request, and for GET /models/{id} the id.
func (s *surface) match(method, path string) (op operation, id string, ok bool) {
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
	return operation{}, "", false
}

// methods lists the methods that path is served under, for a 405.
func (s *surface) methods(path string) []string {
	var out []string
	for _, m := range []string{http.MethodGet, http.MethodPost} {
		if _, _, ok := s.match(m, path); ok {
			out = append(out, m)
		}
	}
	slices.Sort(out)
	return out
}
