package sim

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"
)

// defaultMaxBody is the body limit of the zero Scenario.
const defaultMaxBody = 20 << 20

// serveCopilot serves an inference host.
func (s *Sim) serveCopilot(c *call) {
	c.dataHeaders()
	if c.r.URL.Path == "/_ping" {
		c.note(func(r *Request) { r.Op = OpPing })
		c.reply(200, typeText, []byte("OK"))
		return
	}
	route := c.route()
	c.note(func(r *Request) { r.Op = c.op })
	if route == nil {
		c.reply(404, typeText, []byte("404 page not found\n"))
		return
	}
	if !c.authenticate() || !c.identified() {
		return
	}
	if c.st.canned != nil && c.cannedReply() {
		return
	}
	limit := c.st.MaxBody
	if limit == 0 {
		limit = defaultMaxBody
	}
	switch err := c.read(limit); {
	case errors.Is(err, errBodyTooLarge):
		c.reply(413, typeHTML, []byte(tooLargePage))
		return
	case err != nil:
		c.reply(400, typeText, []byte("bad request: "+err.Error()+"\n"))
		return
	}
	route()
}

// route finds the operation of the request; nil when there is none.
func (c *call) route() func() {
	switch c.r.Method + " " + c.r.URL.Path {
	case "GET /models":
		c.op = OpModels
		return c.models
	case "POST /models/session":
		c.op = OpSession
		return c.session
	case "POST /chat/completions":
		c.op = OpChat
		return func() { c.infer(decodeChat, c.chat) }
	case "POST /responses":
		c.op = OpResponses
		return func() { c.infer(decodeResponses, c.responses) }
	case "GET /responses":
		if upgrades(c.r) {
			c.op = OpSocket
			return c.socket
		}
	case "POST /v1/messages":
		c.op = OpMessages
		return func() { c.infer(decodeMessages, c.messages) }
	case "POST /v1/messages/count_tokens":
		c.op = OpCountTokens
		return func() { c.infer(decodeMessages, c.countTokens) }
	case "POST /embeddings":
		c.op = OpEmbeddings
		return c.embeddings
	}
	return nil
}

// dataHeaders sets what all inference answers carry.
func (c *call) dataHeaders() {
	h := c.w.Header()
	id := c.sim.ids.uuid()
	h["X-Github-Request-Id"] = []string{c.sim.ids.githubRequest()}
	h["X-Copilot-Service-Request-Id"] = []string{id}
	h["X-Github-Backend"] = []string{"Kubernetes"}
	h["Strict-Transport-Security"] = []string{"max-age=31536000"}
	h["X-Content-Type-Options"] = []string{"nosniff"}
	if own := c.r.Header["X-Request-Id"]; len(own) > 0 {
		h["X-Request-Id"] = own[:1]
	} else {
		h["X-Request-Id"] = []string{id}
	}
}

// authenticate finds the account of the token, or answers and returns false.
func (c *call) authenticate() bool {
	scheme, token, _ := strings.Cut(c.r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "bearer") || token == "" {
		c.reply(401, typeText, []byte(tokenExpired))
		return false
	}
	if m := c.sim.accounts.minted(token); m != nil {
		c.account = m.account
		c.who = c.st.describe(c.account)
		c.note(func(r *Request) { r.Account = c.account.name })
		if !m.live(c.sim.now(), c.st.Exchange.SoftEnd) {
			c.reply(401, typeText, []byte(tokenExpired))
			return false
		}
		return c.admit()
	}
	if isPAT(token) {
		c.reply(400, typeText, []byte(patRefused))
		return false
	}
	c.account = c.sim.accounts.byToken(token)
	if c.account == nil || c.st.Checks.RejectDirect {
		c.reply(401, typeText, []byte(tokenExpired))
		return false
	}
	c.who = c.st.describe(c.account)
	c.note(func(r *Request) { r.Account = c.account.name })
	return c.admit()
}

// admit checks the host and the licence of an account whose token is good.
func (c *call) admit() bool {
	c.account.count(func(n *Counts) { n.Requests++ })
	if c.who.site() != c.site && !c.st.AnyHost && c.site != siteOrigin && c.site != siteOriginPlain {
		c.reply(421, typeText, []byte(misdirected))
		return false
	}
	if c.who.Access == AccessUnpaid || c.who.Access == AccessNone {
		c.reply(403, typeText, []byte(notLicensed))
		return false
	}
	return true
}

// identified checks the identity headers, if the scenario wants that.
func (c *call) identified() bool {
	k := &c.st.Checks
	h := c.r.Header
	if slices.Contains(k.OldPlugins, h.Get("Editor-Plugin-Version")) {
		c.refuseClient()
		return false
	}
	if !k.RequireIdentity || h.Get("Editor-Version") != "" && h.Get("Editor-Plugin-Version") != "" && h.Get("Copilot-Integration-Id") != "" {
		return true
	}
	agent := h.Get("User-Agent")
	for _, known := range []string{"vscode_claude_code/", "vscode_codex/", "opencode/", "copilot/"} {
		if strings.HasPrefix(agent, known) {
			return true
		}
	}
	c.refuseClient()
	return false
}

// refuseClient answers a client whose identity is not accepted.
func (c *call) refuseClient() {
	switch status := c.st.Checks.IdentityStatus; status {
	case 401, 403:
		c.reply(status, typeHTML, []byte(htmlPage("Access denied")))
	case 466:
		c.reply(status, typeText, []byte(clientNotSupported))
	default:
		c.reply(400, typeText, []byte("bad request: missing Editor-Version header for IDE auth\n"))
	}
}

