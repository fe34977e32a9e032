package dialect

import (
	"math"
	"strconv"

	"detour/internal/dialect/rawjson"
	"detour/internal/llm"
)

// Tokens reads a number of tokens, or 0 where raw is none. Its bound keeps sums from overflowing.
func Tokens(raw []byte) int64 {
	n, _ := rawjson.Int(raw)
	return min(max(0, n), 1<<40)
}

// ReadPrice takes the price that an upstream names in its copilot_usage object, in 10⁻⁹ AI credits. Where it names
// none u stays as it is.
func ReadPrice(u *llm.Usage, raw []byte) {
	if n, ok := rawjson.Int(rawjson.Get(raw, "total_nano_aiu")); ok {
		u.NanoAIU, u.Priced = min(max(0, n), llm.MaxNanoAIU), true
	}
}

// ReadCost takes the price that a usage object holds as OpenRouter writes it: a number of US dollars. A request that
// was served with a key of the owner's at another service is charged there too, and then both count. Where the object
// holds no price u stays as it is.
func ReadCost(u *llm.Usage, usage []byte) {
	cost, ok := dollars(rawjson.Get(usage, "cost"))
	if !ok {
		return
	}
	if string(rawjson.Get(usage, "is_byok")) == "true" {
		elsewhere, _ := dollars(rawjson.Get(usage, "cost_details", "upstream_inference_cost"))
		cost += elsewhere
	}
	u.NanoAIU, u.Priced = min(cost, llm.MaxNanoAIU), true
}

// nanoPerDollar is what a US dollar is in 10⁻⁹ AI credits, of which one is a cent.
const nanoPerDollar = 100e9

// dollars reads an amount of US dollars as 10⁻⁹ AI credits, rounded to the nearest.
func dollars(raw []byte) (nano int64, ok bool) {
	if rawjson.Of(raw) != rawjson.Number {
		return 0, false
	}
	f, err := strconv.ParseFloat(string(raw), 64)
	if err != nil || f < 0 {
		return 0, false
	}
	return int64(math.Round(min(f*nanoPerDollar, llm.MaxNanoAIU))), true
}
