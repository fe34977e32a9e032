package messages_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"detour/internal/dialect"
)

// TestStreamGolden follows every stream of testdata to its events and back to a stream.
func TestStreamGolden(t *testing.T) {
	t.Parallel()
	const golden = "testdata/streams.txtar"
	files, err := filepath.Glob("testdata/*.sse")
	if err != nil || len(files) == 0 {
		t.Fatalf("no streams in testdata: %v", err)
	}
	var got txtar.Archive
	for _, file := range files {
		in, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(filepath.Base(file), ".sse")
		events := decode(bytes.NewReader(in))
		got.Files = append(got.Files,
			txtar.File{Name: name + " events", Data: []byte(show(events))},
			txtar.File{Name: name + " again", Data: encode(dialect.AnswerOptions{}, events...)})
	}
	if flag.Lookup("update").Value.String() == "true" {
		if err := os.WriteFile(golden, txtar.Format(&got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := txtar.ParseFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range got.Files {
		if w := section(want, f.Name); w != string(f.Data) {
			t.Errorf("%s\ngot\n%s\nwant\n%s", f.Name, f.Data, w)
		}
	}
}
