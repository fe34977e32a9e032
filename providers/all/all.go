// Package all lists the providers. It is the one place that knows them all.
package all

import (
	"detour/providers"
	"detour/providers/anthropic"
	"detour/providers/copilot"
	"detour/providers/keyed"
	"detour/providers/openai"
	"detour/providers/zai"
)

// Registry holds every provider. Those that keep something of the installation are made by the caller; o is for the
// others.
func Registry(c *copilot.Provider, o keyed.Options) providers.Registry {
	list := []providers.Provider{
		c, openai.OpenAI(o), anthropic.Provider(o), openai.DeepSeek(o), openai.OpenRouter(o), openai.Gemini(o), openai.Compatible(o),
	}
	for _, p := range zai.Providers(o) {
		list = append(list, p)
	}
	return providers.NewRegistry(list...)
}
