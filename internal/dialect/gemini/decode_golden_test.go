package gemini_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"detour/internal/dialect/gemini"
	"detour/internal/llm"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestDecodeRequestGolden(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/request/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no requests: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			r, err := gemini.Codec{Model: "models/gemini-x", Stream: true}.DecodeRequest(a.Files[0].Data)
			if err != nil {
				t.Fatal(err)
			}
			got := printRequest(r)
			if *update {
				a.Files = append(a.Files[:1], txtar.File{Name: "neutral.txt", Data: []byte(got)})
				if err := os.WriteFile(file, txtar.Format(a), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if len(a.Files) < 2 || string(a.Files[1].Data) != got {
				t.Errorf("not as in %s:\n%s", file, got)
			}
			if again, err := (gemini.Codec{Model: "gemini-x", Stream: true}).DecodeRequest(a.Files[0].Data); err != nil || printRequest(again) != got {
				t.Errorf("decoded differently again: %v", err)
			}
		})
	}
}

// printRequest writes a request for people to compare.
func printRequest(r *llm.Request) string {
	var b strings.Builder
	fmt.Fprintf(&b, "model %q stream %v source %s\n", r.Model, r.Stream, r.Source)
	for _, p := range r.System {
		fmt.Fprintf(&b, "system %s\n", printPart(p))
	}
	for _, t := range r.Turns {
		fmt.Fprintf(&b, "turn %s\n", [...]string{"user", "assistant", "system"}[t.Role])
		for _, p := range t.Parts {
			fmt.Fprintf(&b, "  %s\n", printPart(p))
		}
	}
	for _, t := range r.Tools {
		fmt.Fprintf(&b, "tool kind %d %q type %q description %q\n  schema %s\n", t.Kind, t.Name, t.Type, t.Description, t.Schema)
	}
	fmt.Fprintf(&b, "choice %+v\n", r.Choice)
	fmt.Fprintf(&b, "max %d stop %q candidates %d temperature %s top_p %s top_k %s\n", r.MaxOutput, r.Stop, r.Candidates,
		printPointer(r.Temperature), printPointer(r.TopP), printPointer(r.TopK))
	fmt.Fprintf(&b, "reasoning %+v\n", r.Reasoning)
	fmt.Fprintf(&b, "output format %q schema %s\n", r.Output.Format, r.Output.Schema)
	for _, k := range slices.Sorted(maps.Keys(r.Extras)) {
		fmt.Fprintf(&b, "extra %s %s\n", k, r.Extras[k])
	}
	return b.String()
}

func printPointer[T any](p *T) string {
	if p == nil {
		return "-"
	}
	return fmt.Sprint(*p)
}

func printPart(p llm.Part) string {
	var b strings.Builder
	fmt.Fprint(&b, [...]string{"text", "image", "file", "thinking", "call", "result", "refusal", "compaction", "opaque"}[p.Kind])
	if p.Text != "" {
		fmt.Fprintf(&b, " %q", p.Text)
	}
	if p.Media != nil {
		fmt.Fprintf(&b, " %+v", *p.Media)
	}
	if p.Call != nil {
		fmt.Fprintf(&b, " %q %s %s", p.Call.ID, p.Call.Name, p.Call.Arguments)
	}
	if p.Opaque.Kind != "" {
		fmt.Fprintf(&b, " opaque %s %q", p.Opaque.Kind, p.Opaque.Value)
	}
	if p.Raw != nil {
		fmt.Fprintf(&b, " raw %s", p.Raw)
	}
	if r := p.Result; r != nil {
		fmt.Fprintf(&b, " of %q %s error %v", r.ID, r.Name, r.IsError)
		for _, p := range r.Parts {
			fmt.Fprintf(&b, " [%s]", printPart(p))
		}
	}
	return b.String()
}

func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}
