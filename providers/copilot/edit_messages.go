package copilot

import (
	"bytes"
	"net/http"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"

	"detour/internal/dialect"
	"detour/providers"
)

// attribution begins the system block by which Claude Code names itself. It stands in front of everything else and
// differs from request to request, so that it would keep the prompt out of every cache.
const attribution = "x-anthropic-billing-header:"

// editMessages applies the edits of messages and messages/count_tokens. betas are those that go upstream.
func editMessages(c *providers.Call, betas []string) ([]byte, error) {
	body := c.Body
	p, ok := newPatch(body)
	if !ok {
		return body, nil
	}
	e := messagesEdit{
		patch:  p,
		claude: claudeOf(c.Model),
		count:  c.Endpoint == dialect.EndpointCountTokens,
		scopes: bytes.Contains(body, []byte(`"scope"`)),
		blanks: hasBlank(body, `"text"`),
		// Thinking that nobody signed, or another model than Claude, is refused.
		unsigned: hasBlank(body, `"signature"`) || bytes.Contains(body, []byte(`"`+fernet)),
		changes:  bytes.Contains(body, []byte(`"tool_addition"`)) || bytes.Contains(body, []byte(`"tool_removal"`)),
		surplus:  p.surplus(body),
	}
	for _, beta := range betas {
		e.toolUse = e.toolUse || strings.HasPrefix(beta, betaToolUse)
	}
	if err := e.hostedTools(); err != nil {
		return nil, err
	}
	e.readTurns()
	effort := e.effort
	if effort == "" {
		effort = p.get("output_config").Get("effort").String()
	}
	e.thinking = planThinking(p, e.claude, effort, e.endsUnsigned)
	e.planTurns()
	if top := p.get("cache_control"); top.IsObject() && bytes.Count(body, []byte(`"cache_control"`)) <= maxCacheControls {
		e.marker = withoutScope(top)
		e.target = p.lastCacheable()
	}
	e.document()
	return p.apply(body), nil
}

// messagesEdit is one pass over a request. The flags say which edits can apply at all, so that a large conversation
// is walked only when there is something to find.
type messagesEdit struct {
	*patch
	claude
	thinking thinking
	count    bool // messages/count_tokens

	scopes, blanks, unsigned, changes bool
	toolUse                           bool // the beta for tools that are loaded later goes upstream
	surplus                           map[int]bool
	marker                            string       // cache_control that moves to target, raw, or ""
	target                            gjson.Result // block, or the string content of the last message
	hosted                            int          // tools that only Anthropic executes

	turns  []turnEdit
	effort string   // of the turn, where a message says it; else ""
	hoist  []string // instructions in front of the conversation, blocks
	inline []string // tools that are declared in mid-conversation
}

func (e *messagesEdit) document() {
	e.object(e.doc, e.added(), func(name string, v gjson.Result) bool {
		switch name {
		case "service_tier", "speed", "cache_control", "output_format", "container", "mcp_servers", "inference_geo", "fallbacks", "diagnostics", "thread", "compaction":
			return true
		case "temperature", "top_p", "top_k":
			return e.count || e.thinking.sampling(e.patch, e.claude, name, v)
		case "stream", "stop_sequences":
			return e.count
		case "max_tokens":
			if n := e.thinking.maxTokens; n > 0 && n != v.Int() {
				e.replace(v, strconv.FormatInt(n, 10))
			}
			return e.count
		case "metadata":
			return e.count || e.metadata(v)
		case "thinking":
			if !e.thinking.off && v.IsObject() {
				e.thinking.edit(e.patch, v)
			}
			return e.thinking.off
		case "output_config":
			return e.outputConfig(v)
		case "context_management":
			return e.contextManagement(v)
		case "system":
			return e.system(v)
		case "messages":
			e.messages(v)
		case "tools":
			return e.tools(v)
		case "tool_choice":
			return e.hosted > 0 && e.hosted == len(e.get("tools").Array())
		}
		return false
	})
}

// added are the members that the request lacks.
func (e *messagesEdit) added() string {
	var add []string
	if !e.get("output_config").IsObject() {
		var in []string
		if e.thinking.effort != "" && e.takesEffort() {
			in = append(in, `"effort":"`+e.thinking.effort+`"`)
		}
		if f := e.get("output_format"); f.IsObject() {
			in = append(in, `"format":`+f.Raw)
		}
		if len(in) > 0 {
			add = append(add, `"output_config":{`+strings.Join(in, ",")+`}`)
		}
	}
	if len(e.hoist) > 0 && !e.get("system").Exists() {
		add = append(add, `"system":[`+strings.Join(e.hoist, ",")+`]`)
	}
	if len(e.inline) > 0 && !e.get("tools").Exists() {
		add = append(add, `"tools":[`+strings.Join(e.inline, ",")+`]`)
	}
	return strings.Join(add, ",")
}

