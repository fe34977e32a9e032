package responses

import (
	"bytes"

	"detour/internal/dialect/rawjson"
)

// IsProbe recognises a request that asks nothing and wants one token for it.
func IsProbe(body []byte) bool {
	const most = 64 << 10 // instructions and tools may come along
	if len(body) > most || !bytes.Contains(body, []byte(`"max_output_tokens"`)) || !rawjson.Valid(body) {
		return false
	}
	limit, _ := rawjson.Int(rawjson.Get(body, "max_output_tokens"))
	return limit == 1 && rawjson.Empty(rawjson.Get(body, "input"))
}
