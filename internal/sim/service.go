package sim

import (
	"cmp"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// The services that are reached with a key. Each takes the keys of its accounts, which are called like the service, or
// like it and -2; the local server takes requests with and without.
const (
	ServiceOpenAI     = "openai"
	ServiceAnthropic  = "anthropic"
	ServiceZAI        = "zai"
	ServiceDeepSeek   = "deepseek"
	ServiceOpenRouter = "openrouter"
	ServiceGemini     = "gemini"
	ServiceLocal      = "local" // as llama.cpp and Ollama are
)

// Services holds the switches of the services that are reached with a key.
type Services struct {
	Catalogue     []byte // what /catalogue/api.json answers; nil: 404
	LocalNoModels bool   // the local server has no list of its models
}

// service is one of them. It is read-only.
type service struct {
	base    string            // path of its address
	xkey    bool              // the key comes as x-api-key
	costs   bool              // usage says what an answer cost
	anyKey  bool              // and may be missing
	ops     map[string]string // path below base → the path that means the same on an inference host
	beside  map[string]string // the same for paths that are not below base
	models  []Model
	list    func([]Model) any // what GET models answers
	change  func(*state)
	invalid func(status int, kind, message string) string // an error body
}

// ServiceURL is the address of a service, as its accounts have it in base_url.
func (s *Sim) ServiceURL(name string) string {
	return s.servers[siteServices].url() + "/" + name + services()[name].base
}

// CatalogueURL is where the simulated public catalogue of models is.
func (s *Sim) CatalogueURL() string { return s.servers[siteServices].url() + "/catalogue/api.json" }

// serviceAccounts are the accounts of all services.
func serviceAccounts() []Account {
	var list []Account
	for name := range services() {
		for _, suffix := range []string{"", "-2"} {
			list = append(list, Account{Name: name + suffix, Token: "sk-sim-" + name + suffix + "-" + Marker, Entitlement: -1})
		}
	}
	return list
}

// services are all services by name.
func services() map[string]service {
	chat := map[string]string{"/chat/completions": "/chat/completions", "/embeddings": "/embeddings", "/models": "/models"}
	openai := map[string]string{"/responses": "/responses", "/chat/completions": "/chat/completions", "/embeddings": "/embeddings", "/models": "/models"}
	efforts := []string{"low", "medium", "high"}
	both := []string{"/responses", "/chat/completions"}
	every := append([]string{"/v1/messages"}, both...)
	plain := func(reasoning string) func(*state) {
		return func(st *state) {
			st.Messages = Messages{ErrorShape: 1, Lenient: true}
			st.Chat = Chat{
				NoFilterChunk: true, NoFilterResults: true, WithObject: true, NoSplitChoices: true, NoInterleave: true, UsageIfAsked: true,
				ReasoningField: cmp.Or(reasoning, "-"),
			}
		}
	}
	return map[string]service{
		ServiceOpenAI: {
			base: "/v1", ops: openai, list: openaiList, invalid: openaiError,
			models: []Model{
				{ID: "gpt-5.4", Endpoints: both, Efforts: efforts, RejectMaxTokens: true}, {ID: "gpt-4o", Endpoints: both},
				{ID: "gpt-5-codex", Endpoints: both[:1], Efforts: efforts}, {ID: "text-embedding-3-small", Type: "embeddings"}, {ID: "whisper-1", Type: "completion"},
			},
			change: func(st *state) {
				plain("")(st)
				st.Responses = Responses{StableIDs: true, NoObfuscation: true, AllowWebSearch: true, AllowStore: true, AllowCollaboration: true}
			},
		},
		ServiceAnthropic: {
			xkey: true, list: anthropicList, invalid: anthropicErrorBody,
			ops: map[string]string{"/v1/messages": "/v1/messages", "/v1/messages/count_tokens": "/v1/messages/count_tokens", "/v1/models": "/models"},
			models: []Model{
				{ID: "claude-sonnet-4-5-20250929", Name: "Claude Sonnet 4.5", Endpoints: []string{"/v1/messages"}},
				{ID: "claude-opus-4-6", Name: "Claude Opus 4.6", Endpoints: []string{"/v1/messages"}, Adaptive: true},
			},
			change: func(st *state) { st.Messages = Messages{ErrorShape: 1, Lenient: true} },
		},
		ServiceZAI: {
			base: "/api/coding/paas/v4", ops: chat, list: openaiList, invalid: zaiError,
			change: func(st *state) {
				plain("reasoning_content")(st)
				st.Chat.UsageIfAsked = false
			},
			models: []Model{{ID: "glm-4.7", Endpoints: []string{"/chat/completions", "/v1/messages"}}, {ID: "glm-4-plus"}},
			beside: map[string]string{"/api/anthropic/v1/messages": "/v1/messages"},
		},
		ServiceDeepSeek: {
			ops: chat, list: openaiList, invalid: openaiError, change: plain("reasoning_content"),
			models: []Model{{ID: "deepseek-chat"}, {ID: "deepseek-reasoner", Thinks: true}},
		},
		ServiceOpenRouter: {
			base: "/api/v1", list: openrouterList, invalid: openrouterError, costs: true,
			ops: map[string]string{
				"/chat/completions": "/chat/completions", "/responses": "/responses", "/messages": "/v1/messages",
				"/embeddings": "/embeddings", "/models": "/models", "/key": "/key",
			},
			models: []Model{
				{ID: "anthropic/claude-sonnet-4.5", Name: "Claude Sonnet 4.5", Endpoints: every, Context: 1000000, Output: 64000, Efforts: efforts},
				{ID: "openai/gpt-5.4", Name: "GPT-5.4", Endpoints: every, Context: 400000, Output: 128000},
				{ID: "openai/text-embedding-3-small", Name: "Text Embedding 3 Small", Type: "embeddings"},
			},
			change: func(st *state) {
				plain("reasoning")(st)
				st.Chat.UsageIfAsked = false
				st.Responses = Responses{StableIDs: true, NoObfuscation: true, AllowWebSearch: true, AllowStore: true}
			},
		},
		ServiceGemini: {
			base: "/v1beta/openai", ops: chat, list: geminiList, invalid: geminiError, change: plain(""),
			models: []Model{{ID: "gemini-2.5-flash"}, {ID: "gemini-3-pro-preview"}, {ID: "gemini-embedding-001", Type: "embeddings"}},
		},
		ServiceLocal: {
			base: "/v1", anyKey: true, ops: chat, list: localList, invalid: openaiError,
			models: []Model{{ID: "qwen3:8b", Context: 32768}},
			change: func(st *state) {
				plain("reasoning_content")(st)
				st.Chat.NoUsage, st.Chat.WholeCalls = true, true
			},
		},
	}
}

// serveServices serves the services and the public catalogue.
func (s *Sim) serveServices(c *call) {
	name, rest, _ := strings.Cut(strings.TrimPrefix(c.r.URL.Path, "/"), "/")
	c.note(func(r *Request) { r.Site = name })
	if name == "catalogue" && rest == "api.json" && c.st.Services.Catalogue != nil {
		c.reply(200, typeJSON, c.st.Services.Catalogue)
		return
	}
	sv, ok := services()[name]
	path, below := strings.CutPrefix("/"+rest, sv.base)
	op := sv.ops[path]
	if op == "" && sv.beside["/"+rest] != "" {
		op, below = sv.beside["/"+rest], true
	}
	if !ok || !below || op == "" {
		c.reply(404, typeText, []byte("404 page not found\n"))
		return
	}
	c.service = &sv
	if !c.admitKey(name) {
		return
	}
	c.r.URL.Path = op
	st := *c.st
	st.models = make(map[string]*Model, len(sv.models))
	for i := range sv.models {
		m := &sv.models[i]
		m.Version = m.ID
		st.models[m.ID] = m
	}
	st.Checks = Checks{NoVisionCheck: true}
	if sv.change != nil {
		sv.change(&st)
	}
	c.st = &st
	if c.r.Method == http.MethodGet && (op == "/models" || op == "/key") {
		c.op = OpModels
		c.note(func(r *Request) { r.Op = OpModels })
		s.listService(c, name, op)
		return
	}
	route := c.route()
	c.note(func(r *Request) { r.Op = c.op })
	if route == nil {
		c.reply(405, typeJSON, []byte(sv.invalid(405, "invalid_request_error", "method not allowed")))
		return
	}
	if err := c.read(cmp.Or(c.st.MaxBody, defaultMaxBody)); err != nil {
		c.reply(413, typeJSON, []byte(sv.invalid(413, "request_too_large", err.Error())))
		return
	}
	route()
}

// listService answers GET models, and what a service says of a key.
func (s *Sim) listService(c *call, name, op string) {
	if err := c.collect("", "", nil); err != nil {
		c.mistake(err)
		return
	}
	switch {
	case c.faulted():
	case name == ServiceLocal && c.st.Services.LocalNoModels:
		c.reply(404, typeText, []byte("404 page not found\n"))
	case op == "/key":
		c.reply(200, typeJSON, []byte(`{"data":{"label":"sk-or-v1-sim","usage":1.5,"limit":null,"is_free_tier":false}}`))
	default:
		c.reply(200, typeJSON, mustJSON(c.service.list(c.service.models)))
	}
}

// admitKey finds the account of the key, or answers and returns false. A credential in the wrong place, or one too many,
// is a mistake of the client that a real service might not notice and a test must.
func (c *call) admitKey(name string) bool {
	h := c.r.Header
	var keys []string
	if _, key, ok := strings.Cut(h.Get("Authorization"), "Bearer "); ok && !c.service.xkey {
		keys = append(keys, key)
	}
	if key := h.Get("X-Api-Key"); key != "" && c.service.xkey {
		keys = append(keys, key)
	}
	var strays []string
	for _, header := range []string{"Authorization", "X-Api-Key", "Api-Key", "X-Goog-Api-Key", "Cookie", "Proxy-Authorization"} {
		if v := h.Get(header); v != "" && !slices.Contains(keys, strings.TrimPrefix(v, "Bearer ")) {
			strays = append(strays, header)
		}
	}
	c.account = c.sim.accounts.byToken(strings.Join(keys, ""))
	if c.account == nil && c.service.anyKey && len(keys) == 0 {
		c.account = c.sim.accounts.named(name)
	}
	switch {
	case len(strays) > 0:
		c.reply(400, typeJSON, []byte(c.service.invalid(400, "invalid_request_error", "simulator: a credential that does not belong here, in "+strings.Join(strays, ", "))))
		return false
	case c.account == nil || strings.TrimSuffix(c.account.name, "-2") != name:
		status := 401
		if name == ServiceGemini {
			status = 400
		}
		c.reply(status, typeJSON, []byte(c.service.invalid(status, "authentication_error", "Incorrect API key provided. API key not valid.")))
		return false
	case c.service.xkey && h.Get("Anthropic-Version") == "":
		c.reply(400, typeJSON, []byte(c.service.invalid(400, "invalid_request_error", "anthropic-version: header is required")))
		return false
	}
	c.who = c.st.describe(c.account)
	c.note(func(r *Request) { r.Account = c.account.name })
	c.account.count(func(n *Counts) { n.Requests++ })
	return true
}

// charge counts a request where requests are counted. It answers and returns false when there is none left.
func (c *call) charge(m *Model) bool {
	if c.service != nil {
		return true
	}
	if !c.bill(m) {
		return false
	}
	c.quotaHeaders()
	return true
}

// serviceGates checks what the services insist on and Copilot does not.
func (c *call) serviceGates(a *ask) error {
	no := func(status int, kind, message string) error {
		return &errRefused{reply{status: status, contentType: typeJSON, body: c.service.invalid(status, kind, message)}}
	}
	m := c.st.models[a.modelID]
	if m == nil {
		return no(404, "not_found_error", "The model `"+a.modelID+"` does not exist or you do not have access to it.")
	}
	if c.op == OpResponses && m.Efforts == nil && strings.Contains(string(c.body), `"reasoning.encrypted_content"`) {
		return no(400, "invalid_request_error", "Encrypted content is not supported with this model.")
	}
	return nil
}

func openaiList(models []Model) any {
	var data []object
	for _, m := range models {
		data = append(data, object{"id": m.ID, "object": "model", "created": 1700000000, "owned_by": "system"})
	}
	return object{"object": "list", "data": data}
}

func anthropicList(models []Model) any {
	var data []object
	for _, m := range models {
		data = append(data, object{"type": "model", "id": m.ID, "display_name": m.Name, "created_at": "2025-09-29T00:00:00Z"})
	}
	return object{"data": data, "has_more": false, "first_id": models[0].ID, "last_id": models[len(models)-1].ID}
}

func openrouterList(models []Model) any {
	var data []object
	for _, m := range models {
		parameters := []string{"tools", "max_tokens"}
		if m.Efforts != nil {
			parameters = append(parameters, "reasoning")
		}
		data = append(data, object{
			"id": m.ID, "name": m.Name, "context_length": m.Context, "supported_parameters": parameters,
			"architecture": object{"input_modalities": []string{"text", "image"}, "output_modalities": []string{"text"}},
			"pricing":      object{"prompt": dollars(promptPrice), "completion": dollars(completionPrice), "input_cache_read": dollars(cachePrice)},
			"top_provider": object{"max_completion_tokens": m.Output},
		})
	}
	return object{"data": data}
}

// What every model of OpenRouter's costs, in nanodollars for a token.
const (
	promptPrice     = 3000
	completionPrice = 15000
	cachePrice      = 300
)

// dollars writes an amount of nanodollars as OpenRouter does.
func dollars(nano int) string { return strconv.FormatFloat(float64(nano)/1e9, 'f', -1, 64) }

// addCost adds to a usage object what the answer cost, where the service says it.
func (c *call) addCost(usage object, a *ask, out *answer) object {
	if c.service != nil && c.service.costs {
		usage["cost"] = json.Number(dollars((a.prompt-out.cached)*promptPrice + out.cached*cachePrice + out.output*completionPrice))
		usage["is_byok"] = false
		usage["cost_details"] = object{"upstream_inference_cost": nil}
	}
	return usage
}

func geminiList(models []Model) any {
	var data []object
	for _, m := range models {
		data = append(data, object{"id": "models/" + m.ID, "object": "model", "owned_by": "google"})
	}
	return object{"object": "list", "data": data}
}

func localList(models []Model) any {
	var data []object
	for _, m := range models {
		data = append(data, object{"id": m.ID, "object": "model", "owned_by": "llamacpp", "meta": object{"n_ctx_train": m.Context}})
	}
	return object{"object": "list", "data": data, "models": []object{{"name": models[0].ID}}}
}

func openaiError(status int, kind, message string) string {
	code := map[int]any{401: "invalid_api_key", 404: "model_not_found"}[status]
	return string(mustJSON(object{"error": object{"message": message, "type": kind, "param": nil, "code": code}}))
}

func anthropicErrorBody(_ int, kind, message string) string {
	return string(mustJSON(object{"type": "error", "error": object{"type": kind, "message": message}, "request_id": "req_sim"}))
}

func zaiError(status int, _, message string) string {
	code := map[int]string{401: "1000", 404: "1211"}[status]
	return string(mustJSON(object{"error": object{"code": cmp.Or(code, "1210"), "message": message}}))
}

func openrouterError(status int, _, message string) string {
	return string(mustJSON(object{"error": object{"code": status, "message": message}}))
}

func geminiError(status int, _, message string) string {
	return string(mustJSON([]object{{"error": object{"code": status, "message": message, "status": "INVALID_ARGUMENT"}}}))
}

// unreadable is what a service says to a body that it cannot read.
func (c *call) unreadable(err error) {
	if c.service == nil {
		c.refuse(400, "bad request: "+err.Error()+"\n")
		return
	}
	message := err.Error()
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		message = "could not parse the JSON body at offset " + strconv.FormatInt(syntax.Offset, 10)
	}
	c.reply(400, typeJSON, []byte(c.service.invalid(400, "invalid_request_error", message)))
}
