package copilot

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"

	"detour/providers"
)

// The newest set of versions known to belong together.
const (
	editorVersion        = "vscode/1.124.2"
	editorPluginVersion  = "copilot-chat/0.52.0"
	apiVersion           = "2026-06-01"
	managementAPIVersion = "2025-04-01"
	integrationID        = "vscode-chat"
	defaultIntent        = "conversation-agent"
	fetcherVersion       = "electron-fetch"

	// pluginClientID is the public id of the Copilot editor plugins' GitHub App.
	pluginClientID = "Iv1.b507a08c87ecfe98"
	defaultScope   = "read:user"
)

// omit is the value that leaves a header out.
const omit = "none"

// Settings implements providers.Configurable.
func (*Provider) Settings() []providers.SettingInfo {
	return []providers.SettingInfo{
		{Name: "account_type", Doc: `individual, business or enterprise: the inference host when the token exchange names none; default: the generic host.`},
		{Name: "api_version", Default: apiVersion, Doc: `X-GitHub-Api-Version of the inference plane; "none" leaves it out.`},
		{Name: "auth", Default: authExchange, Doc: `"exchange" trades the GitHub token for a Copilot token; "direct" sends the GitHub token itself.`},
		{Name: "client_id", Default: pluginClientID, Doc: `OAuth client id of the device sign-in.`},
		{Name: "copilot_api_url", Doc: `Inference address; wins over the one that the token exchange names, and is trusted.`},
		{Name: "copilot_integration_id", Default: integrationID, Doc: `Copilot-Integration-Id, which scopes the model list; "none" leaves it out.`},
		{Name: "editor_plugin_version", Default: editorPluginVersion, Doc: `Editor-Plugin-Version; "none" leaves it out.`},
		{Name: "editor_version", Default: editorVersion, Doc: `Editor-Version; "none" leaves it out.`},
		{Name: "enterprise_domain", Doc: `Domain of a data-residency enterprise, such as acme.ghe.com.`},
		{Name: "github_api_url", Default: githubAPIURL, Doc: `Address of the token exchange and of quota; follows enterprise_domain.`},
		{Name: "github_url", Default: githubURL, Doc: `Address of the sign-in; follows enterprise_domain.`},
		{Name: "initiator_mode", Default: modeAuto, Doc: `X-Initiator where the client sends none: "auto" judges by the last message, "header-only" and "always-user" say user.`},
		{Name: "long_context", Default: longAuto, Doc: `Whether the context-1m beta, which costs extra, goes upstream when a client asks for it or names a model with [1m] behind it: "auto" for models to which the catalogue gives more than 200,000 tokens, "true" for all, "false" for none.`},
		{Name: "management_api_version", Default: managementAPIVersion, Doc: `X-GitHub-Api-Version of the token exchange; "none" leaves it out.`},
		{Name: "openai_intent", Default: defaultIntent, Doc: `OpenAI-Intent and X-Interaction-Type of inference requests; "none" leaves both out.`},
		{Name: "scope", Default: defaultScope, Doc: `OAuth scope of the device sign-in.`},
		{Name: "user_agent", Doc: `User-Agent; default: GitHubCopilotChat/ and the version in editor_plugin_version.`},
	}
}

const (
	authExchange = "exchange"
	authDirect   = "direct"

	modeAuto       = "auto"
	modeHeaderOnly = "header-only"
	modeUser       = "always-user"

	longAuto   = "auto"
	longAlways = "true"
	longNever  = "false"
)

// settings are an account's knobs, checked and with their defaults in place.
type settings struct {
	github, githubAPI string // without trailing slash
	base              string // inference address that the owner configured, or ""
	domain            string // enterprise domain, or ""
	accountType       string // "" when not configured
	direct            bool
	initiatorMode     string
	longContext       string

	clientID, scope string

	editor, plugin, agent, integration, intent, api, managementAPI string // omit leaves the header out
}

