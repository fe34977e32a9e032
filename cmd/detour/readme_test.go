package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// completeRoot is the command tree with what cobra adds when it runs.
func completeRoot() *cobra.Command {
	root := newRoot(&host{in: strings.NewReader(""), out: &bytes.Buffer{}, err: &bytes.Buffer{}})
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	return root
}

func document(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestREADMENamesEveryCommand compares the table of commands with the command tree.
func TestREADMENamesEveryCommand(t *testing.T) {
	t.Parallel()
	readme := document(t, "README.md")
	_, table, ok := strings.Cut(readme, "\n## Commands\n")
	if !ok {
		t.Fatal("README has no section Commands")
	}
	table, _, _ = strings.Cut(table, "\n## ")
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		if c.HasParent() && !strings.Contains(table, "`"+c.CommandPath()+"`") {
			t.Errorf("README's table of commands lacks `%s`", c.CommandPath())
		}
		for _, sub := range c.Commands() {
			if sub.IsAvailableCommand() && c.Name() != "completion" {
				walk(sub)
			}
		}
	}
	walk(completeRoot())
}

// TestEveryJSONIsDocumented looks for a section in docs/cli-json.md for every command that can print JSON.
func TestEveryJSONIsDocumented(t *testing.T) {
	t.Parallel()
	var documented []string
	for _, m := range regexp.MustCompile(`(?m)^## (.+)$`).FindAllStringSubmatch(document(t, "docs/cli-json.md"), -1) {
		for name := range strings.SplitSeq(m[1], ", ") {
			documented = append(documented, "detour "+name)
		}
	}
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		if c.Flags().Lookup("json") != nil && !slices.Contains(documented, c.CommandPath()) {
			t.Errorf("docs/cli-json.md does not say what `%s --json` prints", c.CommandPath())
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(completeRoot())
}

// TestDocumentsNameOnlyCommandsThatExist looks at every `detour …` in code of the documents and in the hints and
// examples of the commands themselves.
func TestDocumentsNameOnlyCommandsThatExist(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"README.md", "CHANGELOG.md", "docs/configuration.md", "docs/security.md", "docs/cli-json.md", "docs/architecture.md"} {
		lines := commandLines(document(t, name))
		for _, line := range lines {
			checkCommandLine(t, name, line)
		}
		t.Logf("%s names %d command lines", name, len(lines))
	}
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		for line := range strings.Lines(c.Example) {
			for _, found := range inShell(line) {
				checkCommandLine(t, "the examples of "+c.CommandPath(), found)
			}
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(newRoot(&host{in: strings.NewReader(""), out: &bytes.Buffer{}, err: &bytes.Buffer{}}))
}

// commandLines finds command lines of detour in code spans and in shell blocks.
func commandLines(text string) []string {
	var out []string
	for _, m := range regexp.MustCompile("(?ms)^```sh\n(.*?)^```$").FindAllStringSubmatch(text, -1) {
		for line := range strings.Lines(strings.ReplaceAll(m[1], "\\\n", " ")) {
			out = append(out, inShell(line)...)
		}
	}
	text = regexp.MustCompile("(?ms)^```.*?^```$").ReplaceAllString(text, "")
	for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(text, -1) {
		out = append(out, inShell(strings.Join(strings.Fields(m[1]), " "))...)
	}
	return out
}

// inShell finds detour where a shell would run it: at the beginning of a line, behind an operator, or in $( ).
func inShell(line string) []string {
	line = strings.TrimSpace(regexp.MustCompile(`(?:^|\s)#.*`).ReplaceAllString(line, ""))
	var out []string
	for _, m := range regexp.MustCompile(`(?:^|[;&|(]\s*|: )(detour(?: [^;&|()]*)?)`).FindAllStringSubmatch(line, -1) {
		out = append(out, strings.Trim(m[1], ` "`))
	}
	return out
}

// checkCommandLine checks the commands and flags of one line against the tree.
func checkCommandLine(t *testing.T, where, line string) {
	t.Helper()
	words := strings.Fields(line)[1:]
	c := completeRoot()
	for i, w := range words {
		if w == "--" {
			return
		}
		if name, isFlag := strings.CutPrefix(w, "-"); isFlag && name != "" {
			name, _, _ = strings.Cut(strings.TrimPrefix(name, "-"), "=")
			known := func(f *pflag.FlagSet) bool {
				return f.Lookup(name) != nil || len(name) == 1 && f.ShorthandLookup(name) != nil
			}
			if !slices.Contains([]string{"help", "h"}, name) && !known(c.Flags()) {
				t.Errorf("%s: `%s`: %s has no flag %s", where, line, c.CommandPath(), w)
			}
			continue
		}
		if !c.HasSubCommands() || i > 0 && strings.HasPrefix(words[i-1], "-") {
			continue
		}
		if w == "…" {
			return
		}
		sub := slices.IndexFunc(c.Commands(), func(s *cobra.Command) bool { return s.Name() == w || s.HasAlias(w) })
		if sub < 0 {
			t.Errorf("%s: `%s`: %s has no command %s", where, line, c.CommandPath(), w)
			return
		}
		c = c.Commands()[sub]
	}
}
