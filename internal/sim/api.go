package sim

import (
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// serveAPI serves api.github.com.
func (s *Sim) serveAPI(c *call) {
	c.githubHeaders()
	if c.r.Header.Get("User-Agent") == "" {
		c.reply(403, typeText, []byte("Request forbidden by administrative rules. Please make sure your request has a User-Agent header.\n"))
		return
	}
	var serve func(string)
	switch c.r.URL.Path {
	case "/copilot_internal/v2/token":
		c.op, serve = OpExchange, c.exchange
	case "/copilot_internal/user":
		c.op, serve = OpUsage, func(string) { c.reply(200, typeUTF8, c.usage()) }
	case "/user":
		c.op, serve = OpIdentity, func(string) { c.identity() }
	}
	c.note(func(r *Request) { r.Op = c.op })
	if serve == nil || c.r.Method != http.MethodGet {
		c.github(githubError(404, "Not Found"))
		return
	}
	token, ok := githubToken(c.r)
	if ok {
		c.account = c.sim.accounts.byToken(token)
	}
	if c.account != nil {
		c.who = c.st.describe(c.account)
		c.note(func(r *Request) { r.Account = c.account.name })
	}
	if err := c.collect("", "", nil); err != nil {
		c.mistake(err)
		return
	}
	if c.faulted() {
		return
	}
	if c.account == nil {
		c.github(githubError(401, "Bad credentials"))
		return
	}
	serve(token)
}

// github sends an error answer of the management API.
func (c *call) github(r reply) {
	for k, v := range r.header {
		c.w.Header().Set(k, v)
	}
	c.reply(r.status, r.contentType, []byte(r.body))
}

// githubToken takes the token from the schemes that the API accepts.
func githubToken(r *http.Request) (string, bool) {
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok || (!strings.EqualFold(scheme, "token") && !strings.EqualFold(scheme, "bearer")) {
		return "", false
	}
	return token, true
}

// identity answers GET /user.
func (c *call) identity() {
	o := object{
		"login": c.who.Name, "id": c.who.ID, "node_id": "U_" + strconv.FormatInt(c.who.ID, 36),
		"type": "User", "name": c.who.Name, "email": nil,
	}
	if c.who.Email != "" && !c.st.Login.NullEmail {
		o["email"] = c.who.Email
	}
	c.reply(200, typeUTF8, mustJSON(o))
}

// exchange turns a GitHub token into a Copilot token.
func (c *call) exchange(token string) {
	x := c.st.Exchange
	agent := c.r.Header.Get("User-Agent")
	switch {
	case strings.HasPrefix(token, "ghp_"):
		c.github(githubError(404, "Not Found"))
	case strings.HasPrefix(token, "github_pat_"):
		c.github(githubError(403, "Resource not accessible by personal access token"))
	case x.RejectGoClient && strings.HasPrefix(agent, "Go-http-client"):
		c.github(noAccess("go_http_client"))
	case x.RequireEditor && (c.r.Header.Get("Editor-Version") == "" || c.r.Header.Get("Editor-Plugin-Version") == ""):
		c.github(noAccess("programmatic_token_generation"))
	case c.who.Access == AccessNone:
		c.github(noAccess("no_copilot_access"))
	case c.who.Access == AccessApp:
		c.github(githubError(403, "Resource not accessible by integration"))
	case c.who.Access == AccessMissing:
		c.github(githubError(404, "Not Found"))
	default:
		c.reply(200, typeUTF8, c.mint())
	}
}

// mint makes a Copilot token and returns the answer that carries it.
func (c *call) mint() []byte {
	x := c.st.Exchange
	now := c.sim.now()
	life, refresh := x.ExpiresIn, x.RefreshIn
	if life == 0 {
		life = 30 * time.Minute
	}
	if refresh == 0 {
		refresh = 25 * time.Minute
	}
	expires := now.Add(life)
	tracking := c.sim.ids.hex(32)
	exp := expires.Add(x.Skew).Unix()
	_, host, _ := strings.Cut(c.inferenceURL(c.who.site()), "://")
	host = strings.Replace(host, "api.", "proxy.", 1)
	token := "tid=" + tracking + ";exp=" + strconv.FormatInt(exp, 10) + ";sku=" + c.who.sku() +
		";proxy-ep=" + host + ";st=dotcom;chat=1;cit=1;malfil=1;agent_mode=1;mcp=1;8kp=1;ip=203.0.113.7;asn=AS64500:" +
		Marker + c.sim.ids.hex(40)
	c.sim.accounts.mint(token, &copilotToken{account: c.account, expires: expires, soft: now.Add(refresh)})

	plan := c.who.plan()
	personal := plan != "business" && plan != "enterprise"
	o := object{
		"token": token, "expires_at": exp, "refresh_in": int(refresh / time.Second),
		"sku": c.who.sku(), "individual": personal, "chat_enabled": c.who.Access != AccessChatOff,
		"tracking_id": tracking, "organization_list": []string{}, "enterprise_list": nil,
		"public_suggestions": "enabled", "telemetry": "enabled",
		"annotations_enabled": true, "chat_jetbrains_enabled": true, "blackbird_clientside_indexing": false,
		"code_quote_enabled": true, "code_review_enabled": true, "codesearch": true, "copilotignore_enabled": false,
		"prompt_8k": true, "snippy_load_test_enabled": false, "xcode": true, "xcode_chat": true,
		"vsc_electron_fetcher_v2": false, "can_signup_for_limited": false,
		"limited_user_quotas": nil, "limited_user_reset_date": nil,
		"member_nobody_knows": object{"nested": []int{1, 2, 3}},
	}
	if !personal {
		o["organization_list"] = []string{"4535c7beffc844b46bb1ed4aa04d759a"}
	}
	if plan == "free" {
		chat, completions := c.who.free()
		o["limited_user_quotas"] = object{"chat": chat, "completions": completions}
		o["limited_user_reset_date"] = now.AddDate(0, 1, 0).Unix()
	}
	if id := c.who.NotificationID; id != "" {
		o["user_notification"] = object{"message": "A message about " + id + ".", "notification_id": id, "title": "Notice", "url": "https://github.com/settings/copilot"}
	}
	if e := c.endpoints(x.Endpoints); e != nil {
		o["endpoints"] = e
	}
	maps.Copy(o, x.Extra)
	return mustJSON(o)
}

// endpoints is the endpoints member; nil for absent.
func (c *call) endpoints(mode string) object {
	url := c.inferenceURL(c.who.site())
	switch mode {
	case "":
	case "absent":
		return nil
	case "wrong":
		url = c.inferenceURL(otherSite(c.who.site()))
	default:
		url = mode
	}
	return object{
		"api": url, "proxy": "https://proxy.individual.githubcopilot.com",
		"telemetry":      "https://telemetry.individual.githubcopilot.com",
		"origin-tracker": "https://origin-tracker.individual.githubcopilot.com",
	}
}

// inferenceURL is the base URL of an inference host: its real name for clients
// that used real names themselves.
func (c *call) inferenceURL(at site) string {
	if c.site == siteOrigin || c.site == siteOriginPlain {
		return "https://api." + string(at) + ".githubcopilot.com"
	}
	return c.sim.servers[at].url()
}

// otherSite is an inference host that does not serve accounts of s.
func otherSite(s site) site {
	if s == siteIndividual {
		return siteBusiness
	}
	return siteIndividual
}
