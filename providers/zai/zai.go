// Package zai holds the four services of Z.ai and its Chinese sister Zhipu: pay as you go and the coding plans. They
// differ in their addresses alone.
//
// # Edits
//
// Requests that are not verbatim are changed in one way: a request for a reasoning model that does not say how to think
// gets thinking with {"type":"enabled","clear_thinking":false}, so that the model thinks and keeps what it thought over
// the rounds of a conversation. A reasoning_effort of none counts as saying not to, and becomes {"type":"disabled"}.
package zai

import (
	"regexp"
	"strings"

	"github.com/tidwall/gjson"
	"github.com/tidwall/sjson"

	"detour/internal/dialect"
	"detour/providers"
	"detour/providers/keyed"
)

// services are the four, by id.
func services() map[string]keyed.Service {
	zai := []string{"ZAI_API_KEY", "ZHIPUAI_API_KEY", "ZHIPU_API_KEY"}
	zhipu := []string{"ZHIPUAI_API_KEY", "ZHIPU_API_KEY", "ZAI_API_KEY"}
	return map[string]keyed.Service{
		"zai":                 {Title: "Z.ai", Base: "https://api.z.ai/api/paas/v4", Variables: zai, KeyPage: "https://z.ai/manage-apikey/apikey-list"},
		"zai-coding-plan":     {Title: "Z.ai", Base: "https://api.z.ai/api/coding/paas/v4", Variables: zai, KeyPage: "https://z.ai/manage-apikey/apikey-list"},
		"zhipuai":             {Title: "Zhipu AI", Base: "https://open.bigmodel.cn/api/paas/v4", Variables: zhipu, KeyPage: "https://open.bigmodel.cn/usercenter/apikeys"},
		"zhipuai-coding-plan": {Title: "Zhipu AI", Base: "https://open.bigmodel.cn/api/coding/paas/v4", Variables: zhipu, KeyPage: "https://open.bigmodel.cn/usercenter/apikeys"},
	}
}

// Providers returns the four.
func Providers(o keyed.Options) []*keyed.Provider {
	var list []*keyed.Provider
	for name, s := range services() {
		s.Name = name
		s.Own = strings.TrimPrefix(s.Base[strings.Index(s.Base, "/api/"):], "/api")
		// Anthropic's dialect is for clients that were made for it there, in route mode switch.
		s.Paths = map[dialect.Endpoint]string{
			dialect.EndpointChat: "/chat/completions", dialect.EndpointEmbeddings: "/embeddings", dialect.EndpointModels: "/models",
			dialect.EndpointMessages: "//anthropic/v1/messages", dialect.EndpointCountTokens: "//anthropic/v1/messages/count_tokens",
		}
		s.Passed = []string{"Anthropic-Version", "Anthropic-Beta"}
		s.Dialects = func(providers.Model) []dialect.Endpoint { return []dialect.Endpoint{dialect.EndpointChat} }
		s.Target = target
		s.Parse = func(_ gjson.Result, m *providers.Model) bool {
			m.Reasons = reasons(m.ID)
			return true
		}
		s.Edit, s.Codes = edit, codes()
		list = append(list, keyed.New(s, o))
	}
	return list
}

// codes are the numbers that Z.ai puts in its errors.
func codes() map[string]providers.Kind {
	return map[string]providers.Kind{
		"1000": providers.KindLogin, "1001": providers.KindLogin, "1002": providers.KindLogin, "1003": providers.KindLogin, "1004": providers.KindLogin,
		"1110": providers.KindSuspended, "1111": providers.KindSuspended, "1112": providers.KindSuspended,
		"1113": providers.KindQuota, "1211": providers.KindModel, "1220": providers.KindPolicy, "1221": providers.KindModel, "1222": providers.KindModel,
		"1261": providers.KindTooLong, "1301": providers.KindInvalid,
		"1302": providers.KindRateLimit, "1303": providers.KindRateLimit, "1304": providers.KindQuota, "1305": providers.KindOverloaded,
		"1308": providers.KindQuota, "1309": providers.KindQuota, "1310": providers.KindQuota, "1311": providers.KindModel,
		"1312": providers.KindOverloaded, "1313": providers.KindPolicy,
	}
}

// reasoningModels think when asked to: GLM-4.5 and later.
var reasoningModels = regexp.MustCompile(`^glm-(?:4\.[5-9]|4\.\d\d|[5-9]|\d\d)`)

func reasons(id string) bool { return reasoningModels.MatchString(id) }

func target(m providers.Model) dialect.Target {
	return dialect.Target{Model: m.ID, MaxOutput: m.MaxOutput, MaxTokensOld: true, PlainThinking: reasons(m.ID)}
}

// edit applies the edit that the package documentation names.
func edit(c *providers.Call) ([]byte, error) {
	if c.Endpoint != dialect.EndpointChat || !reasons(c.Model.ID) || !gjson.ValidBytes(c.Body) || !gjson.ParseBytes(c.Body).IsObject() {
		return c.Body, nil
	}
	if t := gjson.GetBytes(c.Body, "thinking"); t.Exists() && t.Type != gjson.Null {
		return c.Body, nil
	}
	thinking := `{"type":"enabled","clear_thinking":false}`
	if gjson.GetBytes(c.Body, "reasoning_effort").Str == "none" {
		thinking = `{"type":"disabled"}`
	}
	body, err := sjson.SetRawBytes(c.Body, "thinking", []byte(thinking))
	if err != nil {
		return c.Body, nil
	}
	return body, nil
}
