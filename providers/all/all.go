// Package all lists the providers. It is the one place that knows them all.
package all

import (
	"detour/providers"
	"detour/providers/copilot"
)

// Registry holds every provider. Those that keep something of the installation are made by the caller.
func Registry(c *copilot.Provider) providers.Registry {
	return providers.NewRegistry(c)
}
