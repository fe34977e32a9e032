package gemini_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"detour/internal/dialect"
	"detour/internal/dialect/gemini"
	"detour/internal/llm"
)

func decode(t *testing.T, body string) *llm.Request {
	t.Helper()
	r, err := gemini.Codec{Model: "m"}.DecodeRequest([]byte(body))
	if err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	return r
}

func TestMistakesNameTheirPath(t *testing.T) {
	t.Parallel()
	contents := `"contents":[{"parts":[{"text":"hi"}]}]`
	for body, want := range map[string]string{
		`{"contents":`:                "",
		`[]`:                          "",
		`{}`:                          "contents",
		`{"contents":[]}`:             "contents",
		`{"contents":[{"parts":[]}]}`: "contents",
		`{"contents":7}`:              "contents",
		`{"contents":["hi"]}`:         "contents[0]",
		`{"contents":[{"role":"bot","parts":[{"text":"x"}]}]}`:                                                           "contents[0].role",
		`{"contents":[{"role":7}]}`:                                                                                      "contents[0].role",
		`{"contents":[{"parts":"hi"}]}`:                                                                                  "contents[0].parts",
		`{"contents":[{"parts":[7]}]}`:                                                                                   "contents[0].parts[0]",
		`{"contents":[{"parts":[{"text":7}]}]}`:                                                                          "contents[0].parts[0].text",
		`{"contents":[{"parts":[{"thought":1,"text":"x"}]}]}`:                                                            "contents[0].parts[0].thought",
		`{"contents":[{"parts":[{"functionCall":{"name":"f"}}]}]}`:                                                       "contents[0].parts[0].functionCall",
		`{"contents":[{"role":"model","parts":[{"functionCall":{}}]}]}`:                                                  "contents[0].parts[0].functionCall.name",
		`{"contents":[{"role":"model","parts":[{"functionCall":7}]}]}`:                                                   "contents[0].parts[0].functionCall",
		`{"contents":[{"role":"model","parts":[{"functionCall":{"name":"f","args":"x"}}]}]}`:                             "contents[0].parts[0].functionCall.args",
		`{"contents":[{"role":"model","parts":[{"functionResponse":{"name":"f"}}]}]}`:                                    "contents[0].parts[0].functionResponse",
		`{"contents":[{"parts":[{"functionResponse":{}}]}]}`:                                                             "contents[0].parts[0].functionResponse.name",
		`{"contents":[{"parts":[{"inlineData":{"mimeType":"audio/wav","data":"aGk="}}]}]}`:                               "contents[0].parts[0].inlineData.mimeType",
		`{"contents":[{"parts":[{"inlineData":{"data":"aGk="}}]}]}`:                                                      "contents[0].parts[0].inlineData.mimeType",
		`{"contents":[{"parts":[{"inlineData":{"mimeType":"image/png"}}]}]}`:                                             "contents[0].parts[0].inlineData.data",
		`{"contents":[{"parts":[{"inlineData":{"mimeType":"text/plain","data":"%"}}]}]}`:                                 "contents[0].parts[0].inlineData.data",
		`{"contents":[{"parts":[{"fileData":{"mimeType":"image/png","fileUri":"gs://a/b"}}]}]}`:                          "contents[0].parts[0].fileData.fileUri",
		`{"contents":[{"parts":[{"fileData":{"fileUri":"https://generativelanguage.googleapis.com/v1beta/files/x"}}]}]}`: "contents[0].parts[0].fileData.fileUri",
		`{"contents":[{"parts":[{"fileData":{"mimeType":"video/mp4","fileUri":"https://example.com/v"}}]}]}`:             "contents[0].parts[0].fileData.mimeType",
		`{` + contents + `,"systemInstruction":7}`:                                                                       "systemInstruction",
		`{` + contents + `,"systemInstruction":{"parts":[{"inlineData":{}}]}}`:                                           "systemInstruction.parts[0]",
		`{` + contents + `,"tools":[7]}`:                                                                                 "tools[0]",
		`{` + contents + `,"tools":[{"functionDeclarations":[{}]}]}`:                                                     "tools[0].functionDeclarations[0].name",
		`{` + contents + `,"tools":[{"functionDeclarations":[{"name":"f","parameters":[]}]}]}`:                           "tools[0].functionDeclarations[0].parameters",
		`{` + contents + `,"toolConfig":{"functionCallingConfig":{"mode":"SOME"}}}`:                                      "toolConfig.functionCallingConfig.mode",
		`{` + contents + `,"toolConfig":{"functionCallingConfig":{"mode":"ANY","allowedFunctionNames":["g"]}}}`:          "toolConfig.functionCallingConfig.allowedFunctionNames[0]",
		`{` + contents + `,"toolConfig":{"functionCallingConfig":{"mode":"ANY","allowedFunctionNames":"g"}}}`:            "toolConfig.functionCallingConfig.allowedFunctionNames",
		`{` + contents + `,"generationConfig":[]}`:                                                                       "generationConfig",
		`{` + contents + `,"generationConfig":{"candidateCount":2}}`:                                                     "generationConfig.candidateCount",
		`{` + contents + `,"generation_config":{"candidate_count":"2"}}`:                                                 "generationConfig.candidateCount",
		`{` + contents + `,"generationConfig":{"temperature":"hot"}}`:                                                    "generationConfig.temperature",
		`{` + contents + `,"generationConfig":{"topK":1.5}}`:                                                             "generationConfig.topK",
		`{` + contents + `,"generationConfig":{"maxOutputTokens":-1}}`:                                                   "generationConfig.maxOutputTokens",
		`{` + contents + `,"generationConfig":{"maxOutputTokens":1e99}}`:                                                 "generationConfig.maxOutputTokens",
		`{` + contents + `,"generationConfig":{"stopSequences":[1]}}`:                                                    "generationConfig.stopSequences[0]",
		`{` + contents + `,"generationConfig":{"responseMimeType":"text/x.enum"}}`:                                       "generationConfig.responseMimeType",
		`{` + contents + `,"generationConfig":{"responseSchema":"x"}}`:                                                   "generationConfig.responseSchema",
		`{` + contents + `,"generationConfig":{"responseModalities":["AUDIO"]}}`:                                         "generationConfig.responseModalities",
		`{` + contents + `,"generationConfig":{"responseFormat":[{"image":{}}]}}`:                                        "generationConfig.responseFormat[0].image",
		`{` + contents + `,"generationConfig":{"thinkingConfig":{"thinkingLevel":"HUGE"}}}`:                              "generationConfig.thinkingConfig.thinkingLevel",
		`{` + contents + `,"generationConfig":{"thinkingConfig":{"includeThoughts":"yes"}}}`:                             "generationConfig.thinkingConfig.includeThoughts",
		`{"contents":` + strings.Repeat("[", 600) + strings.Repeat("]", 600) + `}`:                                       "",
	} {
		_, err := gemini.Codec{Model: "m"}.DecodeRequest([]byte(body))
		f, ok := errors.AsType[*dialect.Failure](err)
		if !ok || f.Status != 400 || f.Type != "invalid_request_error" || f.Param != want || f.Message == "" {
			t.Errorf("%.120s: got %#v, want path %q", body, err, want)
		}
	}
}

