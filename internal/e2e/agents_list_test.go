//go:build e2e

package e2e_test

import (
	"fmt"
	"slices"
)

const (
	openaiHost    = "https://api.openai.com"
	anthropicHost = "https://api.anthropic.com"
	geminiHost    = "https://generativelanguage.googleapis.com"
	node22        = "node@22.23.3"
)

// The models of the simulated Copilot by the dialect that they speak best.
var (
	messagesFirst  = []string{"claude-sonnet-4.6", "gpt-5.4", "gpt-4o", "gemini-3.5-flash"}
	responsesFirst = []string{"gpt-5.4", "claude-sonnet-4.6", "gpt-4o"}
	chatFirst      = []string{"gpt-4o", "gpt-5.4", "claude-sonnet-4.6"}
)

func agents() []agent {
	claudeArgs := func(model, question string) []string {
		return []string{"-p", question, "--model", model, "--allowedTools", "Bash"}
	}
	claudeAt := func(base, _ string) ([]string, []string, map[string]string) {
		if base == anthropicHost {
			return nil, nil, nil
		}
		return []string{"ANTHROPIC_BASE_URL=" + base}, nil, nil
	}
	claudeEnv := []string{"ANTHROPIC_API_KEY=sk-client-own", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1", "DISABLE_AUTOUPDATER=1"}
	codexArgs := func(model, question string) []string {
		return []string{"exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", "-m", model, question}
	}
	codexProvider := func(base, wire string) []string {
		return []string{
			"-c", `model_provider="detour"`, "-c", `model_providers.detour.name="detour"`, "-c", fmt.Sprintf("model_providers.detour.wire_api=%q", wire),
			"-c", fmt.Sprintf("model_providers.detour.base_url=%q", base+"/v1"), "-c", `model_providers.detour.env_key="OPENAI_API_KEY"`,
		}
	}
	codexEnv := []string{"OPENAI_API_KEY=sk-client-own", "CODEX_API_KEY=sk-client-own"}
	list := []agent{
		{
			name: "claude", family: "claude", pins: []string{"@anthropic-ai/claude-code@2.1.329"}, bin: ".bin/claude",
			env: claudeEnv, argv: claudeArgs, at: claudeAt, host: anthropicHost, clean: true,
			// Names that it does not know make it send what is newest: instructions in mid-conversation, settings of single
			// turns, thinking by itself.
			models: slices.Concat(messagesFirst, []string{
				"claude-opus-4.8", "claude-haiku-4.5", "claude-opus-5-5=claude-opus-4.8", "claude-sonnet-5-5=claude-sonnet-4.6",
				"claude-fable-6=claude-sonnet-4.5", "claude-fable-7=gpt-5.4", "claude-fable-8=gpt-4o",
			}),
		},
		{
			name: "claude-js", family: "claude-js", pins: []string{node22, "@anthropic-ai/claude-code@2.0.65"}, node: true, bin: "@anthropic-ai/claude-code/cli.js",
			env: claudeEnv, models: messagesFirst[:3], argv: claudeArgs, at: claudeAt, host: anthropicHost, beside: 4, slow: true,
		},
		{
			name: "codex", family: "codex", pins: []string{"@openai/codex@0.169.0"}, bin: ".bin/codex", env: codexEnv,
			models: append(responsesFirst[:3:3], "gemini-3.5-flash"), argv: codexArgs, host: openaiHost, socket: []string{"proxy"},
			at: func(base, _ string) ([]string, []string, map[string]string) {
				if base == openaiHost {
					return nil, nil, nil
				}
				return nil, codexProvider(base, "responses"), nil
			},
		},
		{
			name: "codex-chat", family: "codex-chat", pins: []string{"@openai/codex@0.80.0"}, bin: ".bin/codex", env: codexEnv,
			models: chatFirst, argv: codexArgs, host: openaiHost, slow: true,
			at: func(base, _ string) ([]string, []string, map[string]string) {
				return nil, codexProvider(base, "chat"), nil
			},
		},
		{
			name: "gemini", family: "gemini", pins: []string{node22, "@google/gemini-cli@0.61.0"}, node: true, bin: "@google/gemini-cli/bundle/gemini.js",
			env:    []string{"GEMINI_API_KEY=sk-client-own", "GEMINI_CLI_TRUST_WORKSPACE=true"},
			models: []string{"gemini-3.5-flash", "gpt-5.4", "claude-sonnet-4.6"}, host: geminiHost, beside: 3, slow: true,
			config: "\n[models.prefix]\n\"gemini-\" = \"gemini-3.5-flash\"\n", // it asks for its own newest model, whatever is said
			argv:   func(model, question string) []string { return []string{"--yolo", "-m", model, "-p", question} },
			at: func(base, _ string) ([]string, []string, map[string]string) {
				files := map[string]string{".gemini/settings.json": `{"security":{"auth":{"selectedType":"gemini-api-key"}},"privacy":{"usageStatisticsEnabled":false},"telemetry":{"enabled":false}}`}
				if base == geminiHost {
					return nil, nil, files
				}
				return []string{"GOOGLE_GEMINI_BASE_URL=" + base}, nil, files
			},
		},
		{
			name: "qwen", family: "qwen", pins: []string{node22, "@qwen-code/qwen-code@0.24.4"}, node: true, bin: "@qwen-code/qwen-code/cli-entry.js",
			env: []string{"OPENAI_API_KEY=sk-client-own"}, models: chatFirst, host: openaiHost, beside: 3, slow: true,
			argv: func(model, question string) []string {
				return []string{"--yolo", "--auth-type", "openai", "-p", question}
			},
			at: func(base, model string) ([]string, []string, map[string]string) {
				return []string{"OPENAI_BASE_URL=" + base + "/v1", "OPENAI_MODEL=" + model}, nil, nil
			},
		},
	}
	list = append(list, piAgents()...)
	list = append(list, opencodeAgents()...)
	return append(list, copilotAgents()...)
}

// piAgents is pi on each of its three wires.
func piAgents() []agent {
	var list []agent
	for _, wire := range []struct {
		name, api, host, path string
		models                []string
	}{
		{"pi-chat", "openai-completions", openaiHost, "/v1", chatFirst},
		{"pi-responses", "openai-responses", openaiHost, "/v1", responsesFirst},
		{"pi-messages", "anthropic-messages", anthropicHost, "", messagesFirst[:3]},
	} {
		list = append(list, agent{
			name: wire.name, family: "pi", pins: []string{node22, "@mariozechner/pi-coding-agent@0.73.1"}, node: true, bin: "@mariozechner/pi-coding-agent/dist/cli.js",
			models: wire.models, host: wire.host,
			argv: func(model, question string) []string {
				return []string{"-p", "--provider", "detour", "--model", model, question}
			},
			at: func(base, model string) ([]string, []string, map[string]string) {
				return []string{"PI_OFFLINE=1"}, nil, map[string]string{".pi/agent/models.json": fmt.Sprintf(
					`{"providers":{"detour":{"baseUrl":%q,"api":%q,"apiKey":"sk-client-own","models":[{"id":%q,"name":%q,"reasoning":false,"input":["text"],"contextWindow":128000,"maxTokens":8192,"cost":{"input":0,"output":0,"cacheRead":0,"cacheWrite":0}}]}}}`,
					base+wire.path, wire.api, model, model)}
			},
		})
	}
	return list
}

// opencodeAgents is opencode with each of the packages that it speaks a dialect by.
func opencodeAgents() []agent {
	var list []agent
	for _, wire := range []struct {
		name, npm, host string
		models          []string
	}{
		{"opencode-chat", "@ai-sdk/openai-compatible", openaiHost, chatFirst},
		{"opencode-responses", "@ai-sdk/openai", openaiHost, responsesFirst},
		{"opencode-messages", "@ai-sdk/anthropic", anthropicHost, messagesFirst[:3]},
	} {
		list = append(list, agent{
			name: wire.name, family: "opencode", pins: []string{"opencode-ai@1.18.33"}, bin: ".bin/opencode",
			models: wire.models, host: wire.host, beside: 1, slow: true,
			argv: func(model, question string) []string { return []string{"run", "-m", "detour/" + model, question} },
			at: func(base, model string) ([]string, []string, map[string]string) {
				return []string{"OPENCODE_DISABLE_AUTOUPDATE=1"}, nil, map[string]string{".config/opencode/opencode.json": fmt.Sprintf(
					`{"permission":"allow","autoupdate":false,"share":"disabled","provider":{"detour":{"npm":%q,"options":{"baseURL":%q,"apiKey":"sk-client-own"},"models":{%q:{}}}}}`,
					wire.npm, base+"/v1", model)}
			},
		})
	}
	return list
}

// copilotAgents is the GitHub Copilot CLI with a provider of its user's own, on each of its wires.
func copilotAgents() []agent {
	var list []agent
	for _, wire := range []struct {
		name, host, path string
		env              []string
		models           []string
		socket           []string
	}{
		{"copilot-chat", openaiHost, "/v1", nil, chatFirst, nil},
		{"copilot-responses", openaiHost, "/v1", []string{"COPILOT_PROVIDER_WIRE_API=responses"}, responsesFirst, nil},
		{"copilot-websocket", openaiHost, "/v1", []string{"COPILOT_PROVIDER_WIRE_API=responses", "COPILOT_PROVIDER_TRANSPORT=websockets"}, responsesFirst, []string{"proxy", "api"}},
		{"copilot-messages", anthropicHost, "", []string{"COPILOT_PROVIDER_TYPE=anthropic"}, messagesFirst[:3], nil},
	} {
		list = append(list, agent{
			name: wire.name, family: "copilot", pins: []string{node22, "@github/copilot@1.0.102"}, node: true, bin: "@github/copilot/npm-loader.js",
			env:    append([]string{"COPILOT_PROVIDER_API_KEY=sk-client-own", "COPILOT_AUTO_UPDATE=false", "COPILOT_OFFLINE=true"}, wire.env...),
			models: wire.models, host: wire.host, slow: true, socket: wire.socket,
			argv: func(_, question string) []string { return []string{"-p", question, "--allow-all-tools"} },
			at: func(base, model string) ([]string, []string, map[string]string) {
				return []string{"COPILOT_PROVIDER_BASE_URL=" + base + wire.path, "COPILOT_MODEL=" + model}, nil, nil
			},
		})
	}
	return list
}
