package sim

import (
	"maps"
	"slices"
	"time"
)

// Scenario says how the simulated services behave. The zero value is a healthy
// service with [DefaultAccounts] and [DefaultModels]. A Scenario that was given
// to a Sim belongs to it; change it through [Sim.Update].
type Scenario struct {
	Accounts []Account // nil: DefaultAccounts()
	Models   []Model   // nil: DefaultModels()

	Login     Login
	Exchange  Exchange
	Checks    Checks
	Chat      Chat
	Responses Responses
	Messages  Messages
	Services  Services

	// Faults are consumed in order: the first one that matches a request is
	// applied to it, and removed once it has been applied Times times.
	Faults []Fault
	// Gates can be named by the directive gate=NAME and by the fault gate=NAME.
	Gates map[string]*Gate

	// Brain decides what the model answers. nil, or a zero BrainAnswer from it:
	// the default answer, which obeys the directives in the user text.
	Brain func(BrainRequest) BrainAnswer

	Chunks     int           // text chunks of a streamed answer; 0: one per word
	ChunkDelay time.Duration // between two chunks
	FirstDelay time.Duration // between the headers and the first byte

	MaxBody int64 // bytes of a request body before 413; 0: 20 MiB
	NoGzip  bool  // do not compress plain answers over 1 KiB for clients that accept gzip
	AnyHost bool  // serve every account on every inference host, instead of 421

	// Canned answers inference requests from pre-rendered bytes: only the
	// token, "model" and "stream" are looked at. Text, ids and usage are
	// constant, and premium requests are not counted. For benchmarks.
	Canned bool
	// OriginCopilot lets the origin serve the simulated planes for github.com,
	// api.github.com and *.githubcopilot.com, for clients with hard-coded hosts.
	OriginCopilot bool
}

// Login scripts the device flow (RFC 8628).
type Login struct {
	// Account names the account that signs in; "": the first one.
	Account string
	// Polls are the answers to access token polls, in order; when they are used
	// up the sign-in succeeds. Each is "success", an error code of RFC 8628
	// section 3.5 or of GitHub, "http:502" (any status, HTML body) or "drop"
	// (connection closed without an answer).
	Polls []string
	// Approval, if not nil, answers authorization_pending until it is open.
	Approval *Gate

	Interval   int  // seconds; 0: 5; <0: the member is left out, 5 applies
	ExpiresIn  int  // seconds; 0: 899; <0: the member is left out, 900 applies
	SlowDownBy int  // seconds that slow_down adds to the interval; 0: 5
	AllowEarly bool // do not answer slow_down to polls before the interval has passed
	NullEmail  bool // GET /user answers with "email":null
}

// Exchange says how GitHub tokens turn into Copilot tokens. Errors are scripted
// with Scenario.Faults and On: OpExchange.
type Exchange struct {
	ExpiresIn time.Duration // 0: 30 minutes
	RefreshIn time.Duration // 0: 25 minutes
	Skew      time.Duration // how far the server clock is ahead: added to expires_at
	SoftEnd   bool          // inference refuses a token from refresh_in on, before expires_at

	// Endpoints: "" the host of the account's plan, "absent" no endpoints
	// member, "wrong" the host of another plan; anything else is used as
	// endpoints.api as it is, for instance a hostile URL.
	Endpoints string

	RejectGoClient bool           // User-Agent Go-http-client/… is answered 403 go_http_client
	RequireEditor  bool           // Editor-Version and Editor-Plugin-Version are required, else 403
	Extra          map[string]any // further members of the answer; replaces those of the same name
}

// Checks are the things about a request that inference hosts may insist on.
type Checks struct {
	// RequireIdentity answers IdentityStatus unless the request carries
	// Editor-Version, Editor-Plugin-Version and Copilot-Integration-Id, or a
	// User-Agent of the official proxies (vscode_claude_code/, vscode_codex/)
	// or of direct-token clients (opencode/, copilot/).
	RequireIdentity bool
	// OldPlugins are values of Editor-Plugin-Version answered with IdentityStatus.
	OldPlugins     []string
	IdentityStatus int // 400, 401 and 403 (HTML) or 466; 0: 400

	RequireInitiator bool // 400 without X-Initiator user or agent, on inference
	RejectDirect     bool // GitHub OAuth tokens are refused, only exchanged ones accepted
	NoVisionCheck    bool // images are accepted without Copilot-Vision-Request
	// Scoped limits the catalogue for a Copilot-Integration-Id to these ids.
	Scoped map[string][]string
}

