package config

// Key describes one setting. The settings of an account are named "accounts.…" and exist once for each account; so do
// those of rules, profiles, fallbacks and budgets.
type Key struct {
	Name    string // dotted, as in "server.port"
	Type    string // "string", "integer", "route|exact|…", …
	Default string // as Get prints it; "" for none
	Doc     string // one sentence
}

// Keys lists every setting in the order of the documentation.
func Keys() []Key {
	all := rows()
	keys := make([]Key, len(all))
	for i := range all {
		keys[i] = all[i].Key
		keys[i].Type = all[i].typeName()
	}
	return keys
}

const routeModes = "route|exact|fuzzy|switch|passthrough"

// row is the whole truth about one setting. Exactly one of at, of and in is set.
type row struct {
	Key
	kind     kind
	oneOf    string                            // the permitted strings, separated by "|"; for a table, those of its values
	min, max int64                             // inclusive bounds of a number, in nanoseconds or bytes where it is a duration or size; max 0 is none
	check    func(string) (wrong, hint string) // for each string of the value
	checkKey func(string) (wrong, hint string) // for each name in a table
	path     bool                              // a file name, made absolute after decoding
	at       func(*Config) any                 // pointer to the field
	of       func(*Account) any                // pointer to the field
	in       func(*Config, int) any            // pointer to the field of a block that may stand several times
}

func rows() []row {
	var all []row
	for _, section := range [][]row{
		serverRows(), proxyModeRows(), poolRows(), proxyRows(), modelRows(), filterRows(), limitRows(), retryRows(), logRows(), usageRows(),
		ruleRows(), profileRows(), fallbackRows(), budgetRows(), accountRows(),
	} {
		all = append(all, section...)
	}
	return all
}

func key(name, def, doc string) Key { return Key{Name: name, Default: def, Doc: doc} }

func serverRows() []row {
	return []row{
		{Key: key("server.host", "127.0.0.1", "Address that the API door listens on."), check: checkListen, at: func(c *Config) any { return &c.Server.Host }},
		{Key: key("server.port", "4141", "Port of the API door; 0 takes a free one."), kind: integer, max: 65535, at: func(c *Config) any { return &c.Server.Port }},
		{Key: key("server.route_mode", "route", "How requests on the API door find their account."), oneOf: "route|exact|fuzzy", at: func(c *Config) any { return &c.Server.RouteMode }},
		{Key: key("server.tls_cert", "", "Certificate chain (PEM) to serve the API door over TLS."), path: true, check: checkPath, at: func(c *Config) any { return &c.Server.TLSCert }},
		{Key: key("server.tls_key", "", "Private key (PEM) of tls_cert."), path: true, check: checkPath, at: func(c *Config) any { return &c.Server.TLSKey }},
		{Key: key("server.require_keys", "auto", "Whether clients must present a key made by detour; auto asks for one when the door is not on loopback."), kind: tristate, oneOf: "auto|true|false", at: func(c *Config) any { return &c.Server.RequireKeys }},
		{Key: key("server.allowed_hosts", "[]", "Names that clients may use for this machine beside loopback names and the listen address."), kind: list, check: checkHost, at: func(c *Config) any { return &c.Server.AllowedHosts }},
		{Key: key("server.allowed_origins", "[]", "Web origins whose pages may call the API door, each exactly as the browser sends it."), kind: list, check: checkOrigin, at: func(c *Config) any { return &c.Server.AllowedOrigins }},
		{Key: key("server.shutdown_grace", "10s", "How long running requests may finish when detour stops."), kind: duration, at: func(c *Config) any { return &c.Server.ShutdownGrace }},
	}
}