func TestModelComesFromThePathElseFromTheBody(t *testing.T) {
	t.Parallel()
	body := `{"model":"models/other","contents":[{"parts":[{"text":"hi"}]}],"stream":true}`
	for model, want := range map[string]string{"": "other", "gemini-x": "gemini-x", "models/gemini-x": "gemini-x"} {
		r, err := gemini.Codec{Model: model}.DecodeRequest([]byte(body))
		if err != nil || r.Model != want || r.Stream {
			t.Errorf("%q: got %+v, %v", model, r, err)
		}
	}
	for _, model := range []string{``, `"model":null,`, `"model":7,`, `"model":"models/",`} {
		body := `{` + model + `"contents":[{"parts":[{"text":"hi"}]}]}`
		_, err := gemini.Codec{}.DecodeRequest([]byte(body))
		if f, ok := errors.AsType[*dialect.Failure](err); !ok || f.Param != "model" {
			t.Errorf("%s: got %v", body, err)
		}
	}
}

func TestThinkingConfig(t *testing.T) {
	t.Parallel()
	for config, want := range map[string]llm.Reasoning{
		``:                         {Hidden: true},
		`"includeThoughts":true`:   {},
		`"include_thoughts":false`: {Hidden: true},
		`"thinkingBudget":0`:       {Hidden: true, Disabled: true},
		`"thinkingBudget":-1`:      {Hidden: true, Adaptive: true},
		`"thinkingBudget":"8192"`:  {Hidden: true, Budget: 8192},
		`"thinkingLevel":"MINIMAL","includeThoughts":true`: {Effort: llm.EffortMinimal},
		`"thinkingLevel":"low","includeThoughts":true`:     {Effort: llm.EffortLow},
		`"thinkingLevel":"MEDIUM","thinkingBudget":0`:      {Effort: llm.EffortMedium, Hidden: true},
		`"thinkingLevel":"THINKING_LEVEL_UNSPECIFIED"`:     {Hidden: true},
	} {
		r := decode(t, `{"contents":[{"parts":[{"text":"hi"}]}],"generationConfig":{"thinkingConfig":{`+config+`}}}`)
		if r.Reasoning != want {
			t.Errorf("%s: got %+v, want %+v", config, r.Reasoning, want)
		}
	}
}

