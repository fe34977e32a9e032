package copilot

import (
	"crypto/sha256"
	"net/http"
	"strings"

	"detour/internal/dialect"
	"detour/internal/llm"
	"detour/providers"
)

// set adds a header unless the owner left it out.
func set(h http.Header, name, value string) {
	if value != omit && value != "" {
		h.Set(name, value)
	}
}

// identityHeader is the part of an inference request's headers that is the same for the life of the process.
func (p *Provider) identityHeader(s *settings) http.Header {
	h := make(http.Header, 24)
	set(h, "User-Agent", s.agent)
	set(h, "Editor-Version", s.editor)
	set(h, "Editor-Plugin-Version", s.plugin)
	set(h, "Copilot-Integration-Id", s.integration)
	set(h, "X-Github-Api-Version", s.api)
	h.Set("Editor-Device-Id", p.install.DeviceID)
	h.Set("Vscode-Machineid", p.install.MachineID)
	h.Set("Vscode-Sessionid", p.session)
	h.Set("X-Vscode-User-Agent-Library-Version", fetcherVersion)
	return h
}

// managementHeader is what every request to the management plane carries beside its credential.
func managementHeader(s *settings) http.Header {
	h := make(http.Header, 8)
	set(h, "User-Agent", s.agent)
	set(h, "Editor-Version", s.editor)
	set(h, "Editor-Plugin-Version", s.plugin)
	set(h, "X-Github-Api-Version", s.managementAPI)
	h.Set("X-Vscode-User-Agent-Library-Version", fetcherVersion)
	h.Set("Accept", "application/json")
	return h
}

// header builds all headers of one inference request but its credential. Of the client's own headers it takes over
// X-Initiator, anthropic-version, X-Codex-Turn-State and the betas that the upstream is known to accept, and nothing else.
func (st *state) header(c *providers.Call, betas []string) http.Header {
	h := st.identity.Clone()
	id := newUUID()
	h.Set("X-Request-Id", id)
	h.Set("X-Agent-Task-Id", id)
	if c.Endpoint != dialect.EndpointModels {
		h.Set("Content-Type", "application/json")
	}
	accept := "application/json"
	if c.Stream {
		accept = "text/event-stream"
	}
	h.Set("Accept", accept)

	switch c.Endpoint {
	case dialect.EndpointModels:
		st.kind(h, "model-access")
		return h
	case dialect.EndpointEmbeddings:
		st.kind(h, "copilot-panel")
		return h
	case dialect.EndpointMessages, dialect.EndpointCountTokens:
		version := c.Header.Get("Anthropic-Version")
		if version == "" || len(version) > 64 {
			version = "2023-06-01"
		}
		h.Set("Anthropic-Version", version)
		if len(betas) > 0 {
			h.Set("Anthropic-Beta", strings.Join(betas, ","))
		}
	}
	if v := c.Header.Get("X-Codex-Turn-State"); v != "" { // the caller lets through only what this account was given
		h.Set("X-Codex-Turn-State", v)
	}
	st.kind(h, st.intent)
	h.Set("X-Interaction-Id", interactionID(c.Interaction))
	by := st.initiator(c)
	h.Set("X-Initiator", string(by))
	if by == llm.InitiatorAgent && c.Purpose != "" && st.intent != omit {
		h.Set("X-Interaction-Type", "conversation-"+string(c.Purpose))
	}
	if c.Vision {
		h.Set("Copilot-Vision-Request", "true")
	}
	return h
}

func (st *state) kind(h http.Header, kind string) {
	if st.intent == omit {
		return
	}
	h.Set("Openai-Intent", kind)
	h.Set("X-Interaction-Type", kind)
}

// initiator says who the request is made for. What the client itself says wins; a person is the answer in doubt,
// because that is how the upstream reads a missing header.
func (st *state) initiator(c *providers.Call) llm.Initiator {
	switch v := llm.Initiator(strings.ToLower(strings.TrimSpace(c.Header.Get("X-Initiator")))); v {
	case llm.InitiatorUser, llm.InitiatorAgent:
		return v
	}
	if st.initiatorMode == modeAuto && c.Initiator == llm.InitiatorAgent {
		return llm.InitiatorAgent
	}
	return llm.InitiatorUser
}

// interactionID turns the conversation's name into a UUID. One that is a UUID stays; any other is hashed, so that
// what a client put into it goes nowhere; without a name each request is its own interaction.
func interactionID(name string) string {
	if name == "" {
		return newUUID()
	}
	if isUUID(name) {
		return strings.ToLower(name)
	}
	sum := sha256.Sum256([]byte(name))
	return formatUUID([16]byte(sum[:16]), 8)
}

func isUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if c != '-' {
				return false
			}
		case '0' <= c && c <= '9', 'a' <= c && c <= 'f', 'A' <= c && c <= 'F':
		default:
			return false
		}
	}
	return true
}

// Headers shows the headers that a request of a to e would carry, with the credential masked. It does no I/O; ids
// that are made for each request are made up.
func (p *Provider) Headers(a *providers.Account, e dialect.Endpoint) (http.Header, error) {
	st, err := stateOf(a)
	if err != nil {
		return nil, err
	}
	h := st.header(&providers.Call{Endpoint: e, Initiator: llm.InitiatorUser}, nil)
	h.Set("Authorization", "Bearer ***")
	return h, nil
}
