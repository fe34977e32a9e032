package detour_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"detour/internal/config"
	"detour/internal/dialect"
	"detour/providers/all"
	"detour/providers/copilot"
	"detour/providers/keyed"
	"detour/router"
)

var update = flag.Bool("update", false, "rewrite the generated parts of the documents")

// eachFile calls do for every file that belongs to the repository, with its path from the root, separated by slashes.
func eachFile(t *testing.T, do func(path string)) {
	t.Helper()
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if slices.Contains([]string{".git", ".cache", "bin", "node_modules"}, d.Name()) {
				return fs.SkipDir
			}
			return nil
		}
		if d.Type().IsRegular() && path != "detour" && path != "coverage.out" && path != ".git" { // what `go build`, `make cover` and worktrees leave behind
			do(filepath.ToSlash(path))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// between splits a document at the lines <!-- name --> and <!-- /name -->.
func between(t *testing.T, path, name string) (before, inside, after string) {
	t.Helper()
	open, end := "<!-- "+name+" -->\n", "<!-- /"+name+" -->"
	before, rest, ok := strings.Cut(read(t, path), open)
	inside, after, found := strings.Cut(rest, end)
	if !ok || !found {
		t.Fatalf("%s has no part between %s and %s", path, strings.TrimSpace(open), end)
	}
	return before + open, inside, end + after
}

// checkGenerated compares a part of a document with what it has to be, and rewrites it with -update.
func checkGenerated(t *testing.T, path, name, want string) {
	t.Helper()
	before, got, after := between(t, path, name)
	if got == want {
		return
	}
	if *update {
		if err := os.WriteFile(path, []byte(before+want+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Errorf("the table %q of %s is not what the code says; run `go test . -run Docs -update` and review the diff", name, path)
}

func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }

func code(s string) string {
	if s == "" {
		return ""
	}
	return "`" + cell(s) + "`"
}

func TestDocsSettingsTable(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("| key | type | default | meaning |\n|---|---|---|---|\n")
	for _, k := range config.Keys() {
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", code(k.Name), cell(k.Type), code(k.Default), cell(k.Doc))
	}
	checkGenerated(t, "README.md", "config-keys", b.String())
}

func TestDocsAccountSettingsTable(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("| name | default | meaning |\n|---|---|---|\n")
	for _, s := range copilot.New(copilot.Options{}).Settings() {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", code(s.Name), code(s.Default), cell(s.Doc))
	}
	checkGenerated(t, "docs/configuration.md", "account-settings", b.String())
}

// TestDocsProvidersTable lists the providers that take a key as their services describe themselves.
func TestDocsProvidersTable(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("| provider | address | serves | variable |\n|---|---|---|---|\n")
	registry := all.Registry(copilot.New(copilot.Options{}), keyed.Options{})
	for _, name := range registry.Names() {
		p, ok := registry[name].(*keyed.Provider)
		if !ok {
			continue
		}
		var serves []string
		for e := range p.Paths {
			if e != dialect.EndpointModels && e != dialect.EndpointCountTokens {
				serves = append(serves, string(e))
			}
		}
		slices.Sort(serves)
		address := "yours"
		if p.Base != "" {
			address = code(p.Base)
		}
		fmt.Fprintf(&b, "| %s | %s | %s | `%s` |\n", code(name), address, strings.Join(serves, ", "), strings.Join(p.Variables, "`, `"))
	}
	checkGenerated(t, "README.md", "providers", b.String())
}

// TestDocsInterceptedTable asks the router for every path that its own table names, at every host that it says it
// serves, and compares what it serves itself with what README says.
func TestDocsInterceptedTable(t *testing.T) {
	t.Parallel()
	documented := interceptedTable(t)
	hosts := slices.Sorted(maps.Keys(documented))
	if want := slices.Sorted(slices.Values(router.InterceptHosts())); !slices.Equal(hosts, want) {
		t.Errorf("README lists the hosts %v, the router %v", hosts, want)
	}
	r := relayingRouter(t)
	for _, host := range router.InterceptHosts() {
		for _, op := range candidates(t) {
			method, path, _ := strings.Cut(op, " ")
			req := httptest.NewRequest(method, "https://"+host+":443"+strings.ReplaceAll(path, "{id}", "gpt-4o"), nil)
			answer := httptest.NewRecorder()
			r.ServeHTTP(answer, req)
			served := answer.Code != statusRelayed
			if says := documented[host][op]; says != served {
				t.Errorf("%s %s: README says served: %t, the router serves it: %t", host, op, says, served)
			}
		}
	}
}

// interceptedTable reads README's table: the operations, as in "POST /v1/responses", of each host.
func interceptedTable(t *testing.T) map[string]map[string]bool {
	t.Helper()
	_, table, _ := between(t, "README.md", "intercepted")
	name, operation := regexp.MustCompile("`([a-z0-9.*-]+)`"), regexp.MustCompile("`((?:GET|POST) (/[^`]*))`")
	out := map[string]map[string]bool{}
	for _, row := range strings.Split(strings.TrimSpace(table), "\n")[2:] {
		cells := strings.Split(row, "|")
		ops := map[string]bool{}
		for part := range strings.SplitSeq(cells[2], ";") { // "below `/v1` and `/x`: `POST /a`, `GET /b`"
			below, list, ok := strings.Cut(part, ": ")
			if !ok {
				t.Fatalf("README says of no prefix what is below it: %s", part)
			}
			for _, p := range regexp.MustCompile("`(/[^`]*)`").FindAllStringSubmatch(below, -1) {
				for _, m := range operation.FindAllStringSubmatch(list, -1) {
					ops[strings.Replace(m[1], m[2], strings.TrimSuffix(p[1], "/")+m[2], 1)] = true
				}
			}
		}
		for _, m := range name.FindAllStringSubmatch(cells[1], -1) {
			out[m[1]] = ops
		}
	}
	return out
}

// candidates lists every operation that the router's source mentions, behind every prefix that it mentions, and some
// that must never be served.
func candidates(t *testing.T) []string {
	t.Helper()
	source := read(t, "router/operation.go")
	prefixes := []string{"", "/v1"}
	for _, m := range regexp.MustCompile(`"(/[a-z0-9/-]*[a-z0-9])"`).FindAllStringSubmatch(source, -1) {
		prefixes = append(prefixes, m[1])
	}
	var out []string
	add := func(op string) {
		method, path, _ := strings.Cut(op, " ")
		for _, p := range prefixes {
			out = append(out, method+" "+p+path)
		}
	}
	found := regexp.MustCompile(`"((?:GET|POST|PUT|DELETE) /[^"]*)"`).FindAllStringSubmatch(source, -1)
	if len(found) < 6 {
		t.Fatal("router/operation.go does not hold its table as text any more; this test has to follow")
	}
	for _, m := range found {
		add(m[1])
	}
	for _, op := range []string{
		"POST /models/{id}:generateContent", "POST /models/{id}:streamGenerateContent", "POST /models/{id}:countTokens",
		"GET /models/{id}", "GET /chat/completions", "POST /completions", "GET /files", "POST /files", "POST /messages/batches",
		"POST /audio/speech", "GET /responses/{id}", "POST /models", "POST /oauth/token", "POST /telemetry", "GET /wham/accounts/check", "POST /models/{id}:embedContent",
	} {
		add(op)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// statusRelayed is what every original host answers here.
const statusRelayed = 299

type relayed struct{}

func (relayed) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: statusRelayed, Body: http.NoBody, Header: http.Header{}}, nil
}

type unreachable struct{}

func (unreachable) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("no upstream here")
}

// relayingRouter has no accounts, so what it serves itself it refuses.
func relayingRouter(t *testing.T) *router.Router {
	t.Helper()
	r, err := router.New(router.Config{
		Upstream: unreachable{}, Relay1: relayed{}, Relay2: relayed{}, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// TestDocsTOMLBlocks loads every TOML block of every document.
func TestDocsTOMLBlocks(t *testing.T) {
	t.Parallel()
	block := regexp.MustCompile("(?ms)^```toml\n(.*?)^```$")
	eachFile(t, func(path string) {
		if !strings.HasSuffix(path, ".md") {
			return
		}
		for i, m := range block.FindAllStringSubmatch(read(t, path), -1) {
			file := filepath.Join(t.TempDir(), "config.toml")
			if err := os.WriteFile(file, []byte(m[1]), 0o600); err != nil {
				t.Fatal(err)
			}
			c, err := config.Load(file)
			if err != nil {
				t.Errorf("%s, TOML block %d: %v", path, i+1, err)
				continue
			}
			for _, n := range c.Notices {
				t.Errorf("%s, TOML block %d: %s", path, i+1, n)
			}
		}
	})
}

// TestDocsLinks checks that relative links lead to files of the repository, and to headings that exist.
func TestDocsLinks(t *testing.T) {
	t.Parallel()
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	eachFile(t, func(path string) {
		if !strings.HasSuffix(path, ".md") {
			return
		}
		for _, m := range link.FindAllStringSubmatch(withoutCode(read(t, path)), -1) {
			if regexp.MustCompile(`^[a-z]+:`).MatchString(m[1]) {
				continue
			}
			file, fragment, _ := strings.Cut(m[1], "#")
			target := path
			if file != "" {
				target = filepath.ToSlash(filepath.Join(filepath.Dir(path), file))
			}
			if _, err := os.Stat(target); err != nil || strings.HasPrefix(target, "..") {
				t.Errorf("%s links to %s, which is not there", path, m[1])
				continue
			}
			if fragment != "" && !slices.Contains(anchors(read(t, target)), fragment) {
				t.Errorf("%s links to %s, and there is no such heading", path, m[1])
			}
		}
	})
}

// withoutCode drops fenced blocks and code spans.
func withoutCode(document string) string {
	document = regexp.MustCompile("(?ms)^```.*?^```$").ReplaceAllString(document, "")
	return regexp.MustCompile("`[^`\n]*`").ReplaceAllString(document, "")
}

// anchors lists the fragments by which a document's headings can be reached, the way GitHub makes them.
func anchors(document string) []string {
	var out []string
	for _, m := range regexp.MustCompile(`(?m)^#+ (.+)$`).FindAllStringSubmatch(document, -1) {
		out = append(out, strings.Map(func(c rune) rune {
			switch {
			case c == ' ':
				return '-'
			case unicode.IsLetter(c), unicode.IsDigit(c), c == '-', c == '_':
				return unicode.ToLower(c)
			}
			return -1
		}, m[1]))
	}
	return out
}

// TestDocsNoTraces checks that no file names a place on the machine that it was written on.
func TestDocsNoTraces(t *testing.T) {
	t.Parallel()
	// In halves, for this file is searched too.
	trace := regexp.MustCompile(`/wo` + `rk/|bash_` + `jobs|(?:^|[^\w)])\.lib` + `rary\b`)
	eachFile(t, func(path string) {
		text := []byte(read(t, path))
		if at := trace.FindIndex(text); at != nil {
			t.Errorf("%s:%d holds %q", path, 1+bytes.Count(text[:at[0]], []byte("\n")), text[at[0]:at[1]])
		}
	})
}

// TestDocsCarryTheirTests checks that every test which a document names exists.
func TestDocsCarryTheirTests(t *testing.T) {
	t.Parallel()
	named := map[string][]string{} // by test, the documents
	defined := map[string]bool{}
	test, function := regexp.MustCompile("`((?:Test|Fuzz)[A-Z]\\w+)`"), regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	eachFile(t, func(path string) {
		switch {
		case strings.HasSuffix(path, ".md"):
			for _, m := range test.FindAllStringSubmatch(read(t, path), -1) {
				named[m[1]] = append(named[m[1]], path)
			}
		case strings.HasSuffix(path, "_test.go"):
			for _, m := range function.FindAllStringSubmatch(read(t, path), -1) {
				defined[m[1]] = true
			}
		}
	})
	for name, documents := range named {
		if !defined[name] {
			t.Errorf("%s names the test %s, which does not exist", strings.Join(documents, ", "), name)
		}
	}
	t.Log(strconv.Itoa(len(named)) + " tests are named in documents")
}

// TestDocsExitCodes checks that README and docs/cli-json.md list the same exit codes.
func TestDocsExitCodes(t *testing.T) {
	t.Parallel()
	numbers := func(pattern, text string) (out []string) {
		for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
			out = append(out, m[1])
		}
		return out
	}
	_, sentence, found := strings.Cut(strings.Join(strings.Fields(read(t, "README.md")), " "), "Exit codes:")
	sentence, _, ended := strings.Cut(sentence, ".")
	if !found || !ended {
		t.Fatal("README has no sentence that begins with Exit codes:")
	}
	readme, reference := numbers(`\b(\d+) `, sentence), numbers(`(?m)^\| (\d+) \|`, read(t, "docs/cli-json.md"))
	if len(readme) == 0 || !slices.Equal(readme, reference) {
		t.Errorf("README lists the exit codes %v, docs/cli-json.md %v", readme, reference)
	}
}

// TestDocsMakeTargets checks that every `make …` in the documents is a target of the Makefile.
func TestDocsMakeTargets(t *testing.T) {
	t.Parallel()
	makefile := read(t, "Makefile")
	eachFile(t, func(path string) {
		if !strings.HasSuffix(path, ".md") {
			return
		}
		for _, m := range regexp.MustCompile("(?m)(?:`|^)make ([a-z0-9]+)(?:`|$)").FindAllStringSubmatch(read(t, path), -1) {
			if !regexp.MustCompile(`(?m)^` + m[1] + `:`).MatchString(makefile) {
				t.Errorf("%s names `make %s`, which is no target", path, m[1])
			}
		}
	})
}