func proxyModeRows() []row {
	return []row{
		{Key: key("proxy_mode.host", "127.0.0.1", "Address that the proxy door listens on."), check: checkListen, at: func(c *Config) any { return &c.ProxyMode.Host }},
		{Key: key("proxy_mode.port", "4142", "Port of the proxy door; 0 takes a free one."), kind: integer, max: 65535, at: func(c *Config) any { return &c.ProxyMode.Port }},
		{Key: key("proxy_mode.route_mode", "route", "How intercepted requests find their account."), oneOf: routeModes, at: func(c *Config) any { return &c.ProxyMode.RouteMode }},
		{Key: key("proxy_mode.ca_dir", "", "Folder of the certificate authority; empty for ca beside config.toml."), path: true, check: checkPath, at: func(c *Config) any { return &c.ProxyMode.CADir }},
		{Key: key("proxy_mode.intercept_hosts", "[]", "Hosts to intercept beside the built-in list; *.name covers its sub-hosts."), kind: list, check: checkInterceptHost, at: func(c *Config) any { return &c.ProxyMode.InterceptHosts }},
		{Key: key("proxy_mode.passthrough_hosts", "[]", "Hosts never to intercept; wins over intercept_hosts and the built-in list."), kind: list, check: checkHostPattern, at: func(c *Config) any { return &c.ProxyMode.PassthroughHosts }},
		{Key: key("proxy_mode.allowed_ports", "[]", "Ports that CONNECT may name; empty for any on loopback, 80 and 443 otherwise."), kind: integers, min: 1, max: 65535, at: func(c *Config) any { return &c.ProxyMode.AllowedPorts }},
		{Key: key("proxy_mode.local_auth", "false", "Ask for the secret of this installation, so that other users of the machine cannot use the proxy."), kind: boolean, at: func(c *Config) any { return &c.ProxyMode.LocalAuth }},
		{Key: key("proxy_mode.max_tunnels", "4096", "Open tunnels at one time; more are answered 503."), kind: integer, min: 1, max: 1 << 20, at: func(c *Config) any { return &c.ProxyMode.MaxTunnels }},
		{Key: key("proxy_mode.tls_cert", "", "Certificate chain (PEM) to serve the proxy door over TLS."), path: true, check: checkPath, at: func(c *Config) any { return &c.ProxyMode.TLSCert }},
		{Key: key("proxy_mode.tls_key", "", "Private key (PEM) of tls_cert."), path: true, check: checkPath, at: func(c *Config) any { return &c.ProxyMode.TLSKey }},
		{Key: key("proxy_mode.allow_private", "[]", "Private address ranges (CIDR) that may be reached through a proxy door that is not on loopback."), kind: prefixes, at: func(c *Config) any { return &c.ProxyMode.AllowPrivate }},
		{Key: key("proxy_mode.provider_modes", "{}", "Route mode by provider, as in openai = \"switch\"; wins over route_mode."), kind: table, oneOf: routeModes, checkKey: checkHostProvider, at: func(c *Config) any { return &c.ProxyMode.ProviderModes }},
		{Key: key("proxy_mode.hosts", "{}", "Addresses to dial for a host, as in \"api.openai.com\" = \"127.0.0.1:8443\"."), kind: table, check: checkPinAddress, checkKey: checkPinHost, at: func(c *Config) any { return &c.ProxyMode.Hosts }},
		{Key: key("proxy_mode.ca.cert", "", "Intermediate certificate (PEM) of a CA of your own, used instead of a generated one."), path: true, check: checkPath, at: func(c *Config) any { return &c.ProxyMode.CA.Cert }},
		{Key: key("proxy_mode.ca.key", "", "Private key (PEM) of ca.cert."), path: true, check: checkPath, at: func(c *Config) any { return &c.ProxyMode.CA.Key }},
		{Key: key("proxy_mode.ca.chain", "", "Certificates (PEM) from ca.cert up to its root."), path: true, check: checkPath, at: func(c *Config) any { return &c.ProxyMode.CA.Chain }},
	}
}

func poolRows() []row {
	return []row{
		{Key: key("pool.strategy", "round_robin", "Which account a new conversation gets."), oneOf: "round_robin|fill_first|least_used", at: func(c *Config) any { return &c.Pool.Strategy }},
		{Key: key("pool.failure_cooldown_secs", "60", "Seconds that an account rests after a failure that named no time."), kind: seconds, max: 86400, at: func(c *Config) any { return &c.Pool.FailureCooldown }},
		{Key: key("pool.affinity_ttl", "1h", "How long an idle conversation keeps its account."), kind: duration, at: func(c *Config) any { return &c.Pool.AffinityTTL }},
		{Key: key("pool.failover_on_limit", "false", "Go on with another account when one meets a rate or quota limit; providers may treat this as circumvention."), kind: boolean, at: func(c *Config) any { return &c.Pool.FailoverOnLimit }},
	}
}

func proxyRows() []row {
	return []row{
		{Key: key("proxy.url", "", "Proxy for everything that detour sends: http, https, socks5 or socks5h, with user:password if needed."), kind: secretText, check: checkProxyURL, at: func(c *Config) any { return &c.Proxy.URL }},
		{Key: key("proxy.system", "false", "Use HTTP_PROXY, HTTPS_PROXY and NO_PROXY of the environment instead of url."), kind: boolean, at: func(c *Config) any { return &c.Proxy.System }},
		{Key: key("proxy.no_proxy", "[]", "Hosts, .domains and CIDRs that are reached directly."), kind: list, check: checkWord, at: func(c *Config) any { return &c.Proxy.NoProxy }},
	}
}

