package sim

import (
	"encoding/base64"
	"slices"
	"strings"
)

// maxCompacted bounds what a compaction remembers, in bytes.
const maxCompacted = 4 << 10

// compactions returns the compaction items that stand for the conversation, without ids. Some models make more than
// one; only the last stands for all of it.
func (r *responsesWriter) compactions() []object {
	n := max(1, r.ask.model.Compactions)
	items := make([]object, n)
	for i := range items {
		items[i] = object{"type": "compaction"}
	}
	return items
}

// asksCompaction says whether the request's context_management wants a compaction of a conversation of this size.
func (r *responsesRequest) asksCompaction(prompt int) bool {
	return slices.ContainsFunc(r.ContextManagement, func(m contextManagement) bool {
		return m.Type == "compaction" && m.Threshold > 0 && prompt >= m.Threshold
	})
}

// contextManagement is one element of context_management.
type contextManagement struct {
	Type      string `json:"type"`
	Threshold int    `json:"compact_threshold"`
}

// remembered is what a compaction of the conversation holds: what compactions before it held, and the users' words
// without what agents put beside them.
func (a *ask) remembered() string {
	texts := slices.Clone(a.compacted)
	for _, t := range a.turns {
		if t.role != "user" {
			continue
		}
		for _, text := range t.text {
			if _, clean := Directives(text); clean != "" && (clean[0] != '<' || strings.HasPrefix(clean, "<summary>")) {
				texts = append(texts, clean)
			}
		}
	}
	return clip(strings.Join(texts, " | "), maxCompacted)
}

// compact makes the encrypted content of a compaction. It holds text and is bound to the account and to the id that
// the item has in the same event.
func (c *call) compact(id, text string) string {
	held := base64.RawURLEncoding.EncodeToString([]byte(text))
	return "gAAAAcmp" + held + "." + c.sim.ids.seal(c.account.name, held) + "." + c.sim.ids.seal(c.account.name, held, id)
}

// openCompaction verifies and reads what compact made.
func (c *call) openCompaction(id, encrypted string) (string, error) {
	rest, ok := strings.CutPrefix(encrypted, "gAAAAcmp")
	held, macs, _ := strings.Cut(rest, ".")
	account, bound, _ := strings.Cut(macs, ".")
	reason := ""
	switch {
	case !ok || account != c.sim.ids.seal(c.account.name, held):
		reason = "Encrypted content could not be decrypted or parsed."
	case id == "" && !c.st.Responses.RequireReasoningID:
	case bound != c.sim.ids.seal(c.account.name, held, id):
		reason = "Encrypted content item_id did not match the target item id."
	}
	if reason != "" {
		return "", refused(codeBody("invalid_request_body", "The encrypted content "+clip(encrypted, 4)+"... could not be verified. Reason: "+reason))
	}
	text, err := base64.RawURLEncoding.DecodeString(held)
	if err != nil {
		return "", refused(codeBody("invalid_request_body", "The encrypted content could not be parsed."))
	}
	return string(text), nil
}