func TestToolChoice(t *testing.T) {
	t.Parallel()
	for config, want := range map[string]llm.Choice{
		``:                          {},
		`"mode":"AUTO"`:             {Mode: llm.ChoiceAuto},
		`"mode":"none"`:             {Mode: llm.ChoiceNone},
		`"mode":"ANY"`:              {Mode: llm.ChoiceRequired},
		`"mode":"VALIDATED"`:        {Mode: llm.ChoiceAuto},
		`"mode":"MODE_UNSPECIFIED"`: {},
		`"mode":"ANY","allowedFunctionNames":["f"]`:       {Mode: llm.ChoiceOne, Names: []string{"f"}},
		`"mode":"ANY","allowedFunctionNames":["f","g"]`:   {Mode: llm.ChoiceSubset, Names: []string{"f", "g"}, Must: true},
		`"mode":"VALIDATED","allowedFunctionNames":["f"]`: {Mode: llm.ChoiceSubset, Names: []string{"f"}},
	} {
		r := decode(t, `{"contents":[{"parts":[{"text":"hi"}]}],"tools":[{"functionDeclarations":[{"name":"f"},{"name":"g"}]}],"toolConfig":{"functionCallingConfig":{`+config+`}}}`)
		if !reflect.DeepEqual(r.Choice, want) {
			t.Errorf("%s: got %+v, want %+v", config, r.Choice, want)
		}
	}
}

func TestStructuredOutput(t *testing.T) {
	t.Parallel()
	schema := json.RawMessage(`{"type":"object"}`)
	for config, want := range map[string]llm.Output{
		``:                                      {},
		`"responseMimeType":"text/plain"`:       {Format: "text"},
		`"responseMimeType":"application/json"`: {Format: "json_object"},
		`"responseMimeType":"application/json","responseSchema":{"type":"OBJECT"}`:               {Format: "json_schema", Schema: schema},
		`"responseJsonSchema":{"type":"object"},"responseMimeType":"application/json"`:           {Format: "json_schema", Schema: schema},
		`"_responseJsonSchema":{"type":"object"}`:                                                {Format: "json_schema", Schema: schema},
		`"response_json_schema":{"type":"object"},"responseModalities":["TEXT"]`:                 {Format: "json_schema", Schema: schema},
		`"responseFormat":[{"text":{"mimeType":"APPLICATION_JSON","schema":{"type":"object"}}}]`: {Format: "json_schema", Schema: schema},
	} {
		r := decode(t, `{"contents":[{"parts":[{"text":"hi"}]}],"generationConfig":{`+config+`}}`)
		if !reflect.DeepEqual(r.Output, want) {
			t.Errorf("%s: got %+v, want %+v", config, r.Output, want)
		}
	}
}

