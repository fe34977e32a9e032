package door

import "net/http"

// index answers GET and HEAD of /, which some clients send to see whether anybody is there.
func (d *door) index(w http.ResponseWriter, r *http.Request) {
	page := struct {
		Name      string            `json:"name"`
		Version   string            `json:"version,omitempty"`
		About     string            `json:"about"`
		Keys      bool              `json:"client_key_needed"`
		Endpoints map[string]string `json:"endpoints"`
	}{
		Name:  "detour",
		About: "Local API door to the LLM accounts of this machine's owner.",
		Keys:  d.keysNeeded(),
		Endpoints: map[string]string{
			"POST /v1/chat/completions":      "OpenAI Chat Completions",
			"POST /v1/responses":             "OpenAI Responses",
			"GET /v1/responses":              "the same over a WebSocket",
			"GET /v1/responses/{id}":         "an answer that is remembered; DELETE forgets it",
			"POST /v1/responses/compact":     "OpenAI compaction of a conversation",
			"POST /v1/messages":              "Anthropic Messages",
			"POST /v1/messages/count_tokens": "Anthropic token count",
			"POST /v1/embeddings":            "OpenAI embeddings",
			"GET /v1/models":                 "models",
			"GET /health":                    "state of the accounts",
		},
	}
	if fromLoopback(r) {
		page.Version = d.Version
	}
	if d.LAN != nil {
		page.Endpoints["GET /-/lan/bootstrap.json"] = "set-up of other devices on this network"
	}
	writeJSON(w, http.StatusOK, page)
}
