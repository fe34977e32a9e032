package copilot

import (
	"bytes"
	"slices"
	"strconv"

	"github.com/tidwall/gjson"

	"detour/providers"
)

// editChat applies the edits of chat/completions.
func editChat(body []byte, m providers.Model) []byte {
	details := bytes.Contains(body, []byte(`"detail"`))
	fill := m.MaxOutput > 0 && !refusesMaxTokens(m.ID)
	if !fill && !details {
		return body
	}
	p, ok := newPatch(body)
	if !ok {
		return body
	}
	add := ""
	if fill = fill && !p.limited(); fill { // several models refuse a request without a limit
		add = `"max_tokens":` + strconv.Itoa(m.MaxOutput)
	}
	p.object(p.doc, add, func(name string, v gjson.Result) bool {
		switch {
		case fill && (name == "max_tokens" || name == "max_completion_tokens"):
			return true // null
		case details && name == "messages":
			p.array(v, func(message gjson.Result) bool {
				p.imageDetails(message)
				return false
			})
		}
		return false
	})
	return p.apply(body)
}

// limited reports whether the request names a limit of its own.
func (p *patch) limited() bool {
	return slices.ContainsFunc(p.top, func(m member) bool {
		return (m.key.Str == "max_tokens" || m.key.Str == "max_completion_tokens") && m.value.Type != gjson.Null
	})
}

// refusesMaxTokens tells OpenAI's reasoning models, which want max_completion_tokens instead and need neither.
func refusesMaxTokens(id string) bool {
	number := func(s string) int {
		n := 0
		for n < len(s) && '0' <= s[n] && s[n] <= '9' {
			n++
		}
		v, _ := strconv.Atoi(s[:n])
		return v
	}
	switch {
	case len(id) > 4 && id[:4] == "gpt-":
		return number(id[4:]) >= 5
	case len(id) > 1 && id[0] == 'o':
		return number(id[1:]) > 0
	}
	return false
}

// imageDetails removes every image_url.detail that the upstream does not know: it takes low and high only.
func (p *patch) imageDetails(message gjson.Result) {
	message.ForEach(func(key, content gjson.Result) bool {
		if key.String() != "content" || !content.IsArray() {
			return true
		}
		p.array(content, func(part gjson.Result) bool {
			part.ForEach(func(key, image gjson.Result) bool {
				if key.String() == "image_url" && image.IsObject() {
					p.object(image, "", func(name string, v gjson.Result) bool {
						return name == "detail" && v.String() != "low" && v.String() != "high"
					})
				}
				return true
			})
			return false
		})
		return true
	})
}

// editEmbeddings wraps a string input in an array: the upstream takes nothing else.
func editEmbeddings(body []byte) []byte {
	p, ok := newPatch(body)
	if !ok {
		return body
	}
	p.object(p.doc, "", func(name string, v gjson.Result) bool {
		if name == "input" && v.Type == gjson.String {
			p.replace(v, "["+v.Raw+"]")
		}
		return false
	})
	return p.apply(body)
}