func modelRows() []row {
	return []row{
		{Key: key("models.alias", "{}", "Model to use for a name, as in opus = \"claude-opus-4.7\"; may name another alias."), kind: table, check: checkModel, checkKey: checkModel, at: func(c *Config) any { return &c.Models.Alias }},
		{Key: key("models.prefix", "{}", "Model to use for every name that begins so; the longest prefix wins."), kind: table, check: checkModel, checkKey: checkModel, at: func(c *Config) any { return &c.Models.Prefix }},
		{Key: key("models.catalogue_url", "https://models.dev/api.json", "Where `detour update --models` gets limits and prices that upstreams do not tell; DETOUR_MODELS_URL wins."), check: checkURL, at: func(c *Config) any { return &c.Models.CatalogueURL }},
		{Key: key("models.roles", "{}", "Model that serves for every Claude model of a size which no account has, as in opus = \"claude-opus-4.7\"; the sizes are opus, sonnet and haiku."), kind: table, check: checkModel, checkKey: checkRole, at: func(c *Config) any { return &c.Models.Roles }},
		{Key: key("models.families", "{}", "Model that a family stands for in fuzzy mode, as in sonnet = \"claude-sonnet-4.5\"."), kind: table, check: checkModel, checkKey: checkModel, at: func(c *Config) any { return &c.Models.Families }},
		{Key: key("models.portable_compaction", "false", "Summarise long conversations in words that every model can read, even on models that have a compaction of their own, which only they can read."), kind: boolean, at: func(c *Config) any { return &c.Models.PortableCompaction }},
	}
}

func filterRows() []row {
	return []row{
		{Key: key("filters.system_prompt_remove", "[]", "Texts to take out of system prompts; re: begins a regular expression."), kind: list, check: checkFilter, at: func(c *Config) any { return &c.Filters.SystemPromptRemove }},
		{Key: key("filters.system_prompt_add", "[]", "Paragraphs to put behind system prompts."), kind: list, check: checkParagraph, at: func(c *Config) any { return &c.Filters.SystemPromptAdd }},
		{Key: key("filters.tool_result_suffix_remove", "[]", "Texts to take off the end of what tools answered; re: begins a regular expression."), kind: list, check: checkFilter, at: func(c *Config) any { return &c.Filters.ToolResultSuffixRemove }},
		{Key: key("filters.models", "[]", "Models that the filters are for, as clients or upstreams name them; * stands for anything, an empty list for all."), kind: list, check: checkGlob, at: func(c *Config) any { return &c.Filters.Models }},
	}
}

func limitRows() []row {
	return []row{
		{Key: key("limits.request_body", "64MiB", "Largest request body; a larger one is answered 413."), kind: size, min: 1 << 10, max: 1 << 32, at: func(c *Config) any { return &c.Limits.RequestBody }},
		{Key: key("limits.header_bytes", "64KiB", "Largest request head."), kind: size, min: 4 << 10, max: 16 << 20, at: func(c *Config) any { return &c.Limits.HeaderBytes }},
		{Key: key("limits.header_timeout", "10s", "How long a client may take to send a request head."), kind: duration, min: 1e6, at: func(c *Config) any { return &c.Limits.HeaderTimeout }},
		{Key: key("limits.idle_timeout", "2m", "How long a client connection may stay idle between requests."), kind: duration, min: 1e6, at: func(c *Config) any { return &c.Limits.IdleTimeout }},
		{Key: key("limits.stall_timeout", "15m", "How long an upstream may send nothing before the attempt fails."), kind: duration, min: 1e6, at: func(c *Config) any { return &c.Limits.StallTimeout }},
		{Key: key("limits.sse_event", "64MiB", "Largest single event of a stream."), kind: size, min: 1 << 10, max: 1 << 30, at: func(c *Config) any { return &c.Limits.SSEEvent }},
		{Key: key("limits.account_min_interval", "0s", "Shortest time between two requests at one account; 0s for none. Requests wait for their turn up to retry.max_wait."), kind: duration, at: func(c *Config) any { return &c.Limits.AccountMinInterval }},
		{Key: key("limits.account_per_minute", "0", "Most requests in a minute at one account; 0 for no limit."), kind: integer, max: 1 << 20, at: func(c *Config) any { return &c.Limits.AccountPerMinute }},
		{Key: key("limits.client_min_interval", "0s", "Shortest time between two requests of one client key, and of all without a key; 0s for none."), kind: duration, at: func(c *Config) any { return &c.Limits.ClientMinInterval }},
		{Key: key("limits.client_per_minute", "0", "Most requests in a minute of one client key, and of all without a key; 0 for no limit."), kind: integer, max: 1 << 20, at: func(c *Config) any { return &c.Limits.ClientPerMinute }},
		{Key: key("limits.response_memory", "64MiB", "Memory for OpenAI responses that clients refer to by id; 0 remembers none and serves no WebSocket."), kind: size, max: 1 << 40, at: func(c *Config) any { return &c.Limits.ResponseMemory }},
	}
}

