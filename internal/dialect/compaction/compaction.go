// Package compaction replaces the turns of a long conversation by a summary, for models that have no compaction of
// their own: it asks a model for the summary, and makes of the answer what a client expects of a compaction.
//
// The summary travels as the text of a compaction item that detour seals. Any model of any dialect can read it again,
// because it goes upstream as the words of a user.
package compaction

import (
	"net/http"
	"strings"

	"detour/internal/dialect"
)

// Failed is the code of the failure of an answer that holds no compaction. Asking again would cost the same and most
// likely end the same.
const Failed = "compaction_failed"

// failure is why there is no compaction. Its status keeps clients from asking again by themselves.
func failure(message string) *dialect.Failure {
	return &dialect.Failure{Status: http.StatusBadRequest, Type: "invalid_request_error", Code: Failed, Message: message}
}

const (
	openTag  = "<summary>"
	closeTag = "</summary>"
	// lead tells a model what it reads: it was not there when the summary was asked for.
	lead = "The conversation up to here did not fit into the context window any more and was replaced by this summary of it. Continue from it."
)

// Text words a summary as what a user says.
func Text(summary string) string {
	return openTag + "\n" + lead + "\n\n" + strings.TrimSpace(summary) + "\n" + closeTag
}

// IsText reports whether a text is a summary that Text worded.
func IsText(text string) bool { return strings.HasPrefix(text, openTag+"\n"+lead) }
