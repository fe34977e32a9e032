package copilot_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"detour/internal/dialect"
	"detour/providers"
)

func edited(t *testing.T, c providers.Call) (string, error) {
	t.Helper()
	w := newWorld(t, worldConfig{})
	r, err := w.NewRequest(t.Context(), w.account, &c)
	if err != nil {
		return "", err
	}
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b), nil
}

func TestEdits(t *testing.T) {
	t.Parallel()
	const (
		chat, responses, messages, count, embeddings = dialect.EndpointChat, dialect.EndpointResponses, dialect.EndpointMessages, dialect.EndpointCountTokens, dialect.EndpointEmbeddings
		keep                                         = "" // the body stays as it is
	)
	sonnet := providers.Model{ID: "claude-sonnet-4.6", MaxOutput: 32000}
	beta := "context-management-2025-06-27"
	for name, tc := range map[string]struct {
		endpoint dialect.Endpoint
		model    providers.Model
		beta     string
		in, want string
	}{
		"chat: nothing to do":                 {chat, providers.Model{}, "", ` { "model" : "m" , "messages":[ ], "x":1.0e+2, "é":"\u00e9", "d":1, "d":2 } `, keep},
		"chat: limit filled in":               {chat, sonnet, "", `{"model":"m","x":1}`, `{"max_tokens":32000,"model":"m","x":1}`},
		"chat: limit filled into nothing":     {chat, sonnet, "", ` { } `, ` {"max_tokens":32000 } `},
		"chat: limit is null":                 {chat, sonnet, "", `{"max_tokens":null,"model":"m"}`, `{"max_tokens":32000,"model":"m"}`},
		"chat: only a null limit":             {chat, sonnet, "", `{"max_tokens":null}`, `{"max_tokens":32000}`},
		"chat: limit there":                   {chat, sonnet, "", `{"max_tokens":5}`, keep},
		"chat: newer limit there":             {chat, sonnet, "", `{"a":1,"max_completion_tokens":5}`, keep},
		"chat: model's limit unknown":         {chat, providers.Model{ID: "x"}, "", `{"a":1}`, keep},
		"chat: model that refuses the field":  {chat, providers.Model{ID: "gpt-5.4", MaxOutput: 5}, "", `{"a":1}`, keep},
		"chat: o-series":                      {chat, providers.Model{ID: "o3-mini", MaxOutput: 5}, "", `{"a":1}`, keep},
		"chat: gpt-4o takes it":               {chat, providers.Model{ID: "gpt-4o", MaxOutput: 5}, "", `{"a":1}`, `{"max_tokens":5,"a":1}`},
		"chat: detail auto":                   {chat, providers.Model{}, "", `{"messages":[{"content":[{"type":"image_url","image_url":{"url":"data:x","detail":"auto"}}]}]}`, `{"messages":[{"content":[{"type":"image_url","image_url":{"url":"data:x"}}]}]}`},
		"chat: detail low":                    {chat, providers.Model{}, "", `{"messages":[{"content":[{"type":"image_url","image_url":{"detail":"low","url":"data:x"}}]}]}`, keep},
		"chat: detail elsewhere":              {chat, providers.Model{}, "", `{"detail":"auto","messages":[{"content":"detail","detail":"auto"}]}`, keep},
		"chat: no JSON":                       {chat, sonnet, "", `{"max_tokens"`, keep},
		"chat: no object":                     {chat, sonnet, "", `[1]`, keep},
		"responses: store is true":            {responses, providers.Model{}, "", `{"model":"m", "store" : true,"x":[1 ]}`, `{"model":"m", "store" : false,"x":[1 ]}`},
		"responses: a probe's limit":          {responses, providers.Model{}, "", `{"store":false,"max_output_tokens":1}`, `{"store":false,"max_output_tokens":16}`},
		"responses: an honest limit":          {responses, providers.Model{}, "", `{"store":false,"max_output_tokens":17}`, keep},
		"responses: store is null":            {responses, providers.Model{}, "", `{"store":null}`, `{"store":false}`},
		"responses: store is missing":         {responses, providers.Model{}, "", `{"model":"m"}`, `{"store":false,"model":"m"}`},
		"responses: store is false":           {responses, providers.Model{}, "", `{"model":"m","store":false,"n":null}`, keep},
		"responses: tier":                     {responses, providers.Model{}, "", `{"service_tier":"auto","store":false}`, `{"store":false}`},
		"responses: nothing but a tier":       {responses, providers.Model{}, "", `{"service_tier":"auto"}`, `{"store":false}`},
		"responses: client metadata":          {responses, providers.Model{}, "", `{"a":1 , "client_metadata":{"x":"}"} , "store":false}`, `{"a":1 , "store":false}`},
		"responses: reasoning":                {responses, providers.Model{}, "", `{"store":false,"reasoning":{"effort":"low"}}`, `{"include":["reasoning.encrypted_content"],"store":false,"reasoning":{"effort":"low"}}`},
		"responses: reasoning, and no store":  {responses, providers.Model{}, "", `{"reasoning":{}}`, `{"store":false,"include":["reasoning.encrypted_content"],"reasoning":{}}`},
		"responses: reasoning, other include": {responses, providers.Model{}, "", `{"store":false,"include":["x" ],"reasoning":{}}`, `{"store":false,"include":["x" ,"reasoning.encrypted_content"],"reasoning":{}}`},
		"responses: reasoning, empty include": {responses, providers.Model{}, "", `{"store":false,"include":[ ],"reasoning":{}}`, `{"store":false,"include":[ "reasoning.encrypted_content"],"reasoning":{}}`},
		"responses: reasoning, null include":  {responses, providers.Model{}, "", `{"store":false,"include":null,"reasoning":{}}`, `{"store":false,"include":["reasoning.encrypted_content"],"reasoning":{}}`},
		"responses: reasoning, included":      {responses, providers.Model{}, "", `{"store":false,"include":["reasoning.encrypted_content"],"reasoning":{}}`, keep},
		"responses: no reasoning":             {responses, providers.Model{}, "", `{"store":false,"reasoning":null}`, keep},
		"responses: image tool alone":         {responses, providers.Model{}, "", `{"store":false,"tools":[{"type":"image_generation"}]}`, `{"store":false,"tools":[]}`},
		"responses: image tools among others": {responses, providers.Model{}, "", `{"store":false,"tools":[ {"type":"image_generation"}, {"type":"function","name":"f"} , {"type":"image_generation","x":1},{"type":"web_search"}, {"type":"image_generation"} ]}`, `{"store":false,"tools":[ {"type":"function","name":"f"},{"type":"web_search"} ]}`},
		"responses: namespace":                {responses, providers.Model{}, "", `{"store":false,"tools":[{"type":"namespace","name":"git\"hub","description":"","tools":[]}]}`, `{"store":false,"tools":[{"description":"Tools in the git\"hub namespace.","type":"namespace","name":"git\"hub","tools":[]}]}`},
		"responses: described namespace":      {responses, providers.Model{}, "", `{"store":false,"tools":[{"type":"namespace","name":"a","description":"b"}]}`, keep},
		"responses: tools that ride along": {responses, providers.Model{}, "", `{"store":false,"input":[ {"type":"additional_tools","id":"at_1","tools":[{"type":"image_generation"}, {"type":"namespace","name":"a","description":"","tools":[{"type":"function"}]},{"type":"web_search"} ]} ,{"role":"user","content":"x"}]}`,
			`{"store":false,"input":[ {"type":"additional_tools","id":"at_1","tools":[{"description":"Tools in the a namespace.","type":"namespace","name":"a","tools":[{"type":"function"}]},{"type":"web_search"} ]} ,{"role":"user","content":"x"}]}`},
		"responses: Codex's own metadata": {responses, providers.Model{}, "", `{"store":false,"input":[{"role":"user","content":"x", "internal_chat_message_metadata_passthrough":{"turn_id":"1"}},{"internal_chat_message_metadata_passthrough":{},"type":"reasoning","summary":[]},"odd",{"type":"additional_tools","tools":[{"type":"image_generation"}],"internal_chat_message_metadata_passthrough":null}]}`,
			`{"store":false,"input":[{"role":"user","content":"x"},{"type":"reasoning","summary":[]},"odd",{"type":"additional_tools","tools":[]}]}`},
		"responses: metadata in words":        {responses, providers.Model{}, "", `{"store":false,"input":[{"role":"user","content":"\"internal_chat_message_metadata_passthrough\""}]}`, keep},
		"responses: null previous":            {responses, providers.Model{}, "", `{"store":false,"previous_response_id":null}`, keep},
		"messages: nothing to do":             {messages, providers.Model{}, "", `{"model":"m","max_tokens":1,"metadata":{"user_id":"x"},"messages":[{"role":"user","content":"service_tier"}],"future":{"speed":1} }`, keep},
		"messages: tier and speed":            {messages, providers.Model{}, "", `{"speed":"fast","model":"m","service_tier":"auto"}`, `{"model":"m"}`},
		"messages: all goes":                  {messages, providers.Model{}, "", `{ "speed":"fast", "service_tier":"auto" }`, `{  }`},
		"messages: context management":        {messages, providers.Model{}, "", `{"a":1,"context_management":{"edits":[]},"b":2}`, keep},
		"messages: context management wanted": {messages, providers.Model{}, beta, `{"a":1,"context_management":{"edits":[]}}`, keep},
		"messages: scope in system":           {messages, providers.Model{}, "", `{"system":[{"type":"text","text":"a","cache_control":{"type":"ephemeral","scope":"global","ttl":"1h"}}]}`, `{"system":[{"type":"text","text":"a","cache_control":{"type":"ephemeral","ttl":"1h"}}]}`},
		"messages: scope in tools":            {messages, providers.Model{}, "", `{"tools":[{"name":"a","cache_control":{"scope":"global","type":"ephemeral"}}]}`, `{"tools":[{"name":"a","cache_control":{"type":"ephemeral"}}]}`},
		"messages: scope in messages":         {messages, providers.Model{}, "", `{"messages":[{"content":[{"type":"text","text":"a","cache_control":{"type":"ephemeral","scope":"x"}}]}]}`, `{"messages":[{"content":[{"type":"text","text":"a","cache_control":{"type":"ephemeral"}}]}]}`},
		"messages: scope in a tool result":    {messages, providers.Model{}, "", `{"messages":[{"content":[{"type":"tool_result","content":[{"type":"text","text":"a","cache_control":{"scope":"x","type":"ephemeral"}}]}]}]}`, `{"messages":[{"content":[{"type":"tool_result","content":[{"type":"text","text":"a","cache_control":{"type":"ephemeral"}}]}]}]}`},
		"messages: scope of a tool's input":   {messages, providers.Model{}, "", `{"messages":[{"content":[{"type":"tool_use","input":{"scope":"x","cache_control":{"scope":1}}}]}]}`, keep},
		"messages: tool extras":               {messages, providers.Model{}, "", `{"tools":[{"name":"a","eager_input_streaming":true,"input_schema":{"input_examples":1}},{"input_examples":[{}],"name":"b"}]}`, `{"tools":[{"name":"a","input_schema":{"input_examples":1}},{"name":"b"}]}`},
		"messages: blank blocks":              {messages, providers.Model{}, "", `{"messages":[{"content":[{"type":"text","text":""},{"type":"text","text":"a"},{"text" : " \n\t","type":"text"}]}]}`, `{"messages":[{"content":[{"type":"text","text":"a"}]}]}`},
		"messages: blank in system":           {messages, providers.Model{}, "", `{"system":[{"type":"text","text":" "},{"type":"text","text":"a"}]}`, `{"system":[{"type":"text","text":"a"}]}`},
		"messages: blank in a tool result":    {messages, providers.Model{}, "", `{"messages":[{"content":[{"type":"tool_result","content":[{"type":"text","text":""},{"type":"image"}]}]}]}`, `{"messages":[{"content":[{"type":"tool_result","content":[{"type":"image"}]}]}]}`},
		"messages: blank and nothing else":    {messages, providers.Model{}, "", `{"messages":[{"content":[{"type":"text","text":""}]}]}`, keep},
		"messages: text of no block":          {messages, providers.Model{}, "", `{"messages":[{"content":[{"type":"tool_use","input":{"text":""}},{"type":"document","text":""}]}]}`, keep},
		"messages: quoted in a string":        {messages, providers.Model{}, "", `{"messages":[{"content":"{\"text\":\"\",\"scope\":1}"}]}`, keep},
		"messages: marker to last block":      {messages, providers.Model{}, "", `{"cache_control":{"type":"ephemeral","scope":"x"},"messages":[{"content":[{"type":"text","text":"a"}]},{"content":[{"type":"text","text":"b"},{"type":"thinking","thinking":"c"}]}]}`, `{"messages":[{"content":[{"type":"text","text":"a"}]},{"content":[{"cache_control":{"type":"ephemeral"},"type":"text","text":"b"},{"type":"thinking","thinking":"c"}]}]}`},
		"messages: marker to a string":        {messages, providers.Model{}, "", `{"messages":[{"role":"user","content":"h\"i"}],"cache_control":{"type":"ephemeral"}}`, `{"messages":[{"role":"user","content":[{"type":"text","text":"h\"i","cache_control":{"type":"ephemeral"}}]}]}`},
		"messages: marker over a null":        {messages, providers.Model{}, "", `{"messages":[{"content":[{"type":"text","text":"b","cache_control":null}]}],"cache_control":{"type":"ephemeral"}}`, `{"messages":[{"content":[{"cache_control":{"type":"ephemeral"},"type":"text","text":"b"}]}]}`},
		"messages: marker to system":          {messages, providers.Model{}, "", `{"system":"s","cache_control":{"type":"ephemeral"},"messages":[]}`, `{"system":[{"type":"text","text":"s","cache_control":{"type":"ephemeral"}}],"messages":[]}`},
		"messages: marker to a tool":          {messages, providers.Model{}, "", `{"tools":[{"name":"a"},{"name":"b","defer_loading":true}],"cache_control":{"type":"ephemeral"}}`, `{"tools":[{"cache_control":{"type":"ephemeral"},"name":"a"},{"name":"b"}]}`},
		"messages: marker there already":      {messages, providers.Model{}, "", `{"cache_control":{"type":"ephemeral"},"messages":[{"content":[{"type":"text","text":"b","cache_control":{"type":"ephemeral","ttl":"1h"}}]}]}`, `{"messages":[{"content":[{"type":"text","text":"b","cache_control":{"type":"ephemeral","ttl":"1h"}}]}]}`},
		"messages: four markers there":        {messages, providers.Model{}, "", `{"cache_control":{"type":"ephemeral"},"messages":[{"content":[{"type":"text","text":"a","cache_control":{}},{"type":"text","text":"a","cache_control":{}},{"type":"text","text":"a","cache_control":{}},{"type":"text","text":"a","cache_control":{}},{"type":"text","text":"b"}]}]}`, `{"messages":[{"content":[{"type":"text","text":"a","cache_control":{}},{"type":"text","text":"a","cache_control":{}},{"type":"text","text":"a","cache_control":{}},{"type":"text","text":"a","cache_control":{}},{"type":"text","text":"b"}]}]}`},
		"messages: null marker":               {messages, providers.Model{}, "", `{"cache_control":null,"messages":[{"content":"a"}]}`, `{"messages":[{"content":"a"}]}`},
		"messages: marker and nothing":        {messages, providers.Model{}, "", `{"cache_control":{"type":"ephemeral"}}`, `{}`},
		"messages: no JSON":                   {messages, providers.Model{}, "", `{"speed":`, keep},
		"count: the same":                     {count, providers.Model{}, "", `{"speed":"fast","model":"m"}`, `{"model":"m"}`},
		"embeddings: string":                  {embeddings, providers.Model{}, "", `{"input": "a\"b", "model":"m"}`, `{"input": ["a\"b"], "model":"m"}`},
		"embeddings: array":                   {embeddings, providers.Model{}, "", `{"input":["a",  "b"]}`, keep},
		"embeddings: tokens":                  {embeddings, providers.Model{}, "", `{"input":[1,2]}`, keep},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			call := providers.Call{Endpoint: tc.endpoint, Model: tc.model, Body: []byte(tc.in)}
			if tc.beta != "" {
				call.Header = http.Header{"Anthropic-Beta": {tc.beta}}
			}
			want := tc.want
			if want == keep {
				want = tc.in
			}
			got, err := edited(t, call)
			if err != nil || got != want {
				t.Errorf("%v\n got %s\nwant %s", err, got, want)
			}
			if string(call.Body) != tc.in {
				t.Error("the caller's body was changed")
			}
			if again, err := edited(t, providers.Call{Endpoint: call.Endpoint, Model: call.Model, Header: call.Header, Body: []byte(got)}); err != nil || again != got {
				t.Errorf("a second time: %v\n got %s\nwant %s", err, again, got)
			}
		})
	}
}

func TestVerbatimBodyIsNotEdited(t *testing.T) {
	t.Parallel()
	for _, e := range []dialect.Endpoint{dialect.EndpointChat, dialect.EndpointResponses, dialect.EndpointMessages, dialect.EndpointEmbeddings} {
		const body = `{"store":true,"speed":1,"input":"x","previous_response_id":"r","service_tier":"a"}`
		got, err := edited(t, providers.Call{Endpoint: e, Model: providers.Model{ID: "m", MaxOutput: 5}, Body: []byte(body), Verbatim: true})
		if err != nil || got != body {
			t.Errorf("%s: %v, sent %s", e, err, got)
		}
	}
}

func TestPreviousResponseIsRefused(t *testing.T) {
	t.Parallel()
	_, err := edited(t, providers.Call{Endpoint: dialect.EndpointResponses, Body: []byte(`{"previous_response_id":"resp_1"}`)})
	e := asError(t, err)
	if e.Kind != providers.KindInvalid || e.Failure.Status != 400 || e.Failure.Param != "previous_response_id" || !strings.Contains(e.Failure.Message, "whole conversation") {
		t.Errorf("%+v", e)
	}
}