// parseSettings checks the settings of an account. All mistakes are reported together.
func parseSettings(m map[string]string, global URLs, baseURL string) (settings, error) {
	var errs []error
	known := knownSettings()
	for _, name := range slices.Sorted(maps.Keys(m)) {
		if !slices.Contains(known, name) {
			errs = append(errs, providers.UnknownName("setting", name, known))
		}
	}
	wrong := func(name string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("setting %s: %w", name, err))
		}
	}
	word := func(name, fallback string) string {
		if v := strings.TrimSpace(m[name]); v != "" {
			return v
		}
		return fallback
	}
	header := func(name, fallback string) string {
		v := word(name, fallback)
		if !httpguts.ValidHeaderFieldValue(v) {
			wrong(name, errors.New("holds characters that no header may have"))
		}
		return v
	}
	// address takes the first that is given; name is what to blame for it.
	address := func(fallback string, from ...[2]string) string {
		for _, f := range from {
			if strings.TrimSpace(f[1]) != "" {
				u, err := ownURL(f[1])
				wrong(f[0], err)
				return u
			}
		}
		return fallback
	}

	s := settings{
		clientID:      word("client_id", pluginClientID),
		scope:         word("scope", defaultScope),
		editor:        header("editor_version", editorVersion),
		plugin:        header("editor_plugin_version", editorPluginVersion),
		integration:   header("copilot_integration_id", integrationID),
		intent:        header("openai_intent", defaultIntent),
		api:           header("api_version", apiVersion),
		managementAPI: header("management_api_version", managementAPIVersion),
	}
	s.agent = header("user_agent", agentOf(s.plugin))
	if s.agent == omit { // without one the HTTP client would name itself, which is refused
		wrong("user_agent", errors.New("cannot be left out"))
	}

	var err error
	s.domain, err = NormalizeDomain(m["enterprise_domain"])
	wrong("enterprise_domain", err)
	site, api := githubURL, githubAPIURL
	if s.domain != "" {
		site, api = "https://"+s.domain, "https://api."+s.domain
	}
	s.github = address(site, [2]string{"github_url", m["github_url"]}, [2]string{"github_url", global.GitHub})
	s.githubAPI = address(api, [2]string{"github_api_url", m["github_api_url"]}, [2]string{"github_api_url", global.GitHubAPI})
	s.base = address("", [2]string{"copilot_api_url", m["copilot_api_url"]}, [2]string{"base_url", baseURL}, [2]string{"copilot_api_url", global.CopilotAPI})

	s.accountType, err = oneOf(m["account_type"], "", "individual", "business", "enterprise")
	wrong("account_type", err)
	auth, err := oneOf(m["auth"], authExchange, authDirect)
	wrong("auth", err)
	s.direct = auth == authDirect
	s.longContext, err = oneOf(m["long_context"], longAuto, longAlways, longNever)
	wrong("long_context", err)
	s.initiatorMode, err = initiatorMode(m["initiator_mode"])
	wrong("initiator_mode", err)
	return s, errors.Join(errs...)
}

func knownSettings() []string {
	infos := (*Provider)(nil).Settings()
	names := make([]string, len(infos))
	for i, info := range infos {
		names[i] = info.Name
	}
	return names
}

// oneOf returns v in lower case if it is one of words, and the first of them when v is empty.
func oneOf(v string, words ...string) (string, error) {
	v = strings.ToLower(strings.TrimSpace(v))
	if v == "" {
		return words[0], nil
	}
	if slices.Contains(words, v) {
		return v, nil
	}
	return words[0], fmt.Errorf("%q is none of %s", v, strings.Join(slices.DeleteFunc(slices.Clone(words), func(w string) bool { return w == "" }), ", "))
}

func initiatorMode(v string) (string, error) {
	v = strings.ReplaceAll(v, "_", "-")
	if strings.Contains(strings.ToLower(v), "agent") {
		return modeAuto, errors.New("the initiator cannot be forced to agent: that reports a person's requests as free follow-ups, which the upstream treats as abuse")
	}
	return oneOf(v, modeAuto, modeHeaderOnly, modeUser)
}

// agentOf names the user agent that goes with a plugin version.
func agentOf(plugin string) string {
	_, version, ok := strings.Cut(plugin, "/")
	if !ok {
		_, version, _ = strings.Cut(editorPluginVersion, "/")
	}
	return "GitHubCopilotChat/" + version
}
