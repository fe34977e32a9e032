package gemini_test

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/tools/txtar"

	"detour/internal/dialect"
	"detour/internal/dialect/gemini"
	"detour/internal/llm"
)

// Each answer as server-sent events, as an array and whole.
func TestAnswersGolden(t *testing.T) {
	t.Parallel()
	usage := llm.Usage{Input: 10, CacheRead: 4, Output: 11, Reasoning: 2, Reported: true}
	for name, a := range map[string]*llm.Answer{
		"thinking_text_calls": {ID: "resp_1", Model: "gpt-5", Stop: llm.StopTool, Usage: usage, Parts: []llm.Part{
			{Kind: llm.PartThinking, Text: "I need the file.", Opaque: llm.Opaque{Kind: llm.OpaqueCarrier, Value: "dtr1.r.mac.id.blob"}},
			{Kind: llm.PartText, Text: "Reading.\n"},
			{Kind: llm.PartCall, Call: &llm.Call{ID: "c1", Name: "read_file", Arguments: `{"path":"a.go"}`}},
			{Kind: llm.PartCall, Call: &llm.Call{ID: "c2", Name: "ls", Arguments: ``}},
		}},
		"cut_off_call": {ID: "resp_2", Stop: llm.StopLength, Usage: usage, Parts: []llm.Part{
			{Kind: llm.PartCall, Call: &llm.Call{ID: "c1", Name: "write_file", Arguments: `{"text":"half`}},
		}},
		"wrong_arguments": {ID: "resp_3", Stop: llm.StopTool, Parts: []llm.Part{
			{Kind: llm.PartCall, Call: &llm.Call{ID: "c1", Name: "write_file", Arguments: `"text"`}},
		}},
		"refusal": {ID: "resp_4", Stop: llm.StopFilter, Usage: usage, Parts: []llm.Part{{Kind: llm.PartRefusal, Text: "I can't help with that."}}},
		"state_alone": {ID: "resp_5", Stop: llm.StopEnd, Parts: []llm.Part{
			{Kind: llm.PartThinking, Opaque: llm.Opaque{Kind: llm.OpaqueCarrier, Value: "dtr1.a.mac.blob"}},
		}},
		"empty": {ID: "resp_6", Stop: llm.StopEnd, Usage: usage},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := dialect.AnswerOptions{Model: "gemini-x"}
			events := a.Replay(nil)
			got := txtar.Format(&txtar.Archive{Files: []txtar.File{
				{Name: "events.sse", Data: encode(gemini.Codec{}, o, events)},
				{Name: "array.json", Data: encode(gemini.Codec{Array: true}, o, events)},
				{Name: "whole.json", Data: gemini.Codec{}.EncodeAnswer(nil, a, o)},
			}})
			file := filepath.Join("testdata", "answer", name+".txtar")
			if *update {
				if err := os.WriteFile(file, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if want, err := os.ReadFile(file); err != nil || string(want) != string(got) {
				t.Errorf("not as in %s (%v):\n%s", file, err, got)
			}
		})
	}
}
