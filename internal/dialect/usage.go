package dialect

import "detour/internal/dialect/rawjson"

// Tokens reads a number of tokens, or 0 where raw is none. Its bound keeps sums from overflowing.
func Tokens(raw []byte) int64 {
	n, _ := rawjson.Int(raw)
	return min(max(0, n), 1<<40)
}

// NanoAIU reads the price that an upstream names in its copilot_usage object, in 10⁻⁹ AI credits. ok is false when
// there is none.
func NanoAIU(raw []byte) (n int64, ok bool) {
	n, ok = rawjson.Int(rawjson.Get(raw, "total_nano_aiu"))
	return max(0, n), ok
}
