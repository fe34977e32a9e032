package chat_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"detour/internal/dialect"
	"detour/internal/dialect/chat"
	"detour/internal/llm"
	"detour/internal/sse"
)

// updating reports whether golden files are to be written anew. The flag is dialecttest's.
func updating() bool { return flag.Lookup("update").Value.String() == "true" }

// eachArchive runs a test for each archive of testdata/dir. What run returns are the files behind the first n.
func eachArchive(t *testing.T, dir string, run func(t *testing.T, a *txtar.Archive) []txtar.File) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", dir, "*.txtar"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no archives in %s: %v", dir, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := run(t, a)
			kept := slices.DeleteFunc(slices.Clone(a.Files), func(f txtar.File) bool {
				return slices.ContainsFunc(got, func(g txtar.File) bool { return g.Name == f.Name })
			})
			want := txtar.Format(&txtar.Archive{Comment: a.Comment, Files: append(kept, got...)})
			if updating() {
				if err := os.WriteFile(file, want, 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if have := txtar.Format(a); !bytes.Equal(have, want) {
				t.Errorf("not as in %s; got\n%s", file, txtar.Format(&txtar.Archive{Files: got}))
			}
		})
	}
}

// file returns a file of an archive, or nil.
func file(a *txtar.Archive, name string) []byte {
	for _, f := range a.Files {
		if f.Name == name {
			return f.Data
		}
	}
	return nil
}

// decodeStream returns the events of a stream. What they point to is copied, because the decoder uses its memory again.
func decodeStream(r io.Reader) []llm.Event {
	d := chat.Codec{}.NewDecoder()
	frames := sse.NewReader(r)
	var all []llm.Event
	for {
		f, err := frames.Next()
		if len(f.Raw) > 0 {
			all = append(all, keep(d.Decode(nil, f))...)
		}
		if err != nil {
			return append(all, keep(d.Close(nil))...)
		}
	}
}

func keep(events []llm.Event) []llm.Event {
	for i := range events {
		events[i].Delta = bytes.Clone(events[i].Delta)
		if p := events[i].Part; p != nil {
			c := *p
			c.Raw = bytes.Clone(p.Raw)
			events[i].Part = &c
		}
	}
	return events
}

// encodeStream returns the stream that events become.
func encodeStream(events []llm.Event, o dialect.AnswerOptions) []byte {
	e := chat.Codec{}.NewEncoder(o)
	var out []byte
	for _, ev := range events {
		out = e.Encode(out, ev)
	}
	return out
}

// fold returns the answer that events make, which must be whole.
func fold(t *testing.T, events []llm.Event) *llm.Answer {
	t.Helper()
	var f llm.Folder
	for _, e := range events {
		f.Add(e)
	}
	a, ok := f.Answer()
	if !ok || f.Err() != nil {
		t.Fatalf("no whole answer: %v in\n%s", f.Err(), printEvents(events))
	}
	return a
}

func options() dialect.AnswerOptions {
	return dialect.AnswerOptions{
		Request: &llm.Request{WantUsage: true, Source: "chat"}, Model: "asked-for", ID: "chatcmpl-minted", Created: 1700000000,
	}
}

// printEvents writes events for people to compare, one a line.
func printEvents(events []llm.Event) string {
	var b strings.Builder
	for _, e := range events {
		switch e.Kind {
		case llm.EventStart:
			fmt.Fprintf(&b, "start id %q model %q\n", e.ID, e.Model)
		case llm.EventBlock:
			fmt.Fprintf(&b, "%d begin %s\n", e.Block, printPart(*e.Part))
		case llm.EventText:
			fmt.Fprintf(&b, "%d text %q\n", e.Block, e.Delta)
		case llm.EventThinking:
			fmt.Fprintf(&b, "%d thinking %q\n", e.Block, e.Delta)
		case llm.EventArgs:
			fmt.Fprintf(&b, "%d args %q\n", e.Block, e.Delta)
		case llm.EventSeal:
			fmt.Fprintf(&b, "%d seal %+v\n", e.Block, e.Part.Opaque)
		case llm.EventCitation:
			fmt.Fprintf(&b, "%d citation %s\n", e.Block, e.Part.Raw)
		case llm.EventStop:
			fmt.Fprintf(&b, "%d end\n", e.Block)
		case llm.EventUsage:
			fmt.Fprintf(&b, "usage %+v\n", e.Usage)
		case llm.EventFinish:
			fmt.Fprintf(&b, "finish %d\n", e.Stop)
		case llm.EventFailure:
			fmt.Fprintf(&b, "failure %v\n", e.Err)
		case llm.EventPing:
			b.WriteString("ping\n")
		}
	}
	return b.String()
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
		fmt.Fprintf(&b, "tool kind %d type %q namespace %q name %q description %q strict %s cache %v\n  schema %s\n  format %s\n",
			t.Kind, t.Type, t.Namespace, t.Name, t.Description, pointer(t.Strict), t.Cache != nil, t.Schema, t.Format)
	}
	fmt.Fprintf(&b, "choice %+v parallel %s\n", r.Choice, pointer(r.Parallel))
	fmt.Fprintf(&b, "max %d temperature %s top_p %s top_k %s stop %q n %d\n", r.MaxOutput, pointer(r.Temperature), pointer(r.TopP),
		pointer(r.TopK), r.Stop, r.Candidates)
	fmt.Fprintf(&b, "reasoning %+v\n", r.Reasoning)
	fmt.Fprintf(&b, "output %q name %q strict %s verbosity %q schema %s\n", r.Output.Format, r.Output.Name, pointer(r.Output.Strict),
		r.Output.Verbosity, r.Output.Schema)
	fmt.Fprintf(&b, "user %q session %q usage %v\n", r.User, r.Session, r.WantUsage)
	for _, k := range slices.Sorted(maps.Keys(r.Extras)) {
		fmt.Fprintf(&b, "extra %s %s\n", k, r.Extras[k])
	}
	return b.String()
}

