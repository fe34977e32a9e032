// Package detour_test holds the checks that concern the repository as a whole.
package detour_test

import (
	"go/build"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// mayImport is the import table of docs/architecture.md: which of our packages each of ours may import outside its
// tests. A package that is not listed may not exist.
var mayImport = map[string][]string{
	"ca":                           nil,
	"ca/truststore":                nil,
	"mitm":                         nil,
	"shellenv":                     nil,
	"internal/secret":              nil,
	"internal/llm":                 nil,
	"internal/suggest":             nil,
	"internal/sse":                 nil,
	"internal/dial":                {"internal/secret"},
	"internal/config":              {"internal/privfile", "internal/secret", "internal/suggest"},
	"internal/privfile":            nil,
	"internal/clientkey":           {"internal/privfile", "internal/secret"},
	"internal/door":                {"internal/clientkey", "internal/secret"},
	"internal/record":              {"internal/llm"},
	"internal/budget":              nil,
	"internal/recall":              {"internal/dialect/rawjson"},
	"internal/ledger":              {"internal/privfile", "internal/record"},
	"internal/sim":                 {"internal/sse"},
	"internal/dialect":             {"internal/dialect/rawjson", "internal/llm", "internal/sse"},
	"internal/dialect/rawjson":     nil,
	"internal/dialect/dialecttest": {"internal/dialect", "internal/llm", "internal/sse"},
	"internal/dialect/carrier":     nil,
	"internal/dialect/compaction":  {"internal/dialect", "internal/llm"},
	"internal/dialect/chat":        {"internal/dialect", "internal/dialect/carrier", "internal/dialect/rawjson", "internal/dialect/responses", "internal/llm", "internal/sse"},
	"internal/dialect/responses":   {"internal/dialect", "internal/dialect/carrier", "internal/dialect/rawjson", "internal/llm", "internal/sse"},
	"internal/dialect/gemini":      {"internal/dialect", "internal/dialect/carrier", "internal/dialect/rawjson", "internal/llm", "internal/sse"},
	"internal/dialect/messages":    {"internal/dialect", "internal/dialect/carrier", "internal/dialect/rawjson", "internal/llm", "internal/sse"},
	"internal/dialect/filter":      {"internal/dialect", "internal/dialect/rawjson"},
	"internal/dialect/tokens":      {"internal/llm"},
	"providers":                    {"internal/dialect", "internal/llm", "internal/secret", "internal/suggest"},
	"providers/copilot":            {"providers", "internal/dialect", "internal/dialect/rawjson", "internal/llm", "internal/secret"},
	"providers/keyed":              {"providers", "providers/metadata", "internal/dialect", "internal/llm", "internal/secret"},
	"providers/metadata":           {"providers"},
	"providers/openai":             {"providers", "providers/keyed", "internal/dialect", "internal/llm"},
	"providers/anthropic":          {"providers", "providers/keyed", "internal/dialect", "internal/llm"},
	"providers/zai":                {"providers", "providers/keyed", "internal/dialect", "internal/llm"},
	"providers/all":                {"providers", "providers/..."},
	"providers/providertest":       {"providers", "internal/..."},
	"router":                       {"providers", "internal/budget", "internal/dialect", "internal/dialect/...", "internal/llm", "internal/secret", "internal/sse", "internal/suggest", "internal/record", "internal/recall"},
	"internal/app":                 {"..."},
	"internal/bench":               {"ca", "internal/sim", "internal/dialect", "internal/dialect/...", "internal/llm", "internal/sse"},
	"cmd/detour":                   {"..."},
}

func TestImportTable(t *testing.T) {
	t.Parallel()
	err := filepath.WalkDir(".", func(dir string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		if name := d.Name(); dir != "." && (strings.HasPrefix(name, ".") || name == "testdata" || name == "bin" || name == "docs") {
			return fs.SkipDir
		}
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil && dir != "." {
			return fs.SkipDir // a module of its own
		}
		pkg, err := build.ImportDir(dir, build.IgnoreVendor)
		if _, none := err.(*build.NoGoError); none || dir == "." {
			return nil
		} else if err != nil {
			return err
		}
		dir = filepath.ToSlash(dir)
		allowed, listed := mayImport[dir]
		if !listed {
			t.Errorf("package %s is not in the import table: decide where it belongs", dir)
		}
		for _, imp := range pkg.Imports {
			if ours, ok := strings.CutPrefix(imp, "detour/"); ok && !permits(allowed, ours) {
				t.Errorf("%s imports %s, which the import table forbids", dir, ours)
			}
		}
		if pkg.Doc == "" {
			t.Errorf("package %s has no package comment", dir)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func permits(allowed []string, imp string) bool {
	return slices.ContainsFunc(allowed, func(a string) bool {
		if a == "..." {
			return !strings.HasPrefix(imp, "cmd/")
		}
		if tree, ok := strings.CutSuffix(a, "/..."); ok {
			return strings.HasPrefix(imp, tree+"/")
		}
		return a == imp
	})
}
