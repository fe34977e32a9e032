package chat

import (
	"detour/internal/dialect"
	"detour/internal/dialect/rawjson"
	"detour/internal/llm"
)

// readUsage reads the usage object of an answer. The cached tokens are part of the prompt here and a bucket of their
// own in llm.Usage.
func readUsage(u *llm.Usage, raw []byte) {
	if rawjson.Of(raw) != rawjson.Object {
		return
	}
	var prompt, completion, total, read, write, nested, top int64
	for it := rawjson.Members(raw, 0); it.Next(); {
		switch string(it.Key()) {
		case "prompt_tokens":
			prompt = dialect.Tokens(it.Raw())
		case "completion_tokens":
			completion = dialect.Tokens(it.Raw())
		case "total_tokens":
			total = dialect.Tokens(it.Raw())
		case "reasoning_tokens":
			top = dialect.Tokens(it.Raw())
		case "prompt_tokens_details":
			for d := rawjson.Members(it.Raw(), 0); d.Next(); {
				switch string(d.Key()) {
				case "cached_tokens":
					read = dialect.Tokens(d.Raw())
				case "cache_write_tokens", "cache_creation_input_tokens":
					write = max(write, dialect.Tokens(d.Raw()))
				}
			}
		case "completion_tokens_details":
			for d := rawjson.Members(it.Raw(), 0); d.Next(); {
				if string(d.Key()) == "reasoning_tokens" {
					nested = dialect.Tokens(d.Raw())
				}
			}
		case "copilot_usage":
			dialect.ReadPrice(u, it.Raw())
		}
	}
	u.Reported = true
	dialect.ReadCost(u, raw)
	u.CacheRead, u.CacheWrite = read, write
	u.Input = max(0, prompt-read-write)
	u.Output, u.Reasoning = completion, max(nested, top)
	if top > 0 && total == prompt+completion+top {
		u.Output += top // Gemini models count reasoning beside the completion
	}
	u.Reasoning = min(u.Reasoning, u.Output)
}
