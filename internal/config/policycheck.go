package config

import (
	"slices"
	"strings"
)

// policyProblems finds what is wrong with rules, profiles, fallbacks and budgets as wholes.
func policyProblems(f *parsed) []Problem {
	var out []Problem
	add := func(section string, i int, field, message, suggestion string) {
		p := path{{section, i}}
		if field != "" {
			p = p.child(field)
		}
		line := f.doc.lineOf(p)
		if line == 0 {
			line = f.doc.lineOf(p[:1])
		}
		out = append(out, Problem{Line: line, Key: p.String(), Message: message, Suggestion: suggestion})
	}
	unique := func(section, what string, i int, name string, seen map[string]int, line int) {
		if first, dup := seen[name]; dup && name != "" {
			add(section, i, what, quote(name)+" stands at line "+itoa(first)+" already", "")
		}
		seen[name] = line
	}
	// told says that one of the fields is reported already: it is not missing, but could not be read.
	told := func(section string, i int, fields ...string) bool {
		return slices.ContainsFunc(fields, func(field string) bool {
			at := path{{section, i}}.child(field).String()
			return slices.ContainsFunc(f.problems, func(p Problem) bool { return strings.HasPrefix(p.Key, at) })
		})
	}
	rules, profiles, models, budgets := map[string]int{}, map[string]int{}, map[string]int{}, map[string]int{}
	for i, r := range f.config.Rules {
		unique("rules", "name", i, r.Name, rules, r.Line)
		switch {
		case r.Mode == "" && len(r.Providers) == 0 && len(r.Accounts) == 0 && !told("rules", i, "mode", "providers", "accounts"):
			add("rules", i, "", "the rule decides nothing", "give it a mode, providers or accounts")
		case r.Door == "api" && r.Host != "":
			add("rules", i, "host", "requests on the API door have no host of their own", `write door = "proxy", or leave the host out`)
		case r.Door != "proxy" && r.Host == "" && (r.Mode == "passthrough" || r.Mode == "switch"):
			add("rules", i, "mode", quote(r.Mode)+" needs an original host, which only the proxy door has", `write door = "proxy" beside it`)
		case r.Mode == "passthrough" && (len(r.Providers) > 0 || len(r.Accounts) > 0):
			add("rules", i, "mode", "passthrough uses the client's own credential, so no provider or account can be chosen", "remove providers and accounts")
		}
	}
	for i, p := range f.config.Profiles {
		unique("profiles", "name", i, p.Name, profiles, p.Line)
		if p.Name == "" && !told("profiles", i, "name") {
			add("profiles", i, "", "the profile has no name", `write name = "work"`)
		}
	}
	for i, b := range f.config.Fallbacks {
		unique("fallback", "model", i, b.Model, models, b.Line)
		switch {
		case b.Model == "" && !told("fallback", i, "model"):
			add("fallback", i, "", "the model is missing", `write model = "…"`)
		case len(b.Then) == 0 && b.Model != "" && !told("fallback", i, "then"):
			add("fallback", i, "", "nothing stands in for "+quote(b.Model), `write then = ["…"]`)
		}
		seen := []string{b.Model}
		for _, m := range b.Then {
			if slices.Contains(seen, m) {
				add("fallback", i, "then", "leads back to "+quote(m), "name each model once")
			}
			seen = append(seen, m)
		}
	}
	for i, b := range f.config.Budgets {
		unique("budget", "name", i, b.Name, budgets, b.Line)
		if b.Name == "" && !told("budget", i, "name") {
			add("budget", i, "", "the budget has no name", `write name = "team"`)
		}
		if b.Limit <= 0 && !told("budget", i, "limit") {
			add("budget", i, "limit", "must be more than 0", "remove the budget to spend without limit")
		}
	}
	return out
}
