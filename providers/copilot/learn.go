package copilot

import (
	"bytes"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"detour/internal/dialect"
	"detour/providers"
)

// What refusals that concern every request for a model are recognised by. The names of parameters are the client's own
// words, so only those that can be one are believed.
var (
	extraInput   = regexp.MustCompile(`(?:^|[\s:])((?:[a-z_]\w*|\d+)(?:\.(?:[a-z_$]\w*|\d+))*): Extra inputs are not permitted`)
	unsupported  = regexp.MustCompile(`(?i)(?:unsupported|unknown) parameter: '([a-z_]\w*(?:\.[a-z_]\w*)*)'`)
	unrecognised = regexp.MustCompile(`(?i)unrecognized request arguments? supplied: ([a-z_]\w*)`)
	wrongValue   = regexp.MustCompile(`(?i)unsupported value: '([a-z_]\w*(?:\.[a-z_]\w*)*)' does not support`)
	rightValues  = regexp.MustCompile(`(?i)supported values are: ((?:'[\w.-]+'(?:,? (?:and |or )?)?)+)`)
	quotedWord   = regexp.MustCompile(`'([\w.-]+)'`)
	deprecated   = regexp.MustCompile("`(temperature|top_p|top_k)` (?:is deprecated|is not supported|may only be set)")
	atMost       = regexp.MustCompile(`(?:max_(?:completion_|output_)?tokens: \d+ > |supports at most |max_tokens must be less than or equal to )(\d{3,9})\b`)
	unknownBeta  = regexp.MustCompile(`(?i)(?:unsupported beta header\(s\)|unexpected value\(s\)|invalid beta flag|unknown beta)[^a-z0-9]*([a-z0-9-]+-20\d\d-\d\d-\d\d)`)
)

// The lessons. The words behind them are their operands.
const (
	lessonOmit     = "omit"     // PATH: a member is left out wherever it stands in the same position
	lessonRename   = "rename"   // max_tokens becomes max_completion_tokens
	lessonLimit    = "limit"    // a limit on output has to be there
	lessonMost     = "most"     // N: a limit on output beyond N is brought down to it
	lessonOneOf    = "values"   // PATH WORD…: a member must have one of these values, or go
	lessonAdaptive = "adaptive" // thinking by a budget is not possible
	lessonBudget   = "budget"   // adaptive thinking is not possible
	lessonPick     = "pick"     // of temperature and top_p one must go
	lessonUserLast = "userlast" // the conversation must end with the user
	lessonNoSearch = "nosearch" // web search is not there
	lessonBeta     = "beta"     // NAME: a beta is not known
)

// Learn implements providers.Learner.
func (p *Provider) Learn(c *providers.Call, e *providers.Error) []string {
	if _, ok := mending(c, e); !ok {
		return nil
	}
	betas := (&state{}).betas(c)
	body, err := edit(c, betas)
	if err != nil {
		return nil
	}
	body = heed(body, c.Model, c.Lessons)
	var learned []string
	for _, lesson := range taught(c.Endpoint, e) {
		if slices.Contains(c.Lessons, lesson) || slices.Contains(learned, lesson) {
			continue
		}
		// One that changes nothing would only send the same request again.
		if beta, isBeta := strings.CutPrefix(lesson, lessonBeta+" "); isBeta && slices.Contains(betas, beta) || !isBeta && !bytes.Equal(heed(body, c.Model, []string{lesson}), body) {
			learned = append(learned, lesson)
		}
	}
	return learned
}

// taught reads a refusal.
func taught(endpoint dialect.Endpoint, e *providers.Error) []string {
	var all []string
	add := func(lesson ...string) { all = append(all, strings.Join(lesson, " ")) }
	text := e.Failure.Message
	switch param := parameter(e); {
	case param == "max_tokens" && strings.Contains(text, "'max_completion_tokens'"):
		add(lessonRename)
	case param != "":
		add(lessonOmit, param)
	}
	if found := wrongValue.FindStringSubmatch(text); found != nil {
		if right := rightValues.FindStringSubmatch(text); right != nil {
			words := []string{lessonOneOf, found[1]}
			for _, word := range quotedWord.FindAllStringSubmatch(right[1], -1) {
				words = append(words, word[1])
			}
			add(words...)
		} else {
			add(lessonOmit, found[1])
		}
	}
	if found := atMost.FindStringSubmatch(text); found != nil {
		add(lessonMost, found[1])
	}
	switch endpoint {
	case dialect.EndpointChat:
		if strings.Contains(text, "max_tokens is required") {
			add(lessonLimit)
		}
	case dialect.EndpointResponses:
		if strings.Contains(strings.ToLower(text), "web search tool is not supported") {
			add(lessonNoSearch)
		}
	case dialect.EndpointMessages, dialect.EndpointCountTokens:
		all = append(all, messagesLessons(text)...)
	}
	return slices.DeleteFunc(all, func(lesson string) bool { return len(lesson) > 200 || essential(lesson) })
}

// parameter returns the top-level parameter that a refusal says is not supported at all.
func parameter(e *providers.Error) string {
	for _, known := range []*regexp.Regexp{unsupported, unrecognised, deprecated} {
		if found := known.FindStringSubmatch(e.Failure.Message); found != nil {
			return found[1]
		}
	}
	if p := e.Failure.Param; p != "" && strings.Contains(e.Failure.Message, p+" is not supported") && memberName.MatchString(p) {
		return p
	}
	return ""
}

var memberName = regexp.MustCompile(`^[a-z_]\w*$`)

// messagesLessons reads what only Messages says.
func messagesLessons(text string) []string {
	var all []string
	for _, found := range extraInput.FindAllStringSubmatch(text, 16) {
		path := strings.Split(found[1], ".")
		for i := range path {
			if _, err := strconv.Atoi(path[i]); err == nil {
				path[i] = "#" // the validator may name one offence at a time, and the next would be the same elsewhere
			}
		}
		all = append(all, lessonOmit+" "+strings.Join(path, "."))
	}
	lower := strings.ToLower(text)
	switch {
	case strings.Contains(text, "thinking.type.enabled") && strings.Contains(text, "adaptive"):
		all = append(all, lessonAdaptive)
	case strings.Contains(lower, "adaptive thinking is not supported"):
		all = append(all, lessonBudget)
	case strings.Contains(lower, "thinking") && strings.Contains(lower, "input tag '") && strings.Contains(lower, "'adaptive'"):
		all = append(all, lessonAdaptive) // a kind of thinking that is newer than the model
	}
	if strings.Contains(text, "`temperature` and `top_p` cannot both") {
		all = append(all, lessonPick)
	}
	if strings.Contains(lower, "does not support assistant message prefill") || strings.Contains(lower, "conversation must end with a user message") {
		all = append(all, lessonUserLast)
	}
	if strings.Contains(lower, "not support the effort parameter") {
		all = append(all, lessonOmit+" output_config.effort")
	}
	if found := unknownBeta.FindStringSubmatch(text); found != nil {
		all = append(all, lessonBeta+" "+found[1])
	}
	return all
}

// essential reports whether a request without the member that a lesson leaves out would be another request.
func essential(lesson string) bool {
	word, path, _ := strings.Cut(lesson, " ")
	if word != lessonOmit {
		return false
	}
	switch path {
	case "model", "messages", "input", "stream", "tools", "system", "instructions", "messages.#.content", "messages.#.role":
		return true
	}
	return false
}
