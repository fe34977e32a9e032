package config

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/BurntSushi/toml"

	"detour/internal/privfile"

	"detour/internal/suggest"
)

// maxFile bounds a configuration file, and with it how deep its lists can nest.
const maxFile = 256 << 10

// Load reads config.toml. A missing file gives the defaults. Mistakes are all reported in one *Invalid, in which case
// there is no Config; a file that cannot be read gives another error. Relative file names in it are taken from its
// folder, and "~/" from the user's home.
func Load(file string) (*Config, error) {
	data, info, err := privfile.ReadShared(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Default(filepath.Dir(file)), nil
	case err != nil:
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	f := parse(data, filepath.Dir(file))
	for i := range f.config.Accounts {
		f.config.Accounts[i].Source = filepath.Base(file)
	}
	if f.config.hasSecrets() {
		if p, bad := looseProblem(file, info); bad {
			f.problems = append([]Problem{p}, f.problems...)
		}
	}
	if len(f.problems) > 0 {
		return nil, &Invalid{Path: file, Problems: f.problems}
	}
	return f.config, nil
}

// Default is the configuration of an empty file in folder.
func Default(folder string) *Config { return parse(nil, folder).config }

func looseProblem(file string, info fs.FileInfo) (Problem, bool) {
	err := privfile.CheckMode(file, info)
	if err == nil {
		return Problem{}, false
	}
	if loose, ok := errors.AsType[*privfile.LooseError](err); ok {
		return Problem{
			Message:    fmt.Sprintf("holds credentials but other users may read or change it (mode %04o)", loose.Mode.Perm()),
			Suggestion: "run: " + loose.Fix(),
		}, true
	}
	return Problem{Message: err.Error()}, true
}

func (c *Config) hasSecrets() bool {
	if strings.Contains(c.Proxy.URL.Reveal(), "@") {
		return true
	}
	return slices.ContainsFunc(c.Accounts, func(a Account) bool {
		return !a.RefreshToken.IsZero() || !a.AccessToken.IsZero() || !a.APIKey.IsZero() || !a.GitHubToken.IsZero()
	})
}

// parsed is a text with everything that is known about it. config is complete even when there are problems: what is
// wrong keeps its default.
type parsed struct {
	config   *Config
	problems []Problem
	values   map[string]any // as decoded; nil when the syntax is wrong
	doc      *document      // nil when the syntax is wrong
}

func parse(data []byte, folder string) *parsed {
	f := &parsed{config: &Config{}}
	b := &binder{rows: rows(), file: f}
	b.defaults()
	if p, ok := f.decode(data); ok {
		b.table("", nil, f.values)
		b.blocks()
		b.accounts()
		b.file.config.absolute(b.rows, folder)
		f.problems = append(f.problems, crossCheck(f)...)
	} else {
		f.problems = []Problem{p}
	}
	slices.SortStableFunc(f.problems, func(a, b Problem) int { return cmp.Compare(a.Line, b.Line) })
	return f
}

// decode fills values and doc.
func (f *parsed) decode(data []byte) (Problem, bool) {
	if len(data) > maxFile {
		return Problem{Message: fmt.Sprintf("is larger than %s", formatSize(maxFile))}, false
	}
	if i := invalidUTF8(data); i >= 0 {
		return Problem{Line: 1 + strings.Count(string(data[:i]), "\n"), Message: "is not UTF-8 text"}, false
	}
	doc, scan := newDocument(data)
	if scan != nil && errors.Is(scan, errDeep) {
		return Problem{Line: scan.line, Message: scan.Error()}, false // before the TOML library meets it
	}
	values := map[string]any{}
	if _, err := toml.Decode(string(data), &values); err != nil {
		return syntaxProblem(err), false
	}
	if scan != nil {
		return Problem{Line: scan.line, Message: scan.Error()}, false
	}
	f.values, f.doc = values, doc
	return Problem{}, true
}

func invalidUTF8(data []byte) int {
	for i := 0; i < len(data); {
		r, n := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return -1
}

// syntaxProblem words a parser's error without the text that it quotes from the file: an unquoted token would be in it.
func syntaxProblem(err error) Problem {
	pe, ok := errors.AsType[toml.ParseError](err)
	if !ok {
		return Problem{Message: "is not valid TOML"}
	}
	p := Problem{Line: pe.Position.Line, Message: strings.ToLower(pe.Message[:min(1, len(pe.Message))]) + pe.Message[min(1, len(pe.Message)):]}
	if strings.HasPrefix(pe.Message, "expected value but found") {
		p.Message = "this is not a value"
		p.Suggestion = "text needs double quotes"
		return p
	}
	if strings.Contains(pe.Message, "has already been defined") || strings.Contains(pe.Message, "was already created") {
		return p // quotes keys only
	}
	p.Message = strings.ReplaceAll(p.Message, `but got '\x00' instead`, "but the file ends")
	// Single characters stand in single quotes; keeping them keeps the sense of the message.
	p.Message = regexp.MustCompile(`'(?:\\'|[^']{1,4})'|"[^"]{4,}"|'[^']{5,}'|\S*\d{4}\S*`).ReplaceAllStringFunc(p.Message, func(s string) string {
		if s[0] == '\'' && len(s) <= len("'\\x00'") {
			return s
		}
		return "this"
	})
	return p
}

// absolute makes the file names of c absolute.
func (c *Config) absolute(rows []row, folder string) {
	for i := range rows {
		if r := &rows[i]; r.path {
			name := r.at(c).(*string)
			*name = absolutePath(*name, folder)
		}
	}
}

func absolutePath(name, folder string) string {
	if name == "" || filepath.IsAbs(name) {
		return name
	}
	if rest, ok := strings.CutPrefix(name, "~/"); ok {
		if home, err := os.UserHomeDir(); err == nil {
			return filepath.Join(home, rest)
		}
	}
	name = filepath.Join(folder, name)
	if abs, err := filepath.Abs(name); err == nil {
		return abs
	}
	return name
}

// binder carries decoded values into a Config by the rows.
type binder struct {
	rows []row
	file *parsed
}

func (b *binder) row(name string) *row {
	for i := range b.rows {
		if b.rows[i].Name == name {
			return &b.rows[i]
		}
	}
	return nil
}

func (b *binder) isSection(name string) bool {
	return slices.ContainsFunc(b.rows, func(r row) bool { return strings.HasPrefix(r.Name, name+".") })
}

func (b *binder) complain(p path, m *mistake) {
	b.file.problems = append(b.file.problems, Problem{
		Line: b.file.doc.lineOf(p), Key: p.String(), Message: m.message, Suggestion: m.suggestion,
	})
}

func (b *binder) defaults() {
	for i := range b.rows {
		if r := &b.rows[i]; r.at != nil {
			r.fill(r.at(b.file.config))
		}
	}
}

// fill stores the row's default.
func (r *row) fill(dst any) {
	if r.Default == "" && r.kind != text {
		return
	}
	v, err := literalValue(r.literal(r.Default))
	if err != nil {
		return
	}
	_ = r.store(dst, v) // a test checks that every default is accepted
}

// table takes the values of one table. name is its dotted name, "" for the root.
func (b *binder) table(name string, at path, values map[string]any) {
	for _, k := range slices.Sorted(maps.Keys(values)) {
		full := strings.TrimPrefix(name+"."+k, ".")
		p := at.child(k)
		switch r := b.row(full); {
		case full == "accounts", isBlock(full):
		case r != nil && r.at != nil:
			b.value(r, p, r.at(b.file.config), values[k])
		case b.isSection(full):
			sub, ok := values[k].(map[string]any)
			if !ok {
				b.complain(p, wrongType("a table", values[k], "write ["+full+"]"))
				continue
			}
			b.table(full, p, sub)
		default:
			b.unknown(name, k, p)
		}
	}
}

func (b *binder) value(r *row, p path, dst, v any) {
	if elements, ok := v.([]any); ok && (r.kind == list || r.kind == integers || r.kind == prefixes) {
		for _, m := range r.storeList(dst, elements) {
			b.complain(p, m)
		}
		return
	}
	m := r.store(dst, v)
	if m == nil {
		return
	}
	if sub, ok := v.(map[string]any); ok && r.kind == table {
		for _, k := range slices.Sorted(maps.Keys(sub)) { // each bad entry with its own line
			if m := r.entry(k, sub[k]); m != nil {
				b.complain(p.child(k), m)
			}
		}
		return
	}
	b.complain(p, m)
}

// unknown reports a name that is no setting, with the likely one.
func (b *binder) unknown(section, name string, p path) {
	m := &mistake{message: "there is no such setting"}
	siblings, elsewhere := b.names(section, name)
	if n := suggest.Nearest(name, siblings); n != "" {
		m.suggestion = "did you mean " + n + "?"
	} else if elsewhere != "" {
		m.suggestion = "it belongs to [" + elsewhere + "]"
	}
	b.complain(p, m)
}

// names lists what may stand in section, and finds another section that has name.
func (b *binder) names(section, name string) (siblings []string, elsewhere string) {
	for i := range b.rows {
		full := b.rows[i].Name
		if rest, ok := strings.CutPrefix(full, section+"."); ok || section == "" {
			if section == "" {
				rest = full
			}
			first, _, _ := strings.Cut(rest, ".")
			siblings = append(siblings, first)
		}
		if i := strings.LastIndexByte(full, '.'); elsewhere == "" && full[i+1:] == name {
			elsewhere = full[:i]
		}
	}
	return slices.Compact(siblings), elsewhere
}