func retryRows() []row {
	return []row{
		{Key: key("retry.max_attempts", "3", "Attempts for one request, over all accounts."), kind: integer, min: 1, max: 100, at: func(c *Config) any { return &c.Retry.MaxAttempts }},
		{Key: key("retry.max_connection_retries", "3", "Retries of one attempt whose connection fails before anything is answered."), kind: integer, max: 100, at: func(c *Config) any { return &c.Retry.MaxConnectionRetries }},
		{Key: key("retry.max_wait", "20s", "Longest time that one request waits in all between attempts."), kind: duration, at: func(c *Config) any { return &c.Retry.MaxWait }},
		{Key: key("retry.max_single_wait", "10s", "Longest wait before one attempt; an upstream that asks for more makes the attempt fail."), kind: duration, at: func(c *Config) any { return &c.Retry.MaxSingleWait }},
		{Key: key("retry.initial_backoff", "1s", "First wait when the upstream names none."), kind: duration, at: func(c *Config) any { return &c.Retry.InitialBackoff }},
		{Key: key("retry.multiplier", "2", "Growth of each further wait."), kind: number, min: 1, max: 100, at: func(c *Config) any { return &c.Retry.Multiplier }},
	}
}

func logRows() []row {
	return []row{
		{Key: key("log.level", "info", "Least severe message to log."), oneOf: "debug|info|warn|error", at: func(c *Config) any { return &c.Log.Level }},
		{Key: key("log.format", "text", "Form of the log."), oneOf: "text|json", at: func(c *Config) any { return &c.Log.Format }},
	}
}

func usageRows() []row {
	return []row{
		{Key: key("usage.enabled", "true", "Keep a record of every exchange, less its text, in usage.db; detour usage adds it up, and budgets and limits that accounts met outlast a restart."), kind: boolean, at: func(c *Config) any { return &c.Usage.Enabled }},
		{Key: key("usage.max_age", "9600h", "How long a record is kept (9600h are 400 days); 0s for ever."), kind: duration, at: func(c *Config) any { return &c.Usage.MaxAge }},
		{Key: key("usage.max_size", "256MiB", "Size of usage.db from which the oldest records are deleted."), kind: size, min: 1 << 20, max: 1 << 40, at: func(c *Config) any { return &c.Usage.MaxSize }},
	}
}

func accountRows() []row {
	return []row{
		{Key: key("accounts.id", "", "Name of the account, unique over config.toml and accounts.toml."), check: checkID, of: func(a *Account) any { return &a.ID }},
		{Key: key("accounts.provider", "github-copilot", "Upstream service that the account belongs to."), check: checkWord, of: func(a *Account) any { return &a.Provider }},
		{Key: key("accounts.auth_type", "", "How the credential is presented, where the provider knows several ways."), check: checkWord, of: func(a *Account) any { return &a.AuthType }},
		{Key: key("accounts.refresh_token", "", "Long-lived token that access tokens are made from."), kind: secretText, of: func(a *Account) any { return &a.RefreshToken }},
		{Key: key("accounts.access_token", "", "Short-lived token, replaced when it ends."), kind: secretText, of: func(a *Account) any { return &a.AccessToken }},
		{Key: key("accounts.access_token_expires_at", "", "When access_token ends, in seconds since 1970."), kind: unixTime, max: 1 << 40, of: func(a *Account) any { return &a.AccessTokenExpiresAt }},
		{Key: key("accounts.refresh_url", "", "Where access tokens are made, when not at the provider's own address."), check: checkURL, of: func(a *Account) any { return &a.RefreshURL }},
		{Key: key("accounts.api_key", "", "Static API key."), kind: secretText, of: func(a *Account) any { return &a.APIKey }},
		{Key: key("accounts.github_token", "", "GitHub token of a Copilot account; another name for refresh_token."), kind: secretText, of: func(a *Account) any { return &a.GitHubToken }},
		{Key: key("accounts.base_url", "", "Upstream address, when not the provider's own."), check: checkURL, of: func(a *Account) any { return &a.BaseURL }},
		{Key: key("accounts.models", "[]", "The only models to use of this account; needed where a server cannot list its models."), kind: list, check: checkModel, of: func(a *Account) any { return &a.Models }},
		{Key: key("accounts.tier", "active", "When the account is used: fallback ones only if no active one can serve."), oneOf: "active|fallback|disabled", of: func(a *Account) any { return &a.Tier }},
		{Key: key("accounts.enabled", "true", "Whether the account is used at all."), kind: boolean, of: func(a *Account) any { return (*inverted)(&a.Disabled) }},
		{Key: key("accounts.settings", "{}", "Settings of the provider for this account."), kind: table, checkKey: checkWord, of: func(a *Account) any { return &a.Settings }},
	}
}