func TestSchemasOfTheAPIBecomeJSONSchema(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`{"type":"STRING"}`:                                                     `{"type":"string"}`,
		`{"type":"string","nullable":false}`:                                    `{"type":"string"}`,
		`{"nullable":true,"type":"STRING","enum":["a"]}`:                        `{"type":["string","null"],"enum":["a",null]}`,
		`{"type":["STRING","NULL"],"nullable":true}`:                            `{"type":["string","null"]}`,
		`{"type":["STRING"],"nullable":true}`:                                   `{"type":["string","null"]}`,
		`{"type":"TYPE_UNSPECIFIED","description":"STRING"}`:                    `{"description":"STRING"}`,
		`{"anyOf":[{"type":"NUMBER"}],"nullable":true}`:                         `{"anyOf":[{"type":"number"},{"type":"null"}]}`,
		`{"type":"ARRAY","maxItems":"5","items":{"type":"OBJECT"}}`:             `{"type":"array","maxItems":5,"items":{"type":"object"}}`,
		`{"properties":{"type":{"type":"STRING"},"any_of":{"type":"INTEGER"}}}`: `{"properties":{"type":{"type":"string"},"any_of":{"type":"integer"}}}`,
		`{"type":"STRING","format":"date-time","example":"x"}`:                  `{"type":"string","format":"date-time","examples":["x"]}`,
		`{"$ref":"#/$defs/A","$defs":{"A":{"type":"OBJECT","additionalProperties":{"type":"STRING"}}},"default":{"type":"STRING"}}`: `{"$ref":"#/$defs/A","$defs":{"A":{"type":"object","additionalProperties":{"type":"string"}}},"default":{"type":"STRING"}}`,
		`{"minimum":1.50,"x-y":[1 , 2],"properties":null,"items":true,"enum":7}`:                                                    `{"minimum":1.50,"x-y":[1 , 2],"properties":null,"items":true,"enum":7}`,
	} {
		r := decode(t, `{"contents":[{"parts":[{"text":"hi"}]}],"tools":[{"functionDeclarations":[{"name":"f","parameters":`+in+`}]}]}`)
		if got := string(r.Tools[0].Schema); got != want {
			t.Errorf("%s\ngot  %s\nwant %s", in, got, want)
		}
	}
}

func TestSchemasThatAreJSONSchemaAreKeptByteForByte(t *testing.T) {
	t.Parallel()
	schema := `{"z":1, "a":{"type":"STRING"},"n":1.0e2,"properties":{"nullable":{}},"html":"<>&"}`
	r := decode(t, `{"contents":[{"parts":[{"text":"hi"}]}],"tools":[{"functionDeclarations":[{"name":"f","parametersJsonSchema":`+schema+`,"parameters":{"type":"OBJECT"}}]}]}`)
	if got := string(r.Tools[0].Schema); got != schema {
		t.Errorf("got %s", got)
	}
	if r := decode(t, `{"contents":[{"parts":[{"text":"hi"}]}],"tools":[{"functionDeclarations":[{"name":"f"}]}]}`); r.Tools[0].Schema != nil {
		t.Errorf("a tool without parameters got %s", r.Tools[0].Schema)
	}
}

func results(r *llm.Request) (ids []string) {
	for _, turn := range r.Turns {
		for _, p := range turn.Parts {
			if p.Result != nil {
				ids = append(ids, p.Result.ID)
			}
		}
	}
	return ids
}

