package keyed

import (
	"bytes"
	"net/http"
	"regexp"
	"strings"

	"github.com/tidwall/gjson"
	"github.com/tidwall/sjson"

	"detour/providers"
)

// What refusals of a part of the request are recognised by.
var (
	unsupported = regexp.MustCompile("(?i)(?:unsupported (?:parameter|value)|unrecognized request argument supplied|unknown (?:parameter|name|field)):? ['\"`]?([a-z_]\\w*(?:\\.\\w+)*)['\"`]?")
	extraInput  = regexp.MustCompile(`(?:^|[\s:])([a-z_]\w*(?:\.\w+)*): Extra inputs are not permitted`)
)

// Mend implements providers.Mender. It leaves out the member that the refusal names as unsupported, unknown or one
// input too many; a limit that is refused under its old name goes on under its new one. Without what makes a request
// what it is (model, messages, input, stream) it would be another, so that those stay.
func (p *Provider) Mend(c *providers.Call, e *providers.Error) ([]byte, bool) {
	if e.Kind != providers.KindInvalid || e.Failure.Status != http.StatusBadRequest && e.Failure.Status != http.StatusUnprocessableEntity {
		return nil, false
	}
	found := unsupported.FindStringSubmatch(e.Failure.Message)
	if found == nil {
		found = extraInput.FindStringSubmatch(e.Failure.Message)
	}
	name := ""
	switch {
	case found != nil:
		name = found[1]
	case e.Failure.Code == "unsupported_parameter", e.Failure.Code == "unsupported_value", e.Failure.Code == "unknown_parameter":
		name = e.Failure.Param
	}
	top, _, _ := strings.Cut(name, ".")
	switch top {
	case "", "model", "messages", "input", "stream":
		return nil, false
	}
	if !gjson.ValidBytes(c.Body) {
		return nil, false
	}
	old := gjson.GetBytes(c.Body, name)
	body, err := sjson.DeleteBytes(c.Body, name)
	if err != nil || !old.Exists() || bytes.Equal(body, c.Body) {
		return nil, false
	}
	if name == "max_tokens" && strings.Contains(e.Failure.Message, "max_completion_tokens") && old.Type == gjson.Number {
		if body, err = sjson.SetRawBytes(body, "max_completion_tokens", []byte(old.Raw)); err != nil {
			return nil, false
		}
	}
	return body, true
}
