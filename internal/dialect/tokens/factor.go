package tokens

import "strings"

// factor is by how much a family's own tokeniser exceeds the vocabulary that is counted with. The longest name that
// model begins with counts. Names are written with dots here; some providers write them with hyphens.
func factor(model string) float64 {
	model = strings.ReplaceAll(strings.ToLower(model), ".", "-")
	best, length := 1.1, -1 // of a family that is not known
	for _, f := range [...]struct {
		name   string
		factor float64
	}{
		{"gpt", 1}, {"o1", 1}, {"o3", 1}, {"o4", 1}, {"codex", 1},
		{"gemini", 1.05},
		// Anthropic: a new tokeniser came with Opus 4.7. Models that are not known are taken for newer ones.
		{"claude", 1.3}, {"claude-3", 1.15}, {"claude-haiku-4", 1.15}, {"claude-sonnet-4", 1.15}, {"claude-opus-4", 1.15},
		{"claude-opus-4-7", 1.3}, {"claude-opus-4-8", 1.3}, {"claude-opus-4-9", 1.3},
		{"claude-sonnet-4-7", 1.3}, {"claude-sonnet-4-8", 1.3}, {"claude-sonnet-4-9", 1.3},
	} {
		if len(f.name) > length && strings.HasPrefix(model, f.name) {
			best, length = f.factor, len(f.name)
		}
	}
	return best
}