func TestResultsFindTheirCalls(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ calls, results, want string }{
		"by id in any order":                {`{"id":"a","name":"f"},{"id":"b","name":"f"}`, `{"id":"b","name":"f"},{"id":"a","name":"f"}`, "b a"},
		"parallel calls of one name":        {`{"name":"f"},{"name":"f"}`, `{"name":"f"},{"name":"f"}`, "call_0_0 call_0_1"},
		"the name as id of every call":      {`{"id":"f","name":"f"},{"id":"f","name":"f"}`, `{"id":"f","name":"f"},{"id":"f","name":"f"}`, "f f"},
		"an id that the client made up":     {`{"id":"a","name":"f"},{"id":"b","name":"f"}`, `{"id":"f-1","name":"f"},{"id":"f-2","name":"f"}`, "a b"},
		"one by id, one by name":            {`{"id":"a","name":"f"},{"id":"b","name":"f"}`, `{"id":"a","name":"f"},{"name":"f"}`, "a b"},
		"a result twice":                    {`{"id":"a","name":"f"}`, `{"id":"a","name":"f"},{"id":"a","name":"f"}`, "a a"},
		"a result of no call":               {`{"id":"a","name":"f"}`, `{"id":"z","name":"g"},{"name":"g"},{"name":"f"}`, "z call_1_1 a"},
		"more results of a name than calls": {`{"name":"f"}`, `{"name":"f"},{"name":"f"}`, "call_0_0 call_1_1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wrap := func(list, key string) string {
				return `{"` + key + `":` + strings.ReplaceAll(list, "},{", `}},{"`+key+`":{`) + `}`
			}
			r := decode(t, `{"contents":[{"role":"model","parts":[`+wrap(tc.calls, "functionCall")+`]},{"parts":[`+wrap(tc.results, "functionResponse")+`]}]}`)
			if got := strings.Join(results(r), " "); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestCallsThatAllHaveOneIDAreAllAnswered(t *testing.T) {
	t.Parallel()
	const n = 3000
	call := `{"role":"model","parts":[{"functionCall":{"id":"same","name":"f"}}]},`
	results := strings.Repeat(`{"functionResponse":{"id":"same","name":"f"}},`, n-1)
	r := decode(t, `{"contents":[`+strings.Repeat(call, n)+`{"parts":[`+results+`{"functionResponse":{"name":"f"}},{"functionResponse":{"name":"f"}}]}]}`)
	parts := r.Turns[1].Parts
	if len(parts) != n+1 || parts[n-1].Result.ID != "same" || parts[n].Result.ID != "call_3000_3000" {
		t.Errorf("got %d results, the last of %q and %q", len(parts), parts[n-1].Result.ID, parts[n].Result.ID)
	}
}

func TestWhatFunctionsAnswer(t *testing.T) {
	t.Parallel()
	for response, want := range map[string]string{
		`{"output":"a\nb"}`:           `false "a\nb"`,
		`{"result":"x"}`:              `false "x"`,
		`{"output":{"a": [1, 2.50]}}`: `false "{\"output\":{\"a\":[1,2.50]}}"`,
		`{"content": "x y"}`:          `false "{\"content\":\"x y\"}"`,
		`{"error":"gone"}`:            `true "gone"`,
		`{"error":"gone","code":5}`:   `true "{\"error\":\"gone\",\"code\":5}"`,
		`{"error":"","output":"x"}`:   `false "{\"error\":\"\",\"output\":\"x\"}"`,
		`{}`:                          `false "{}"`,
		`"bare"`:                      `false "bare"`,
		`null`:                        `false`,
		`{"output":""}`:               `false`,
	} {
		r := decode(t, `{"contents":[{"parts":[{"functionResponse":{"name":"f","response":`+response+`}}]}]}`)
		result := r.Turns[0].Parts[0].Result
		got := fmt.Sprint(result.IsError)
		for _, p := range result.Parts {
			got += fmt.Sprintf(" %q", p.Text)
		}
		if got != want {
			t.Errorf("%s: got %s, want %s", response, got, want)
		}
	}
}

func TestSignatures(t *testing.T) {
	t.Parallel()
	for sig, want := range map[string]string{
		"ZHRyMS5hLng=":                     "dtr1.a.x",
		"ZHRyMS5hLng":                      "dtr1.a.x",
		"dtr1.a.x":                         "dtr1.a.x",
		"ZHRyMS5yLj4_Pz8-":                 "dtr1.r.>???>",
		"ZHRyMS5yLj4/Pz8+":                 "dtr1.r.>???>",
		"skip_thought_signature_validator": "",
		"CiQB":                             "",
		"%%%":                              "",
	} {
		r := decode(t, `{"contents":[{"role":"model","parts":[{"text":"x","thoughtSignature":"`+sig+`"}]}]}`)
		got := ""
		if p := r.Turns[0].Parts[0]; p.Kind == llm.PartThinking {
			got = p.Opaque.Value
		}
		if got != want || len(r.Turns[0].Parts) != 1+min(1, len(want)) {
			t.Errorf("%s: got %q, want %q", sig, got, want)
		}
	}
}

// A conversation that grows keeps what it was translated to, or prompt caches miss.
func TestGrowingHistoryKeepsItsBeginning(t *testing.T) {
	t.Parallel()
	var contents []string
	before := 0
	var turns string
	for i := range 12 {
		contents = append(contents, []string{
			`{"role":"user","parts":[{"text":"q` + fmt.Sprint(i) + `"}]}`,
			`{"role":"model","parts":[{"thought":true,"text":"t"},{"functionCall":{"name":"f","args":{"b":1,"a":2}}},{"functionCall":{"name":"f"}}]}`,
			`{"role":"user","parts":[{"functionResponse":{"name":"f","response":{"output":"1"}}},{"functionResponse":{"name":"f","response":{"output":"2"}}}]}`,
		}[i%3])
		r := decode(t, `{"contents":[`+strings.Join(contents, ",")+`]}`)
		if got := printRequest(&llm.Request{Turns: r.Turns[:before]}); i > 0 && got != turns {
			t.Fatalf("after %d contents the beginning is\n%swas\n%s", i+1, got, turns)
		}
		before, turns = len(r.Turns), printRequest(&llm.Request{Turns: r.Turns})
	}
}

func TestCountTokensBodies(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{"contents":[{"parts":[{"text":"hi"}]}]}`: "m 1",
		`{"generateContentRequest":{"model":"models/x","contents":[{"parts":[{"text":"hi"}]}],"tools":[{"functionDeclarations":[{"name":"f"}]}]}}`: "m 1",
		`{"generate_content_request":{"contents":[{"parts":[{"text":"hi"}]}]}}`:                                                                    "m 1",
		`{"generateContentRequest":{"contents":7}}`:                                                                                                "generateContentRequest.contents",
		`{"generateContentRequest":7}`:                                                                                                             "generateContentRequest",
		`{}`:                                                                                                                                       "contents",
	} {
		r, err := gemini.Codec{Model: "m"}.DecodeCount([]byte(body))
		got := ""
		if f, ok := errors.AsType[*dialect.Failure](err); ok {
			got = f.Param
		} else {
			got = fmt.Sprint(r.Model, " ", len(r.Turns))
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", body, got, want)
		}
	}
	if r, err := (gemini.Codec{}).DecodeCount([]byte(`{"generateContentRequest":{"model":"models/x","contents":[{"parts":[{"text":"hi"}]}]}}`)); err != nil || r.Model != "x" {
		t.Errorf("got %+v, %v", r, err)
	}
	if got := string(gemini.Codec{}.AppendCount(nil, 31)); got != `{"totalTokens":31}` {
		t.Errorf("got %s", got)
	}
}

func TestPeek(t *testing.T) {
	t.Parallel()
	image := `{"inlineData":{"mimeType":"image/png","data":"aGk="}}`
	for body, want := range map[string]string{
		`{"contents":[{"parts":[{"text":"hi"}]}]}`:                                                                      "user false",
		`{"contents":[{"parts":[{"text":"hi"},` + image + `]}]}`:                                                        "user true",
		`{"contents":[{"parts":[{"functionResponse":{"name":"f"}}]}]}`:                                                  "agent false",
		`{"contents":[{"parts":[{"functionResponse":{"name":"f","parts":[` + image + `]}}]}]}`:                          "agent true",
		`{"contents":[{"parts":[{"functionResponse":{"name":"f"}},` + image + `]}]}`:                                    "agent true",
		`{"contents":[{"parts":[{"functionResponse":{"name":"f"}},{"text":"and now?"}]}]}`:                              "user false",
		`{"contents":[{"parts":[{"functionResponse":{"name":"f"}},{"text":"<system-reminder>x</system-reminder>"}]}]}`:  "agent false",
		`{"contents":[{"parts":[{"text":"hi"}]},{"role":"model","parts":[{"text":"x"}]}]}`:                              "agent false",
		`{"contents":[{"parts":[{"text":"hi"}]}],"systemInstruction":{"parts":[{"text":"You are a title generator"}]}}`: "agent false",
		`{"generateContentRequest":{"contents":[{"parts":[` + image + `]}]}}`:                                           "user true",
	} {
		p, err := gemini.Codec{Model: "models/m", Stream: true}.Peek([]byte(body))
		if got := fmt.Sprint(p.Initiator, " ", p.Vision); err != nil || got != want || p.Model != "m" || !p.Stream {
			t.Errorf("%s: got %s, want %s; %+v, %v", body, got, want, p, err)
		}
	}
	c := gemini.Codec{Model: "m"}
	a, _ := c.Peek([]byte(`{"contents":[{"parts":[{"text":"hi"}]}]}`))
	b, _ := c.Peek([]byte(`{"contents":[{"parts":[{"text":"hi"}]},{"role":"model","parts":[{"text":"x"}]},{"parts":[{"text":"more"}]}]}`))
	other, _ := c.Peek([]byte(`{"contents":[{"parts":[{"text":"ho"}]}]}`))
	if a.Opening != b.Opening || a.Opening == other.Opening {
		t.Errorf("openings %x %x %x", a.Opening, b.Opening, other.Opening)
	}
	if _, err := c.Peek([]byte(`{"contents":[7]}`)); err == nil {
		t.Error("a content that is no object passed")
	}
}

func TestErrorBodies(t *testing.T) {
	t.Parallel()
	for code, want := range map[int]string{
		400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 402: "RESOURCE_EXHAUSTED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND", 409: "ABORTED",
		413: "INVALID_ARGUMENT", 422: "INVALID_ARGUMENT", 429: "RESOURCE_EXHAUSTED", 499: "CANCELLED", 500: "INTERNAL", 501: "UNIMPLEMENTED",
		502: "UNAVAILABLE", 503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED", 529: "UNAVAILABLE",
	} {
		var w wireAnswer
		f := dialect.Failure{Status: code, Message: `the "upstream's" words`}
		if err := json.Unmarshal(gemini.Codec{}.AppendError(nil, f), &w); err != nil {
			t.Fatal(err)
		}
		if w.Error.Status != want || w.Error.Code != f.StatusFor(dialect.Gemini) || w.Error.Message != f.Message || w.Error.Details == nil {
			t.Errorf("%d: got %+v, want %s", code, w.Error, want)
		}
	}
	body := gemini.Codec{}.AppendError(nil, *dialect.InvalidRequest("contents[0]", "bad"))
	if !bytes.Contains(body, []byte(`"fieldViolations":[{"field":"contents[0]","description":"contents[0]: bad"}]`)) {
		t.Errorf("got %s", body)
	}
}

// largeBody is a request as Gemini CLI sends it late in a session, of about 285 KB.
func largeBody() []byte {
	var source []byte // files as an agent reads them
	for _, name := range []string{"encoder.go", "speech.go", "schema.go"} {
		raw, err := os.ReadFile(name)
		if err != nil {
			panic(err)
		}
		source = append(source, raw...)
	}
	var b bytes.Buffer
	b.WriteString(`{"contents":[{"role":"user","parts":[{"text":"` + strings.Repeat(`This is the Gemini CLI.\n`, 200) + `"}]}`)
	for i := range 90 {
		fmt.Fprintf(&b, `,{"role":"model","parts":[{"text":"I read file %d.","thoughtSignature":"ZHRyMS5hLng="},{"functionCall":{"id":"c%d","name":"read_file","args":{"absolute_path":"/src/file%d.go"}}}]}`, i, i, i)
		fmt.Fprintf(&b, `,{"role":"user","parts":[{"functionResponse":{"id":"c%d","name":"read_file","response":{"output":%s}}}]}`, i, mustJSON(string(source[i*100:i*100+2300])))
	}
	b.WriteString(`],"systemInstruction":{"parts":[{"text":"` + strings.Repeat("You are an interactive CLI agent. ", 600) + `"}]},"tools":[{"functionDeclarations":[`)
	for i := range 30 {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"name":"tool_%d","description":"%s","parameters":{"type":"OBJECT","properties":{"a":{"type":"STRING","description":"%s"},"n":{"type":"INTEGER","nullable":true}},"required":["a"]}}`,
			i, strings.Repeat("Does something useful. ", 20), strings.Repeat("what ", 20))
	}
	b.WriteString(`]}],"generationConfig":{"temperature":1,"topP":0.95,"thinkingConfig":{"includeThoughts":true}}}`)
	return b.Bytes()
}

func BenchmarkDecodeRequest(b *testing.B) {
	body := largeBody()
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := (gemini.Codec{Model: "m"}).DecodeRequest(body); err != nil {
			b.Fatal(err)
		}
	}
}

func FuzzDecodeRequest(f *testing.F) {
	files, _ := filepath.Glob("testdata/request/*.txtar")
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(txtar.Parse(raw).Files[0].Data)
	}
	f.Add([]byte(`{"generateContentRequest":{"contents":{"parts":{"text":"x"}}},"contents":[{"parts":[{"__":1,"text":"\ud800"}]}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		c := gemini.Codec{Model: "m"}
		r, err := c.DecodeRequest(body)
		if f, ok := errors.AsType[*dialect.Failure](err); err != nil && (!ok || f.Status != 400 || f.Message == "") {
			t.Fatalf("error %#v", err)
		}
		if err == nil {
			for _, tool := range r.Tools {
				if tool.Schema != nil && !json.Valid(tool.Schema) {
					t.Errorf("schema %s", tool.Schema)
				}
			}
			if r.Output.Schema != nil && !json.Valid(r.Output.Schema) {
				t.Errorf("schema %s", r.Output.Schema)
			}
			for _, turn := range r.Turns {
				for _, p := range turn.Parts {
					if p.Kind == llm.PartCall && !json.Valid([]byte(p.Call.Arguments)) || p.Kind == llm.PartResult && p.Result.ID == "" {
						t.Errorf("part %s", printPart(p))
					}
				}
			}
			if again, err := c.DecodeRequest(bytes.Clone(body)); err != nil || printRequest(again) != printRequest(r) {
				t.Error("decoded differently again")
			}
			if _, err := c.Peek(body); err != nil && !bytes.Contains(body, []byte("eq")) {
				t.Errorf("decoded, but Peek says %v", err)
			}
		}
		_, _ = c.DecodeCount(body)
		_, _ = c.Peek(body)
	})
}
