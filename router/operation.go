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
	"detour/providers"
)

// operation is a request that detour knows how to serve.
type operation struct {
	endpoint dialect.Endpoint
	voice    voice
	format   dialect.Format // for answers in the client's own dialect; nil when no upstream speaks it
	client   dialect.Client // for answers that are translated; nil when that makes no sense
	shape    listShape      // of a list of models, unless the request asks for another
}

// voice is what every dialect needs here: to look into its requests and to word its errors.
type voice interface {
	Name() dialect.Name
	Peek(body []byte) (dialect.Peek, error)
	AppendError(dst []byte, f dialect.Failure) []byte
}

// surface is what one kind of host serves.
type surface struct {
	provider string // whose API it is, for [proxy_mode.provider_modes]
	groups   []group
	gemini   bool   // serves Gemini's paths, which name model and method in one segment
	geminiAt string // stands in front of Gemini's paths
}

// group is a set of paths that a host serves behind each of some prefixes.
type group struct {
	prefixes []string
	paths    map[string]operation
}

// surfaces returns the operation table by host. Paths are matched whole; what is not listed is relayed. OAuth,
// identity, telemetry and file paths are never listed, and neither are lists of models whose entries hold what only
// their own host knows. The entry "" is the API door's, and that of hosts which the owner adds to the intercepted ones.
func surfaces() map[string]*surface {
	compactor := responses.Compaction{}
	chat := operation{dialect.EndpointChat, chat.Format{}, chat.Format{}, chat.Codec{}, ""}
	responses := operation{dialect.EndpointResponses, responses.Format{}, responses.Format{}, responses.Codec{}, ""}
	compact := responses
	compact.endpoint, compact.client = dialect.EndpointCompact, compactor
	messages := operation{dialect.EndpointMessages, messages.Format{}, messages.Format{}, messages.Codec{}, ""}
	count, embeddings := messages, chat
	count.endpoint, embeddings.endpoint = dialect.EndpointCountTokens, dialect.EndpointEmbeddings
	embeddings.client = nil
	list := func(voice operation, shape listShape) operation {
		voice.endpoint, voice.shape = dialect.EndpointModels, shape
		return voice
	}

	completions := map[string]operation{
		"POST /chat/completions": chat,
		"POST /embeddings":       embeddings,
		"GET /models":            list(chat, listOpenAI),
	}
	answers := map[string]operation{
		"POST /responses":         responses,
		"POST /responses/compact": compact,
	}
	openai := with(completions, answers)
	anthropic := map[string]operation{
		"POST /messages":              messages,
		"POST /messages/count_tokens": count,
	}
	all := with(openai, anthropic)
	zhipu := []group{
		{[]string{"/api/paas/v4", "/api/coding/paas/v4"}, completions},
		{[]string{"/api/anthropic/v1"}, anthropic},
	}
	gemini := group{[]string{"/v1beta"}, map[string]operation{"GET /models": list(operation{voice: gemini.Codec{}}, listGemini)}}
	return map[string]*surface{
		"":                  {groups: []group{{[]string{"/v1", ""}, all}, gemini}, gemini: true},
		"api.openai.com":    {provider: "openai", groups: []group{{[]string{"/v1"}, openai}}},
		"chatgpt.com":       {provider: "chatgpt", groups: []group{{[]string{"/backend-api/codex"}, answers}}},
		"api.anthropic.com": {provider: "anthropic", groups: []group{{[]string{"/v1"}, with(anthropic, map[string]operation{"GET /models": list(messages, listAnthropic)})}}},
		// Copilot's own paths have no version, except those of Messages; clients are seen to send both.
		copilotHost: {provider: "github-copilot", groups: []group{{[]string{"", "/v1"}, all}}},
		"generativelanguage.googleapis.com": {provider: "gemini", gemini: true, groups: []group{
			{[]string{"/v1beta/openai"}, completions}, {append(gemini.prefixes, "/v1"), gemini.paths},
		}},
		"api.deepseek.com": {provider: "deepseek", groups: []group{{[]string{"", "/v1"}, completions}, {[]string{"/anthropic/v1"}, anthropic}}},
		"openrouter.ai":    {provider: "openrouter", groups: []group{{[]string{"/api/v1"}, without(all, "GET /models")}}},
		"api.z.ai":         {provider: "zai", groups: zhipu},
		"open.bigmodel.cn": {provider: "zhipuai", groups: zhipu},
		"opencode.ai":      {provider: "opencode", gemini: true, geminiAt: "/zen", groups: []group{{[]string{"/zen/v1", "/zen/go/v1"}, all}}},
	}
}

// switchesTo is the provider whose accounts serve a path of s in route mode switch. Z.ai and Zhipu have two services at
// one host: keys of their coding plans are good for some paths, and on one both are.
func (t *table) switchesTo(s *surface, path string) string {
	plan := s.provider + "-coding-plan"
	switch {
	case s.provider == "":
	case strings.HasPrefix(path, "/api/coding/"):
		return plan
	case strings.HasPrefix(path, "/api/anthropic/") && slices.ContainsFunc(t.Accounts, func(a *providers.Account) bool { return a.Provider() == plan }):
		return plan
	}
	return s.provider
}

// with is a and b together.
func with(a, b map[string]operation) map[string]operation {
	out := maps.Clone(a)
	maps.Copy(out, b)
	return out
}

// without is all but what.
func without(all map[string]operation, what string) map[string]operation {
	out := maps.Clone(all)
	delete(out, what)
	return out
}

const copilotHost = "api.githubcopilot.com"

// InterceptHosts lists the hosts whose requests the router serves.
func InterceptHosts() []string {
	hosts := []string{"api.business.githubcopilot.com", "api.enterprise.githubcopilot.com", "api.individual.githubcopilot.com"}
	for host := range surfaces() {
		if host != "" {
			hosts = append(hosts, host)
		}
	}
	slices.Sort(hosts)
	return hosts
}

// HostProviders lists the names that [proxy_mode.provider_modes] knows: whose the intercepted hosts are.
func HostProviders() []string {
	var names []string
	for _, s := range surfaces() {
		if s.provider != "" {
			names = append(names, s.provider)
		}
	}
	slices.Sort(names)
	return names
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
	for _, g := range s.groups {
		for _, prefix := range g.prefixes {
			rest, found := strings.CutPrefix(path, prefix)
			if !found {
				continue
			}
			if op, ok = g.paths[method+" "+rest]; ok {
				return op, "", true
			}
			if id, found = strings.CutPrefix(rest, "/models/"); found && id != "" && method == http.MethodGet {
				if op, ok = g.paths["GET /models"]; ok {
					return op, id, true
				}
			}
		}
	}
	if s.gemini && method == http.MethodPost {
		if path, found := strings.CutPrefix(path, s.geminiAt); found {
			return geminiOperation(path, alt)
		}
	}
	return operation{}, "", false
}

// geminiOperation reads what the other dialects have in their bodies off the path.
func geminiOperation(path, alt string) (operation, string, bool) {
	codec, method, ok := gemini.Operation(path, alt)
	if !ok {
		return operation{}, "", false
	}
	op := operation{endpoint: dialect.EndpointGenerate, voice: codec, client: codec}
	if method == gemini.Count {
		op.endpoint = dialect.EndpointGenerateCount
	}
	return op, "", true
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