// maxUser is how long metadata.user_id may be.
const maxUser = 256

// metadata keeps who the user is and nothing else: more is refused.
func (e *messagesEdit) metadata(v gjson.Result) bool {
	if !v.IsObject() {
		return v.Type != gjson.Null
	}
	if id := v.Get("user_id"); id.Type != gjson.String || len(id.Str) > maxUser {
		return true
	}
	e.object(v, "", func(name string, _ gjson.Result) bool { return name != "user_id" })
	return false
}

// outputConfig brings the effort to what the model has. It reports whether the member goes.
func (e *messagesEdit) outputConfig(v gjson.Result) bool {
	if !v.IsObject() {
		return false
	}
	add, effort := "", e.thinking.effort
	if f := e.get("output_format"); f.IsObject() && !v.Get("format").Exists() {
		add = `"format":` + f.Raw
	}
	if !v.Get("effort").Exists() && effort != "" {
		add = strings.TrimSuffix(`"effort":"`+effort+`",`+add, ",")
	}
	left := e.elements(v, func(name string, v gjson.Result) bool {
		switch name {
		case "effort":
			if effort != "" && v.Str != effort {
				e.replace(v, `"`+effort+`"`)
			}
			return effort == ""
		case "task_budget": // its beta is not known upstream
			return true
		}
		return false
	})
	if add != "" {
		if left > 0 {
			add += ","
		}
		e.cuts = append(e.cuts, cut{v.Index + 1, v.Index + 1, add})
	}
	return left == 0 && add == ""
}

// contextManagement keeps the edits that the upstream knows. It reports whether the member goes.
func (e *messagesEdit) contextManagement(v gjson.Result) bool {
	if !v.IsObject() {
		return true
	}
	edits := v.Get("edits")
	if !edits.IsArray() {
		return false
	}
	drop := func(edit gjson.Result) bool { return !e.knownEdit(edit) }
	left := 0
	edits.ForEach(func(_, edit gjson.Result) bool {
		if !drop(edit) {
			left++
		}
		return true
	})
	if left > 0 {
		e.array(edits, drop)
	}
	return left == 0 && len(edits.Array()) > 0
}

// knownEdit knows the edits that need no beta of their own. Thoughts can be cleared only where there are some.
func (e *messagesEdit) knownEdit(edit gjson.Result) bool {
	switch edit.Get("type").String() {
	case "clear_thinking_20251015":
		return e.thinking.active()
	case "clear_tool_uses_20250919":
		return true
	}
	return false
}

// hostedTools counts the tools that only Anthropic's own service executes. A request that insists on one cannot be
// served.
func (e *messagesEdit) hostedTools() error {
	choice := e.get("tool_choice")
	must, forced := choice.Get("type").String(), choice.Get("name").String()
	refused, all := "", 0
	e.get("tools").ForEach(func(_, tool gjson.Result) bool {
		if all++; isHosted(tool) {
			e.hosted++
			if must == "any" || must == "tool" && tool.Get("name").String() == forced {
				refused = tool.Get("type").String()
			}
		}
		return true
	})
	if refused == "" || must == "any" && e.hosted < all {
		return nil
	}
	return invalid(http.StatusBadRequest, "", "tool_choice", "tool_choice: a tool of type "+refused+" is executed by Anthropic's own service only; GitHub Copilot has none.")
}

func isHosted(tool gjson.Result) bool {
	typ := tool.Get("type").String()
	for _, prefix := range [...]string{"web_search_", "web_fetch_", "code_execution_", "mcp_toolset"} {
		if strings.HasPrefix(typ, prefix) {
			return true
		}
	}
	return false
}

// tools edits the declarations. It reports whether none is left.
func (e *messagesEdit) tools(v gjson.Result) bool {
	if !v.IsArray() {
		return false
	}
	remove := []string{"eager_input_streaming", "input_examples"}
	loadAll := !e.toolUse || e.changes // nothing would ever load what waits to be loaded
	if loadAll {
		remove = append(remove, "defer_loading", "allowed_callers")
	}
	walk := e.scopes || e.marker != "" || e.hosted > 0 || e.surplus != nil
	for _, name := range remove {
		walk = walk || strings.Contains(v.Raw, `"`+name+`"`)
	}
	left := 0
	if walk {
		left = e.elements(v, func(_ string, tool gjson.Result) bool {
			if isHosted(tool) {
				return true
			}
			e.block(tool, remove...)
			return false
		})
	} else {
		v.ForEach(func(_, _ gjson.Result) bool { left++; return false })
	}
	if len(e.inline) > 0 {
		add := strings.Join(e.inline, ",")
		if left > 0 {
			add = "," + add
		}
		end := v.Index + len(v.Raw) - 1
		e.cuts = append(e.cuts, cut{end, end, add})
	}
	return left == 0 && len(e.inline) == 0 && e.hosted > 0
}
