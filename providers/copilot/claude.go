package copilot

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"

	"detour/providers"
)

// claude is what a Messages model takes. A model of which the catalogue says nothing is believed to take whatever the
// client sends; what it then refuses is learned.
type claude struct {
	known        bool // the catalogue has an entry
	adaptive     bool // thinks by itself, guided by an effort
	adaptiveOnly bool // and not by a budget
	newest       bool // refuses sampling parameters, and to go on from words put into its mouth
	midSystem    bool // takes instructions in mid-conversation
	efforts      []string
	maxOutput    int64
	window       int
}

// claudeVersion finds the version in the name of a Claude model: claude-opus-4.7, claude-haiku-4-5-20251001.
var claudeVersion = regexp.MustCompile(`^claude-[a-z]+-(\d{1,2})(?:[.-](\d{1,2}))?(?:\D|$)`)

func claudeAtLeast(id string, major, minor int) bool {
	v := claudeVersion.FindStringSubmatch(id)
	if v == nil {
		return false
	}
	a, _ := strconv.Atoi(v[1])
	b, _ := strconv.Atoi(v[2])
	return a > major || a == major && b >= minor
}

func claudeOf(m providers.Model) claude {
	c := claude{known: m.Raw != nil, midSystem: claudeAtLeast(m.ID, 4, 8), newest: claudeAtLeast(m.ID, 4, 7), maxOutput: int64(m.MaxOutput), window: m.ContextWindow}
	if !c.known {
		return c
	}
	supports := gjson.GetBytes(m.Raw, "capabilities.supports")
	c.adaptive = supports.Get("adaptive_thinking").Bool()
	c.adaptiveOnly = c.adaptive && (c.newest || supports.Get("max_thinking_budget").Int() == 0)
	for _, e := range supports.Get("reasoning_effort").Array() {
		c.efforts = append(c.efforts, e.Str)
	}
	return c
}

// takesEffort reports whether the model can be told how hard to think.
func (c *claude) takesEffort() bool { return !c.known || c.adaptive || len(c.efforts) > 0 }

// nearest returns the effort that comes nearest to the one that the client wants: the same, else the next lower, else
// the next higher. It is "" for a word that is none.
func nearest(effort string, has []string) string {
	if len(has) == 0 || slices.Contains(has, effort) {
		return effort
	}
	all := []string{"none", "minimal", "low", "medium", "high", "xhigh", "max"}
	at := slices.Index(all, effort)
	if at < 0 {
		return ""
	}
	for i := at - 1; i > 0; i-- {
		if slices.Contains(has, all[i]) {
			return all[i]
		}
	}
	for i := at + 1; i < len(all); i++ {
		if slices.Contains(has, all[i]) {
			return all[i]
		}
	}
	return ""
}

const (
	minBudget  = 1024
	someBudget = 8192
)

// effortOf words a budget.
func effortOf(budget int64) string {
	switch {
	case budget <= 1024:
		return "low"
	case budget <= 8192:
		return "medium"
	}
	return "high"
}

// budgetOf gives an effort in tokens.
func budgetOf(effort string) int64 {
	switch effort {
	case "minimal":
		return minBudget
	case "low":
		return 2048
	case "high":
		return 24576
	case "xhigh", "max":
		return 32768
	}
	return someBudget
}

// wantsLongContext reports whether the client's name for a model asks for its larger window.
func wantsLongContext(name string) bool { return strings.HasSuffix(strings.ToLower(name), "[1m]") }