// refuse sends an error of the inference hosts.
func (c *call) refuse(status int, body string) { c.reply(status, typeText, []byte(body)) }

// models answers GET /models.
func (c *call) models() {
	if err := c.collect("", "", nil); err != nil {
		c.mistake(err)
		return
	}
	if c.faulted() {
		return
	}
	scope, ok := c.st.Checks.Scoped[c.r.Header.Get("Copilot-Integration-Id")]
	if !ok {
		c.reply(200, typeUTF8, c.st.catalogue)
		return
	}
	c.reply(200, typeUTF8, renderCatalogue(slices.DeleteFunc(slices.Clone(c.st.Models), func(m Model) bool {
		return !slices.Contains(scope, m.ID)
	})))
}

// session answers POST /models/session, the start of the automatic mode.
func (c *call) session() {
	if err := c.collect("", "", nil); err != nil {
		c.mistake(err)
		return
	}
	if c.faulted() {
		return
	}
	var ids []string
	for i := range c.st.Models {
		if m := &c.st.Models[i]; m.Picker && m.Policy != PolicyDisabled && m.Policy != PolicyUnconfigured {
			ids = append(ids, m.ID)
		}
	}
	if len(ids) == 0 {
		c.refuse(400, noModelEndpoints)
		return
	}
	c.reply(200, typeUTF8, mustJSON(object{
		"available_models": ids, "selected_model": ids[0], "session_token": "eyJ" + Marker + c.sim.ids.hex(32),
		"expires_at": c.sim.now().Add(time.Hour).Unix(), "discounted_costs": object{ids[0]: 0.1},
	}))
}

// errRefused is returned by decoders for requests that are refused with a body
// of their own.
type errRefused struct{ reply reply }

func (e *errRefused) Error() string { return "request refused: " + e.reply.body }

// refused makes an errRefused of the inference hosts.
func refused(body string) error {
	return &errRefused{reply{status: http.StatusBadRequest, contentType: typeText, body: body}}
}

// infer serves an inference request: decode, faults, checks, answer.
func (c *call) infer(decode func(*call) (*ask, error), answer func(*ask)) {
	a, err := decode(c)
	var no *errRefused
	if err != nil && !errors.As(err, &no) {
		c.unreadable(err)
		return
	}
	if a != nil {
		a.settle(c.body)
		c.note(func(r *Request) { r.Model = a.modelID })
		if err := c.collect(a.modelID, a.userText, a.directives); err != nil {
			c.mistake(err)
			return
		}
		if c.faulted() {
			return
		}
	}
	if no == nil {
		err = c.gates(a)
		if err != nil && !errors.As(err, &no) {
			c.mistake(err)
			return
		}
	}
	if no != nil {
		c.reply(no.reply.status, no.reply.contentType, []byte(no.reply.body))
		return
	}
	if c.charge(a.model) {
		answer(a)
	}
}

// gates checks what does not depend on the surface.
func (c *call) gates(a *ask) error {
	a.model = c.st.models[a.modelID]
	if c.service != nil {
		if err := c.serviceGates(a); err != nil {
			return err
		}
	}
	if a.model == nil || a.model.Policy == PolicyDisabled || a.model.Policy == PolicyUnconfigured {
		return refused(modelNotSupported)
	}
	endpoint := c.r.URL.Path
	if c.op == OpCountTokens {
		endpoint = "/v1/messages"
	}
	if c.onSocket {
		endpoint = "ws:" + endpoint
	}
	if !slices.Contains(a.model.endpoints(), endpoint) {
		return refused(unsupportedAPI(a.modelID, endpoint))
	}
	if a.model.Plans != nil && !slices.Contains(a.model.Plans, c.who.restriction()) {
		return refused(noModelEndpoints)
	}
	if a.model.Prompt > 0 && a.prompt > a.model.Prompt {
		return refused(promptTooLong(a.prompt, a.model.Prompt))
	}
	if a.image && !c.st.Checks.NoVisionCheck && !strings.EqualFold(c.r.Header.Get("Copilot-Vision-Request"), "true") {
		return refused(missingVision)
	}
	initiator := strings.ToLower(c.r.Header.Get("X-Initiator"))
	if c.st.Checks.RequireInitiator && initiator != "user" && initiator != "agent" {
		return refused(codeBody("invalid_request_body", "missing or invalid X-Initiator header"))
	}
	return nil
}

// bill counts the request against the premium quota. It answers and returns
// false when there is none left.
func (c *call) bill(m *Model) bool {
	initiator := "user" // what is missing or no known value counts as user
	if strings.EqualFold(strings.TrimSpace(c.r.Header.Get("X-Initiator")), "agent") {
		initiator = "agent"
	}
	cost := 0.0
	if initiator == "user" && c.op != OpCountTokens && c.op != OpEmbeddings {
		cost = m.Multiplier
	}
	a := c.account
	a.mu.Lock()
	limited := c.who.Entitlement >= 0 && !c.who.Overage && !c.who.TokenBilled
	if limited && m.Multiplier > 0 && c.who.Used+a.counts.Premium+cost > c.who.entitlement() {
		a.mu.Unlock()
		c.w.Header().Set("Retry-After", resetDate(c.sim.now()).Format(http.TimeFormat))
		c.refuse(402, codeBody("quota_exceeded", "You have no quota"))
		return false
	}
	a.counts.Premium += cost
	if initiator == "user" {
		a.counts.User++
	} else {
		a.counts.Agent++
	}
	a.mu.Unlock()
	c.note(func(r *Request) { r.Initiator, r.Premium = initiator, cost })
	return true
}

// decode parses the body into v.
func (c *call) decode(v any) error { return json.Unmarshal(c.body, v) }
