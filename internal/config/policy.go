package config

// Rule is one [[rules]] block: what happens to requests that match. Empty conditions match everything. Rules are asked
// in the order of the file; the first that matches decides.
type Rule struct {
	Name                            string
	Door, Host, Path, Model, Client string
	Mode                            string // "" leaves it to what comes after the rules
	Providers, Accounts             []string
	Line                            int
}

// Profile is one [[profiles]] block: what holds for requests below /{name}/v1 on the API door.
type Profile struct {
	Name, Mode                   string
	Providers, Accounts, Clients []string
	Line                         int
}

// Fallback is one [[fallback]] block: the models that stand in for one, in order.
type Fallback struct {
	Model string
	Then  []string
	On    []string // "quota", "overload", "error"
	Line  int
}

// Budget is one [[budget]] block: a limit of the owner's own.
type Budget struct {
	Name, Account, Client string // "" for all of them together
	Period                string // "day" or "month"
	Unit                  string // "credits", "premium_requests" or "tokens"
	Limit                 float64
	Warn                  float64 // share of Limit
	Line                  int
}

// block is a section that may stand several times, as in [[rules]].
type block struct {
	name string
	// grow appends a block that stands at line.
	grow func(c *Config, line int)
}

func blocks() []block {
	return []block{
		{"rules", func(c *Config, line int) { c.Rules = append(c.Rules, Rule{Line: line}) }},
		{"profiles", func(c *Config, line int) { c.Profiles = append(c.Profiles, Profile{Line: line}) }},
		{"fallback", func(c *Config, line int) { c.Fallbacks = append(c.Fallbacks, Fallback{Line: line}) }},
		{"budget", func(c *Config, line int) { c.Budgets = append(c.Budgets, Budget{Line: line}) }},
	}
}

// isBlock tells whether name is a section that may stand several times.
func isBlock(name string) bool {
	for _, b := range blocks() {
		if b.name == name {
			return true
		}
	}
	return false
}

func ruleRows() []row {
	return []row{
		{Key: key("rules.name", "", "What the rule is called in logs and in X-Detour-Route."), check: checkHeaderWord, in: func(c *Config, i int) any { return &c.Rules[i].Name }},
		{Key: key("rules.door", "", "Door that the rule is for; empty for both."), oneOf: "|api|proxy", in: func(c *Config, i int) any { return &c.Rules[i].Door }},
		{Key: key("rules.host", "", "Host that the client called, on the proxy door; * stands for anything."), check: checkHostGlob, in: func(c *Config, i int) any { return &c.Rules[i].Host }},
		{Key: key("rules.path", "", "Path of the request; * stands for anything."), check: checkPathGlob, in: func(c *Config, i int) any { return &c.Rules[i].Path }},
		{Key: key("rules.model", "", "Model as the client names it; * stands for anything."), check: checkGlob, in: func(c *Config, i int) any { return &c.Rules[i].Model }},
		{Key: key("rules.client", "", "Name of the client key that the request came with; * stands for anything."), check: checkGlob, in: func(c *Config, i int) any { return &c.Rules[i].Client }},
		{Key: key("rules.mode", "", "Route mode of requests that match; empty leaves it to what comes after the rules."), oneOf: "|" + routeModes, in: func(c *Config, i int) any { return &c.Rules[i].Mode }},
		{Key: key("rules.providers", "[]", "Providers that may serve requests that match; empty for all."), kind: list, check: checkWord, in: func(c *Config, i int) any { return &c.Rules[i].Providers }},
		{Key: key("rules.accounts", "[]", "Accounts that may serve requests that match; empty for all."), kind: list, check: checkID, in: func(c *Config, i int) any { return &c.Rules[i].Accounts }},
	}
}

func profileRows() []row {
	return []row{
		{Key: key("profiles.name", "", "First segment of the paths that the profile is for, as in /team/v1/models."), check: checkSegment, in: func(c *Config, i int) any { return &c.Profiles[i].Name }},
		{Key: key("profiles.mode", "", "Route mode of its requests; empty for server.route_mode."), oneOf: "|route|exact|fuzzy", in: func(c *Config, i int) any { return &c.Profiles[i].Mode }},
		{Key: key("profiles.providers", "[]", "Providers that may serve its requests; empty for all."), kind: list, check: checkWord, in: func(c *Config, i int) any { return &c.Profiles[i].Providers }},
		{Key: key("profiles.accounts", "[]", "Accounts that may serve its requests; empty for all."), kind: list, check: checkID, in: func(c *Config, i int) any { return &c.Profiles[i].Accounts }},
		{Key: key("profiles.clients", "[]", "Names of the client keys that may use it; empty for all, and for requests without a key."), kind: list, check: checkGlob, in: func(c *Config, i int) any { return &c.Profiles[i].Clients }},
	}
}

func fallbackRows() []row {
	return []row{
		{Key: key("fallback.model", "", "Model that others stand in for; * stands for anything."), check: checkModel, in: func(c *Config, i int) any { return &c.Fallbacks[i].Model }},
		{Key: key("fallback.then", "[]", "Models to go on with, in order."), kind: list, check: checkModel, in: func(c *Config, i int) any { return &c.Fallbacks[i].Then }},
		{Key: key("fallback.on", `["quota", "overload"]`, "What makes the next model stand in: quota (spent, or a rate limit), overload (the upstream is busy), error (it is broken or cannot be reached)."), kind: list, check: checkTrigger, in: func(c *Config, i int) any { return &c.Fallbacks[i].On }},
	}
}

func budgetRows() []row {
	return []row{
		{Key: key("budget.name", "", "What the budget is called in errors and logs."), check: checkHeaderWord, in: func(c *Config, i int) any { return &c.Budgets[i].Name }},
		{Key: key("budget.account", "", "Account that it bounds; * for each by itself, empty for all together."), check: checkID, in: func(c *Config, i int) any { return &c.Budgets[i].Account }},
		{Key: key("budget.client", "", "Client key that it bounds, by name; * for each by itself, empty for all together."), check: checkGlob, in: func(c *Config, i int) any { return &c.Budgets[i].Client }},
		{Key: key("budget.period", "month", "Calendar period, in the machine's time zone, after which it begins anew."), oneOf: "day|month", in: func(c *Config, i int) any { return &c.Budgets[i].Period }},
		{Key: key("budget.unit", "premium_requests", "What is counted. A credit is a US cent; where an upstream does not say what an answer cost, it is estimated. When premium requests are spent, what costs none is still served."), oneOf: "credits|premium_requests|tokens", in: func(c *Config, i int) any { return &c.Budgets[i].Unit }},
		{Key: key("budget.limit", "0", "How much may be spent; then requests are answered 429 until the period ends."), kind: number, max: 1 << 53, in: func(c *Config, i int) any { return &c.Budgets[i].Limit }},
		{Key: key("budget.warn", "0.8", "Share of the limit at which the log warns; 0 for never."), kind: number, max: 1, in: func(c *Config, i int) any { return &c.Budgets[i].Warn }},
	}
}
