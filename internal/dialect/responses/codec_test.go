package responses_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	sdk "github.com/openai/openai-go/v3/responses"

	"github.com/openai/openai-go/v3/packages/ssestream"
	"golang.org/x/tools/txtar"

	"detour/internal/dialect"
	"detour/internal/dialect/responses"
	"detour/internal/llm"
	"detour/internal/sse"
)

// updating reports whether the golden files are to be written anew. The flag is dialecttest's.
func updating() bool {
	f := flag.Lookup("update")
	return f != nil && f.Value.String() == "true"
}

func options() dialect.AnswerOptions {
	return dialect.AnswerOptions{Model: "asked-for", ID: "minted", Created: 1700000000}
}

// decode reads a stream. The events are copies.
func decode(r io.Reader) []llm.Event {
	d := responses.Codec{}.NewDecoder()
	frames := sse.NewReader(r)
	var out, step []llm.Event
	keep := func() {
		for _, e := range step {
			e.Delta = bytes.Clone(e.Delta)
			if e.Part != nil {
				p := *e.Part
				p.Raw = bytes.Clone(p.Raw)
				e.Part = &p
			}
			out = append(out, e)
		}
	}
	for {
		f, err := frames.Next()
		if len(f.Raw) > 0 {
			step = d.Decode(step[:0], f)
			keep()
		}
		if err != nil {
			step = d.Close(step[:0])
			keep()
			return out
		}
	}
}

func encode(events []llm.Event, o dialect.AnswerOptions) []byte {
	e := responses.Codec{}.NewEncoder(o)
	var out []byte
	for _, ev := range events {
		out = e.Encode(out, ev)
	}
	return out
}

func fold(events []llm.Event) (*llm.Answer, error) {
	var f llm.Folder
	for _, e := range events {
		f.Add(e)
	}
	a, done := f.Answer()
	switch {
	case f.Err() != nil:
		return a, f.Err()
	case !done:
		return a, io.ErrNoProgress
	}
	return a, nil
}

