package config_test

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"detour/internal/config"
)

const policyFile = `[[rules]]
name = "keep"
door = "proxy"
host = "api.anthropic.com"
path = "/v1/*"
model = "claude-*"
client = "lap*"
mode = "passthrough"

[[rules]]
model = "gpt-*"
providers = ["openai"]
accounts = ["a", "b"]

[[profiles]]
name = "work"
mode = "exact"
providers = ["github-copilot"]
accounts = ["a"]
clients = ["laptop"]

[[fallback]]
model = "opus"
then = ["sonnet", "mini"]
on = ["error"]

[[fallback]]
model = "*"
then = ["mini"]

[[budget]]
name = "month"
account = "a"
client = "*"
period = "day"
unit = "credits"
limit = 12.5
warn = 0.5

[[budget]]
name = "all"
limit = 300
`

func write(t *testing.T, text string) string {
	t.Helper()
	f := filepath.Join(t.TempDir(), "config.toml")
	if err := os.WriteFile(f, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestBlocksOfPolicyLandWhereTheyBelong(t *testing.T) {
	t.Parallel()
	c, err := config.Load(write(t, policyFile))
	if err != nil {
		t.Fatal(err)
	}
	want := &config.Config{
		Rules: []config.Rule{
			{Name: "keep", Door: "proxy", Host: "api.anthropic.com", Path: "/v1/*", Model: "claude-*", Client: "lap*", Mode: "passthrough", Providers: []string{}, Accounts: []string{}, Line: 1},
			{Model: "gpt-*", Providers: []string{"openai"}, Accounts: []string{"a", "b"}, Line: 10},
		},
		Profiles:  []config.Profile{{Name: "work", Mode: "exact", Providers: []string{"github-copilot"}, Accounts: []string{"a"}, Clients: []string{"laptop"}, Line: 15}},
		Fallbacks: []config.Fallback{{Model: "opus", Then: []string{"sonnet", "mini"}, On: []string{"error"}, Line: 22}, {Model: "*", Then: []string{"mini"}, On: []string{"quota", "overload"}, Line: 27}},
		Budgets: []config.Budget{
			{Name: "month", Account: "a", Client: "*", Period: "day", Unit: "credits", Limit: 12.5, Warn: 0.5, Line: 31},
			{Name: "all", Period: "month", Unit: "premium_requests", Limit: 300, Warn: 0.8, Line: 40},
		},
	}
	got := &config.Config{Rules: c.Rules, Profiles: c.Profiles, Fallbacks: c.Fallbacks, Budgets: c.Budgets}
	for i := range got.Rules { // an empty list is as good as none
		got.Rules[i].Providers, got.Rules[i].Accounts = append([]string{}, got.Rules[i].Providers...), append([]string{}, got.Rules[i].Accounts...)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	list, err := config.List(write(t, policyFile))
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]string{}
	for _, v := range list {
		values[v.Key] = v.Value
	}
	if values["rules[0].mode"] != "passthrough" || values["budget[1].limit"] != "300" {
		t.Errorf("config list: %v", values)
	}
}

func TestMistakesInBlocksNameTheirLines(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		text string
		line int
		says string
	}{
		"one bracket":            {"[rules]\nmode = \"route\"", 1, "two brackets"},
		"unknown mode":           {"[[rules]]\nmode = \"rout\"", 2, `did you mean "route"`},
		"unknown name":           {"[[rules]]\nmode = \"route\"\nmodle = \"x\"", 3, "did you mean model"},
		"nothing decided":        {"[[rules]]\nmodel = \"x\"", 1, "decides nothing"},
		"host as a URL":          {"[[rules]]\nhost = \"https://api.openai.com/v1\"\nmode = \"exact\"", 2, `write "api.openai.com"`},
		"host with a port":       {"[[rules]]\nhost = \"api.openai.com:443\"\nmode = \"exact\"", 2, "without a port"},
		"pattern with a port":    {"[[rules]]\nhost = \"*.openai.com:443\"\nmode = \"exact\"", 2, "* stands for"},
		"path without a slash":   {"[[rules]]\npath = \"v1/messages\"\nmode = \"exact\"", 2, `write "/v1/messages"`},
		"host on the API door":   {"[[rules]]\ndoor = \"api\"\nhost = \"x\"\nmode = \"exact\"", 3, "no host"},
		"passthrough everywhere": {"[[rules]]\nmode = \"passthrough\"", 2, "original host"},
		"passthrough accounts":   {"[[rules]]\ndoor = \"proxy\"\nmode = \"passthrough\"\naccounts = [\"a\"]", 3, "own credential"},
		"same name":              {"[[rules]]\nname = \"a\"\nmode = \"exact\"\n[[rules]]\nname = \"a\"\nmode = \"exact\"", 5, "already"},
		"profile v1":             {"[[profiles]]\nname = \"v1\"", 2, "cannot be the name"},
		"profile without name":   {"[[profiles]]\nmode = \"exact\"", 1, "no name"},
		"fallback to itself":     {"[[fallback]]\nmodel = \"a\"\nthen = [\"b\", \"a\"]", 3, "leads back"},
		"fallback trigger":       {"[[fallback]]\nmodel = \"a\"\nthen = [\"b\"]\non = [\"qota\"]", 4, "not one of"},
		"fallback to nothing":    {"[[fallback]]\nmodel = \"a\"", 1, "nothing stands in"},
		"budget unit":            {"[[budget]]\nname = \"b\"\nlimit = 1\nunit = \"token\"", 4, `did you mean "tokens"`},
		"budget limit":           {"[[budget]]\nname = \"b\"\nlimit = \"5\"", 3, "without quotes"},
		"budget of nothing":      {"[[budget]]\nname = \"b\"", 1, "more than 0"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := config.Load(write(t, tt.text))
			if err == nil {
				t.Fatal("no complaint")
			}
			for _, p := range problems(t, err) {
				if p.Line == tt.line && strings.Contains(p.String(), tt.says) {
					return
				}
			}
			t.Errorf("got %v, want line %d and %q", problems(t, err), tt.line, tt.says)
		})
	}
	// What could not be read is not missing as well, and the choice of leaving a setting out has no name.
	for text, want := range map[string]string{
		"[proxy_mode.provider_modes]\nanthropc = \"switch\"":      `line 2: proxy_mode.provider_modes.anthropc: as a name: "anthropc" is not one of ` + strings.Join(config.HostProviders(), ", ") + ` (did you mean "anthropic"?)`,
		"[[rules]]\nmode = \"x\"":                                 `line 2: rules[0].mode: "x" is not one of route, exact, fuzzy, switch, passthrough`,
		"[[profiles]]\nname = \"v1\"":                             `line 2: profiles[0].name: "v1" cannot be the name of a profile (choose a word that no path of the API begins with)`,
		"[[budget]]\nname = \"b\"\nlimit = \"lots\"":              `line 3: budget[0].limit: must be a number, not a string`,
		"[[fallback]]\nthen = [\"b\"]\nmodel = 3":                 `line 3: fallback[0].model: must be a string, not an integer (put it in double quotes)`,
		"[[rules]]\nmode = \"route\"\nhost = \"*.Example.com\"\n": "",
	} {
		var got string
		if _, err := config.Load(write(t, text)); err != nil {
			var lines []string
			for _, p := range problems(t, err) {
				lines = append(lines, p.String())
			}
			got = strings.Join(lines, "; ")
		}
		if got != want {
			t.Errorf("%s\ngot  %s\nwant %s", text, got, want)
		}
	}
	if err := config.Set(write(t, policyFile), "rules.mode", "exact"); err == nil || !strings.Contains(err.Error(), "config edit") {
		t.Errorf("set rules.mode: %v", err)
	}
}