func pointer[T any](p *T) string {
	if p == nil {
		return "-"
	}
	return fmt.Sprint(*p)
}

func printPart(p llm.Part) string {
	s := [...]string{"text", "image", "file", "thinking", "call", "result", "refusal", "compaction", "opaque"}[p.Kind]
	if p.Text != "" {
		s += fmt.Sprintf(" %q", p.Text)
	}
	if p.Media != nil {
		s += fmt.Sprintf(" %+v", *p.Media)
	}
	if p.Call != nil {
		s += fmt.Sprintf(" %+v", *p.Call)
	}
	if p.Result != nil {
		s += fmt.Sprintf(" of %q kind %d name %q error %v", p.Result.ID, p.Result.Kind, p.Result.Name, p.Result.IsError)
		for _, inner := range p.Result.Parts {
			s += " [" + printPart(inner) + "]"
		}
	}
	if p.Opaque.Kind != llm.OpaqueNone {
		s += fmt.Sprintf(" opaque %+v", p.Opaque)
	}
	if p.Redacted {
		s += " redacted"
	}
	if p.Cache != nil {
		s += fmt.Sprintf(" cache %q", p.Cache.TTL)
	}
	if p.Kind == llm.PartOpaque {
		s += " " + string(p.Raw)
	}
	return s
}

// TestRequestGolden takes requests apart and puts them together for the target of the archive.
func TestRequestGolden(t *testing.T) {
	t.Parallel()
	eachArchive(t, "request", func(t *testing.T, a *txtar.Archive) []txtar.File {
		body := file(a, "request.json")
		r, err := chat.Codec{}.DecodeRequest(body)
		if err != nil {
			f, ok := errors.AsType[*dialect.Failure](err)
			if !ok || f.Status != 400 || f.Type != "invalid_request_error" {
				t.Fatalf("error %#v", err)
			}
			return []txtar.File{{Name: "error.txt", Data: []byte(f.Param + "\n" + f.Message + "\n")}}
		}
		target := dialect.Target{Model: "upstream-model"}
		if raw := file(a, "target.json"); raw != nil {
			if err := json.Unmarshal(raw, &target); err != nil {
				t.Fatal(err)
			}
		}
		return append([]txtar.File{{Name: "neutral.txt", Data: []byte(printRequest(r))}}, encodeFiles(t, r, target)...)
	})
}

// encodeFiles returns what a request becomes, twice the same.
func encodeFiles(t *testing.T, r *llm.Request, target dialect.Target) []txtar.File {
	t.Helper()
	out, err := chat.Codec{}.EncodeRequest(r, target)
	if err != nil {
		return []txtar.File{{Name: "refusal.txt", Data: []byte(err.Error() + "\n")}}
	}
	again, err := chat.Codec{}.EncodeRequest(r, target)
	if err != nil || !bytes.Equal(out.Body, again.Body) {
		t.Errorf("encoded differently again: %v", err)
	}
	var wire bytes.Buffer
	if err := json.Indent(&wire, out.Body, "", " "); err != nil {
		t.Fatalf("%v in %s", err, out.Body)
	}
	wire.WriteByte('\n')
	return []txtar.File{{Name: "wire.json", Data: wire.Bytes()}, {Name: "lost.txt", Data: []byte(strings.Join(append(out.Lost, ""), "\n"))}}
}

// TestStreamGolden takes streams apart and puts them together for a client.
func TestStreamGolden(t *testing.T) {
	t.Parallel()
	eachArchive(t, "stream", func(t *testing.T, a *txtar.Archive) []txtar.File {
		events := decodeStream(bytes.NewReader(file(a, "in.sse")))
		return []txtar.File{
			{Name: "events.txt", Data: []byte(printEvents(events))},
			{Name: "out.sse", Data: encodeStream(events, options())},
		}
	})
}