// show prints events for a golden file. Deltas of one block are joined: where a stream is cut into deltas is no matter.
func show(events []llm.Event) string {
	var b strings.Builder
	for i := 0; i < len(events); i++ {
		e := events[i]
		switch e.Kind {
		case llm.EventStart:
			fmt.Fprintf(&b, "start id=%q model=%q\n", e.ID, e.Model)
		case llm.EventBlock:
			fmt.Fprintf(&b, "block %d %s\n", e.Block, showPart(*e.Part))
		case llm.EventText, llm.EventThinking, llm.EventArgs:
			text := string(e.Delta)
			for i+1 < len(events) && events[i+1].Kind == e.Kind && events[i+1].Block == e.Block {
				i++
				text += string(events[i].Delta)
			}
			fmt.Fprintf(&b, "%s %d %q\n", [...]string{"text", "thinking", "args"}[e.Kind-llm.EventText], e.Block, text)
		case llm.EventSeal:
			fmt.Fprintf(&b, "seal %d %+v\n", e.Block, e.Part.Opaque)
		case llm.EventCitation:
			fmt.Fprintf(&b, "citation %d %s\n", e.Block, e.Part.Raw)
		case llm.EventStop:
			fmt.Fprintf(&b, "stop %d\n", e.Block)
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

func showPart(p llm.Part) string {
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
		s += fmt.Sprintf(" of %q kind=%d type=%q error=%v", p.Result.ID, p.Result.Kind, p.Result.Type, p.Result.IsError)
		for _, q := range p.Result.Parts {
			s += "\n    " + showPart(q)
		}
	}
	if p.Opaque != (llm.Opaque{}) {
		s += fmt.Sprintf(" %+v", p.Opaque)
	}
	if p.Kind == llm.PartOpaque {
		s += " " + string(p.Raw)
	}
	return s
}

// golden compares the sections of an archive with what came out.
func golden(t *testing.T, file string, sections ...txtar.File) {
	t.Helper()
	got := txtar.Format(&txtar.Archive{Files: sections})
	if updating() {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		w, g := strings.Split(string(want), "\n"), strings.Split(string(got), "\n")
		for i := range max(len(w), len(g)) {
			if i >= len(w) || i >= len(g) || w[i] != g[i] {
				t.Errorf("not as in %s, line %d:\nwant %q\ngot  %q", file, i+1, w[min(i, len(w)-1)], g[min(i, len(g)-1)])
				return
			}
		}
	}
}

// streams returns the recorded streams by name.
func streams(t testing.TB) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob("testdata/*.sse")
	if err != nil || len(files) == 0 {
		t.Fatalf("no streams in testdata: %v", err)
	}
	all := map[string][]byte{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all[strings.TrimSuffix(filepath.Base(file), ".sse")] = data
	}
	return all
}

// observed is what the official SDK makes of a stream.
type observed struct {
	status, reason, code, message string
	response                      *sdk.Response
	deltas                        string // of text
	arguments                     map[int64]string
	types                         []string
}

// observe reads a stream with the official SDK: every event through its SSE reader, its unions and its accumulator.
func observe(t *testing.T, stream []byte) observed {
	t.Helper()
	o := observed{arguments: map[int64]string{}}
	res := &http.Response{Header: http.Header{"Content-Type": {"text/event-stream"}}, Body: io.NopCloser(bytes.NewReader(stream))}
	s := ssestream.NewStream[sdk.ResponseStreamEventUnion](ssestream.NewDecoder(res), nil)
	var acc sdk.ResponseAccumulator
	for n := int64(0); s.Next(); n++ {
		ev := s.Current()
		if ev.SequenceNumber != n {
			t.Errorf("event %d has sequence_number %d", n, ev.SequenceNumber)
		}
		o.types = append(o.types, ev.Type)
		switch ev.Type {
		case "response.output_text.delta", "response.refusal.delta":
			o.deltas += ev.Delta
		case "response.function_call_arguments.delta", "response.custom_tool_call_input.delta":
			o.arguments[ev.OutputIndex] += ev.Delta
		}
		var server sdk.ResponsesServerEventUnion
		if err := json.Unmarshal([]byte(ev.RawJSON()), &server); err != nil {
			t.Fatalf("%s: %v", ev.RawJSON(), err)
		}
		if err := acc.AddEvent(server); err != nil {
			t.Fatalf("%s: %v", ev.RawJSON(), err)
		}
	}
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	r, err := acc.ReconstructedResponse()
	if err != nil {
		t.Fatalf("%v in\n%s", err, stream)
	}
	o.response, o.status = r, string(r.Status)
	o.reason, o.code, o.message = r.IncompleteDetails.Reason, string(r.Error.Code), r.Error.Message
	checkStream(t, stream)
	return o
}

// checkStream asserts what JavaScript clients need of a stream beyond what the Go SDK looks at.
func checkStream(t *testing.T, stream []byte) {
	t.Helper()
	type item struct {
		ID, Type, Status string
		Summary          []struct{ Text string }
		Content          []struct {
			Type        string
			Annotations []any
		}
	}
	type event struct {
		Type        string
		Sequence    int    `json:"sequence_number"`
		OutputIndex *int   `json:"output_index"`
		ItemID      string `json:"item_id"`
		Content     *int   `json:"content_index"`
		Item        *item
		Response    *struct {
			ID     string
			Output []json.RawMessage
			Usage  *struct {
				InputDetails *struct {
					Cached *int `json:"cached_tokens"`
				} `json:"input_tokens_details"`
				OutputDetails *struct {
					Reasoning *int `json:"reasoning_tokens"`
				} `json:"output_tokens_details"`
			}
		}
	}
	var ids []string
	parts := map[string]bool{}
	done := map[int]json.RawMessage{}
	var last, response string
	frames := sse.NewReader(bytes.NewReader(stream))
	for n := 0; ; {
		f, err := frames.Next()
		if err != nil {
			if !errors.Is(err, io.EOF) {
				t.Errorf("stream ends in a frame: %q", f.Raw)
			}
			break
		}
		if !f.HasData {
			continue
		}
		var e event
		if err := json.Unmarshal(f.Data, &e); err != nil || e.Type != string(f.Event) || e.Sequence != n {
			t.Fatalf("event %d: %v in %s", n, err, f.Raw)
		}
		n++
		last = e.Type
		if e.Response != nil {
			if response == "" {
				response = e.Response.ID
			}
			if e.Response.ID != response || e.Response.Output == nil {
				t.Errorf("response %s in %s", response, f.Data)
			}
		}
		switch e.Type {
		case "response.output_item.added":
			if *e.OutputIndex != len(ids) || e.Item.ID == "" || e.Item.Type == "reasoning" && e.Item.Summary == nil || e.Item.Type == "message" && e.Item.Content == nil {
				t.Errorf("item %d: %s", len(ids), f.Data)
			}
			ids = append(ids, e.Item.ID)
		case "response.output_item.done":
			if e.Item.ID != ids[*e.OutputIndex] || e.Item.Type != "reasoning" && e.Item.Type != "compaction" && e.Item.Status == "" {
				t.Errorf("item: %s", f.Data)
			}
			for _, c := range e.Item.Content {
				if c.Type == "output_text" && c.Annotations == nil {
					t.Errorf("no annotations: %s", f.Data)
				}
			}
			var raw struct{ Item json.RawMessage }
			_ = json.Unmarshal(f.Data, &raw)
			done[*e.OutputIndex] = raw.Item
		case "response.content_part.added", "response.reasoning_summary_part.added":
			parts[e.ItemID] = true
		case "response.output_text.delta", "response.refusal.delta", "response.reasoning_summary_text.delta":
			if !parts[e.ItemID] {
				t.Errorf("part not announced: %s", f.Data)
			}
		case "response.completed", "response.incomplete", "response.failed":
			if e.Response.Usage == nil || e.Response.Usage.InputDetails.Cached == nil || e.Response.Usage.OutputDetails.Reasoning == nil {
				t.Errorf("usage: %s", f.Data)
			}
			var want []json.RawMessage
			for i := range ids {
				if done[i] != nil {
					want = append(want, done[i])
				}
			}
			if !slices.EqualFunc(want, e.Response.Output, func(a, b json.RawMessage) bool { return bytes.Equal(a, b) }) {
				t.Errorf("output differs from the items that were finished: %s", f.Data)
			}
		}
		if e.ItemID != "" && e.ItemID != ids[*e.OutputIndex] {
			t.Errorf("item_id: %s", f.Data)
		}
	}
	if last != "response.completed" && last != "response.incomplete" && last != "response.failed" {
		t.Errorf("stream ends with %s", last)
	}
}
