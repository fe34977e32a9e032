package copilot_test

import (
	"io"
	"sync/atomic"
	"testing"
	"time"

	"detour/internal/dialect"
	"detour/providers"
)

func TestWhatAModelRefusedIsLeftOutNextTime(t *testing.T) {
	t.Parallel()
	var late atomic.Int64
	w := newWorld(t, worldConfig{now: func() time.Time { return time.Now().Add(time.Duration(late.Load())) }})
	model := providers.Model{ID: "gpt-5.4", Endpoints: []dialect.Endpoint{dialect.EndpointResponses}}
	var lessons []string // of the model, which the caller keeps
	send := func(model providers.Model, body string) (string, error) {
		call := &providers.Call{Endpoint: dialect.EndpointResponses, Model: model, Body: []byte(body)}
		if model.ID == "gpt-5.4" {
			call.Lessons = lessons
		}
		r, err := w.NewRequest(t.Context(), w.account, call)
		if err != nil {
			return "", err
		}
		b, err := io.ReadAll(r.Body)
		return string(b), err
	}
	refuse := func(message string) {
		call := &providers.Call{Endpoint: dialect.EndpointResponses, Model: model, Lessons: lessons, Body: []byte(`{"tools":[{"type":"custom"}],"input":[{"type":"additional_tools","tools":[{"type":"web_search"}]}]}`)}
		refusal := &providers.Error{Kind: providers.KindInvalid, Failure: dialect.Failure{Status: 400, Message: message}}
		lessons = append(lessons, w.Learn(call, refusal)...)
		w.Mend(call, refusal)
	}
	const tools, forced = `{"store":false,"tools":[{"type":"web_search"},{"type":"function","name":"f"}]}`, `{"store":false,"tool_choice":{"type":"web_search"},"tools":[{"type":"web_search"}]}`
	check := func(when string, search, custom bool) {
		t.Helper()
		want := tools
		if !search {
			want = `{"store":false,"tools":[{"type":"function","name":"f"}]}`
		}
		if got, err := send(model, tools); err != nil || got != want {
			t.Errorf("%s: sent %s, %v", when, got, err)
		}
		if _, err := send(model, forced); (err == nil) != search || err != nil && asError(t, err).Failure.Status != 400 {
			t.Errorf("%s, a search that is a must: %v", when, err)
		}
		if got := w.Target(model).CustomTools; got != custom {
			t.Errorf("%s: CustomTools %v", when, got)
		}
	}
	check("before", true, true)
	refuse("The use of the web search tool is not supported.")
	check("after one refusal", false, true)
	refuse("Custom tools are not supported with this model.")
	check("after two", false, false)
	if got, err := send(providers.Model{ID: "other"}, tools); err != nil || got != tools {
		t.Errorf("another model is taken to refuse it too: %s, %v", got, err)
	}
	late.Store(int64(2 * time.Hour))
	if !w.Target(model).CustomTools {
		t.Error("it is held against the model for ever")
	}
}
