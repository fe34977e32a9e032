package providers_test

import (
	"math"
	"testing"

	"detour/internal/llm"
	"detour/providers"
)

func TestEstimate(t *testing.T) {
	t.Parallel()
	sonnet := providers.Cost{Input: 3, Output: 15, CacheRead: 0.3, CacheWrite: 3.75}
	for name, c := range map[string]struct {
		cost  providers.Cost
		usage llm.Usage
		want  int64
		ok    bool
	}{
		"a dollar is a hundred credits":   {providers.Cost{Input: 1, Output: 1}, llm.Usage{Input: 1e6}, 100e9, true},
		"each bucket has its price":       {sonnet, llm.Usage{Input: 1000, CacheRead: 2000, CacheWrite: 400, Output: 100}, 1000*300_000 + 2000*30_000 + 400*375_000 + 100*1_500_000, true},
		"reasoning is part of the output": {sonnet, llm.Usage{Output: 100, Reasoning: 90}, 100 * 1_500_000, true},
		"cache at the price of input":     {providers.Cost{Input: 2, Output: 8}, llm.Usage{Input: 1, CacheRead: 10, CacheWrite: 100, Output: 1}, 111*200_000 + 800_000, true},
		"the cheapest there is":           {providers.Cost{Input: 0.005, Output: 0.4}, llm.Usage{Input: 3, Output: 1}, 3*500 + 40_000, true},
		"rounded to the nearest":          {providers.Cost{Input: 0.000014, Output: 0.000016}, llm.Usage{Input: 10, Output: 10}, 10*1 + 10*2, true},
		"nothing was used":                {sonnet, llm.Usage{}, 0, true},
		"embeddings have no output":       {providers.Cost{Input: 0.02}, llm.Usage{Input: 50}, 50 * 2000, true},
		"output without a price":          {providers.Cost{Input: 0.02}, llm.Usage{Input: 50, Output: 1}, 0, false},
		"no prices":                       {providers.Cost{}, llm.Usage{Input: 50, Output: 1}, 0, false},
		"no price for input":              {providers.Cost{Output: 5}, llm.Usage{Output: 1}, 0, false},
		"prices that cannot be true":      {providers.Cost{Input: math.NaN(), Output: 1}, llm.Usage{Input: 1}, 0, false},
		"nor these":                       {providers.Cost{Input: math.Inf(1), Output: 1}, llm.Usage{Input: 1}, 0, false},
		"nor those":                       {providers.Cost{Input: -1, Output: 1}, llm.Usage{Input: 1}, 0, false},
		"absurd figures do not overflow": {providers.Cost{Input: 1e5, Output: 1e5},
			llm.Usage{Input: math.MaxInt64, CacheRead: math.MaxInt64, CacheWrite: math.MaxInt64, Output: math.MaxInt64}, llm.MaxNanoAIU, true},
		"nor do those below nothing count": {sonnet, llm.Usage{Input: -5, Output: 1}, 1_500_000, true},
	} {
		if got, ok := c.cost.Estimate(c.usage); got != c.want || ok != c.ok {
			t.Errorf("%s: got %d, %t, want %d, %t", name, got, ok, c.want, c.ok)
		}
	}
}
