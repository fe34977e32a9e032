package config

import "reflect"

// Changed names the settings that differ between a and b, in the order of Keys. Accounts, rules and the like are named
// by their sections.
func Changed(a, b *Config) []string {
	var names []string
	all := rows()
	for i := range all {
		if r := &all[i]; r.at != nil && !reflect.DeepEqual(r.at(a), r.at(b)) {
			names = append(names, r.Name)
		}
	}
	for name, pair := range map[string][2]any{
		"rules": {a.Rules, b.Rules}, "profiles": {a.Profiles, b.Profiles}, "fallback": {a.Fallbacks, b.Fallbacks},
		"budget": {a.Budgets, b.Budgets}, "accounts": {a.Accounts, b.Accounts},
	} {
		if !reflect.DeepEqual(pair[0], pair[1]) {
			names = append(names, name)
		}
	}
	return names
}