// Chat holds the switches of /chat/completions. The zero value has the
// deviations that Copilot shows by default.
type Chat struct {
	NoFilterChunk   bool // no first chunk with empty choices, id and prompt_filter_results
	NoFilterResults bool // no content_filter_results in choices
	WithObject      bool // object (and created) present, as in the public API
	NoUsage         bool // no usage at all
	UsageIfAsked    bool // no usage in streams without stream_options.include_usage
	NoDone          bool // the stream ends without data: [DONE]
	NoSplitChoices  bool // Claude: text and tool calls in one choice
	NoInterleave    bool // Claude: tool deltas after all text
	NoReplayCheck   bool // reasoning_opaque is not verified
	Comments        bool // comment lines and empty data lines between the chunks
	NullChoices     bool // a chunk with "choices":null and copilot_references
	WholeCalls      bool // a call comes in one chunk, without index and id, as Ollama's once did
	// ReasoningField is where thinking goes, as plain text, for every model; "" for Copilot's own way, "-" for nowhere.
	ReasoningField string
}

// Responses holds the switches of /responses.
type Responses struct {
	StableIDs     bool // one id for an item in all events, as in the public API
	NoObfuscation bool
	NoReplayCheck bool // encrypted_content is not verified
	// RequireReasoningID refuses encrypted_content that comes back without the
	// id it is bound to. By default clients that drop ids are let through.
	RequireReasoningID bool

	AllowWebSearch    bool // web_search tools are accepted
	RejectCustom      bool // custom (freeform) tools are refused
	RejectFewTokens   bool // max_output_tokens below 16 is refused
	AllowStore        bool // store:true and previous_response_id are accepted (and ignored)
	TrailingDone      bool // data: [DONE] at the end
	EncryptUnasked    bool // encrypted_content even when include does not ask for it
	NoReasoningOutput bool // no reasoning item even when the request asks for reasoning

	// TurnState gives out X-Codex-Turn-State to requests without one, and refuses one that another account was given.
	TurnState          bool
	RejectTrigger      bool // compaction_trigger is an unknown item
	NoCompaction       bool // compaction_trigger is passed over: an answer without a compaction
	AllowCollaboration bool // the reserved namespace is accepted
	RejectPassthrough  bool // members of items that only clients of OpenAI's own service send are refused
}

// Messages holds the switches of /v1/messages.
type Messages struct {
	TrailingDone   bool // data: [DONE] after message_stop
	NoPing         bool
	NoReplayCheck  bool   // signatures and tool_result pairs are not verified
	Lenient        bool   // unknown members are accepted instead of "Extra inputs are not permitted"
	RejectBetas    bool   // unknown anthropic-beta values are answered 400
	AdaptiveOnly   bool   // thinking.type enabled is refused with the adaptive hint
	ErrorShape     int    // 0: 2. 1 Anthropic envelope, 2 {"error":…}, 3 {"message":…}, 4 plain text
	WithholdJSON   *Gate  // input_json_delta waits here, as the service buffers tool arguments
	NoEventLines   bool   // frames without event: lines
	CountTokensOff bool   // count_tokens answers 404
	RejectTTL      bool   // cache_control.ttl is refused
	StopReason     string // of every answer, for instance refusal; "": by the answer
}

// clone returns a copy whose slices and maps can be changed freely.
func (s *Scenario) clone() *Scenario {
	c := *s
	c.Accounts = slices.Clone(s.Accounts)
	c.Models = slices.Clone(s.Models)
	c.Faults = slices.Clone(s.Faults)
	c.Gates = maps.Clone(s.Gates)
	c.Login.Polls = slices.Clone(s.Login.Polls)
	c.Exchange.Extra = maps.Clone(s.Exchange.Extra)
	c.Checks.OldPlugins = slices.Clone(s.Checks.OldPlugins)
	c.Checks.Scoped = maps.Clone(s.Checks.Scoped)
	return &c
}

// state is a Scenario with the look-up tables made from it. It is immutable.
type state struct {
	Scenario
	models    map[string]*Model
	catalogue []byte
	canned    *canned // nil unless Scenario.Canned
}

// newState fills in the defaults of sc, which it takes over.
func newState(sc *Scenario) *state {
	if sc.Accounts == nil {
		sc.Accounts = DefaultAccounts()
	}
	if sc.Models == nil {
		sc.Models = DefaultModels()
	}
	st := &state{Scenario: *sc, models: make(map[string]*Model, len(sc.Models))}
	for i := range st.Models {
		st.models[st.Models[i].ID] = &st.Models[i]
	}
	st.catalogue = renderCatalogue(st.Models)
	if sc.Canned {
		st.canned = newCanned()
	}
	return st
}
