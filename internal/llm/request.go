package llm

import "encoding/json"

// Request is a model request in no dialect's words. It is richer than any one dialect, so that what a client says
// reaches every dialect that can say it too; what a target cannot say, its encoder reports as lost. One decoder builds
// it; only the named policy steps change it; encoders read it.
type Request struct {
	Model  string
	Stream bool

	System []Part // leading instructions, one part for each block of the source
	Turns  []Turn // in order; what tools answered are parts of a User turn
	Tools  []Tool
	Choice Choice
	// Parallel says whether several tool calls may come in one answer; nil when the client did not say.
	Parallel *bool

	MaxOutput   int // tokens; 0 when the client did not say
	Temperature *float64
	TopP        *float64
	TopK        *int
	Stop        []string
	Candidates  int // n, candidateCount; 0 when not said

	Reasoning Reasoning
	Output    Output

	User    string // end user, as the client names them
	Session string // conversation id that the body names; a prompt-cache key where a dialect has one
	// WantUsage says that the client asked for usage in the stream (chat).
	WantUsage bool
	// Compact says that the client asks for a compaction of the conversation in the place of an answer (Responses).
	Compact bool

	// Source is the dialect that the request came in, and Extras its members that have no field here, by name and
	// unchanged: the source's own encoder writes them back, others report those that mean something as lost.
	Source string
	Extras map[string]json.RawMessage
	// Raw is the whole request as the client wrote it, for answers that echo parts of it.
	Raw json.RawMessage
}

// Role says whose turn it is.
type Role uint8

// The roles. System is an instruction in mid-conversation; leading ones are in Request.System.
const (
	RoleUser Role = iota
	RoleAssistant
	RoleSystem
)

// Turn is what one side said at once.
type Turn struct {
	Role  Role
	Parts []Part
	Phase string // "commentary" or "final_answer" where the client says so
}

// PartKind tells the parts apart.
type PartKind uint8

// The kinds of parts.
const (
	PartText PartKind = iota
	PartImage
	PartFile
	PartThinking   // reasoning, and the state that lets it be replayed
	PartCall       // the model calls a tool
	PartResult     // a tool answered
	PartRefusal    // the model declines, in words
	PartCompaction // an opaque summary of earlier turns
	PartOpaque     // of a kind that only its dialect knows, in Raw
)

// Part is one piece of a turn. Kind says which fields count.
type Part struct {
	Kind   PartKind
	Text   string // text, thinking, refusal
	Media  *Media // image, file
	Call   *Call
	Result *Result
	Opaque Opaque // thinking, compaction: replay state of the model that made it
	// Redacted marks thinking whose text nobody may see.
	Redacted  bool
	Citations []json.RawMessage // of text, as the source wrote them
	Cache     *Cache            // a prompt-cache breakpoint behind this part
	// Raw is the part as its dialect wrote it: of PartOpaque always.
	Raw json.RawMessage
}

// Media is an image or a file.
type Media struct {
	Type   string // media type, "" when not known
	Data   string // base64
	URL    string
	FileID string
	Name   string
	Detail string // low, high, auto, original
	Text   string // a document given as plain text
}

// Cache is a prompt-cache breakpoint.
type Cache struct{ TTL string } // "" for the default

// Opaque is state that only the model that made it can read. The zero Opaque is none.
type Opaque struct {
	Kind  OpaqueKind
	Value string
	ID    string // the item id that Value is bound to (Responses)
}

// OpaqueKind says whose words an Opaque is in.
type OpaqueKind string

// The kinds of opaque state.
const (
	OpaqueNone      OpaqueKind = ""
	OpaqueSignature OpaqueKind = "a" // Messages: signature of a thinking block
	OpaqueRedacted  OpaqueKind = "x" // Messages: data of a redacted_thinking block
	OpaqueEncrypted OpaqueKind = "r" // Responses: encrypted_content, bound to ID
	OpaqueChat      OpaqueKind = "c" // Chat on Copilot: reasoning_opaque
	OpaqueCarrier   OpaqueKind = "?" // as a client sent it, not opened yet
)

// ToolKind says how a tool is called.
type ToolKind uint8

// The kinds of tools.
const (
	ToolFunction ToolKind = iota // a JSON object of arguments
	ToolCustom                   // free text, perhaps by a grammar
	ToolNative                   // a built-in that the client executes, with a shape of its own (Type names it)
	ToolHosted                   // executed by the provider (Type names it)
)

// Tool is a tool that the model may call.
type Tool struct {
	Kind      ToolKind
	Type      string // the source's word for a native or hosted tool: "local_shell", "web_search_20250305", …
	Namespace string // of a tool inside a namespace
	// NamespaceDescription describes the namespace; each of its tools has it.
	NamespaceDescription string
	Name                 string
	Description          string
	Schema               json.RawMessage // JSON Schema of the arguments; nil when there is none
	Strict               *bool
	Format               json.RawMessage // grammar of a custom tool, as Responses writes it
	Cache                *Cache
	Raw                  json.RawMessage // the declaration as the source wrote it
}

// ChoiceMode says which tools the model may or must call.
type ChoiceMode uint8

// The modes. The zero value means that the client did not say.
const (
	ChoiceUnset ChoiceMode = iota
	ChoiceAuto
	ChoiceNone
	ChoiceRequired
	ChoiceOne    // exactly the one in Names
	ChoiceSubset // one of those in Names; Must says whether one must be called
)

// Choice is a tool choice.
type Choice struct {
	Mode  ChoiceMode
	Names []string
	Must  bool
}

// Call is a call of a tool by the model.
type Call struct {
	ID        string
	Kind      ToolKind
	Type      string // of a native or hosted call
	Namespace string
	Name      string
	Arguments string // JSON text of a function call, free text of a custom one; not checked
}

// Result is what a tool answered.
type Result struct {
	ID      string // of the call
	Kind    ToolKind
	Type    string
	Name    string // of the tool, where the source says it
	Parts   []Part // text, images, files
	IsError bool
}

// Effort is how hard a model should think.
type Effort string

// The levels in order, and "" when the client did not say.
const (
	EffortUnset   Effort = ""
	EffortNone    Effort = "none"
	EffortMinimal Effort = "minimal"
	EffortLow     Effort = "low"
	EffortMedium  Effort = "medium"
	EffortHigh    Effort = "high"
	EffortXHigh   Effort = "xhigh"
	EffortMax     Effort = "max"
)

// Reasoning says how a model should think and what of it the client wants to see.
type Reasoning struct {
	Effort   Effort
	Budget   int    // tokens; 0 when not said
	Adaptive bool   // the model decides (Messages: thinking.type adaptive)
	Disabled bool   // switched off in so many words
	Hidden   bool   // thoughts are not wanted in the answer
	Summary  string // auto, concise, detailed (Responses)
	Display  string // summarized, omitted (Messages)
	// Encrypted says that the client asked for replay state (Responses include).
	Encrypted bool
}

// Output says what shape the answer must have.
type Output struct {
	Format    string // "", "text", "json_object", "json_schema", or a grammar kind
	Name      string
	Schema    json.RawMessage
	Strict    *bool
	Verbosity string // low, medium, high
}
