package providers

import (
	"math"
	"math/bits"

	"detour/internal/llm"
)

// nanoPerToken is what a price of one US dollar for a million tokens is for one token, in 10⁻⁹ AI credits: a credit is a
// cent.
const nanoPerToken = 100e9 / 1e6

// MaxPrice is the highest price that is believed, in US dollars for a million tokens.
const MaxPrice = 1e5

// Price is f if that can be a price, and 0, which is unknown, if it is negative, absurd or no number.
func Price(f float64) float64 {
	if f > 0 && f <= MaxPrice {
		return f
	}
	return 0
}

// Estimate is what an answer that used u costs at the list prices, in 10⁻⁹ AI credits. ok is false where the prices are
// not known: there is none for input, or none for output and there was some.
//
// Each price is first rounded to the nearest 10⁻⁹ credits a token; from there on the sum is exact, and held at
// llm.MaxNanoAIU. Tokens of the prompt cache whose price is not known cost as much as other input, which is more than
// most upstreams ask for reading and a little less than some ask for writing. Reasoning is part of the output. Discounts
// and surcharges (batches, priority, long prompts, caches that are kept longer) are not known here.
func (c Cost) Estimate(u llm.Usage) (nanoAIU int64, ok bool) {
	input, output := rate(c.Input), rate(c.Output)
	if input == 0 || output == 0 && u.Output > 0 {
		return 0, false
	}
	read, write := rate(c.CacheRead), rate(c.CacheWrite)
	if read == 0 {
		read = input
	}
	if write == 0 {
		write = input
	}
	sum := times(u.Input, input)
	for _, part := range [...]uint64{times(u.CacheRead, read), times(u.CacheWrite, write), times(u.Output, output)} {
		sum = min(sum+part, llm.MaxNanoAIU)
	}
	return int64(sum), true
}

// rate is a price in 10⁻⁹ credits for one token; 0 for what is unknown or cannot be true.
func rate(price float64) uint64 { return uint64(math.Round(Price(price) * nanoPerToken)) }

// times is the cost of tokens at a rate, at most llm.MaxNanoAIU.
func times(tokens int64, rate uint64) uint64 {
	hi, lo := bits.Mul64(uint64(max(0, tokens)), rate)
	if hi > 0 {
		return llm.MaxNanoAIU
	}
	return min(lo, llm.MaxNanoAIU)
}
