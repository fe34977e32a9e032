package config

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"detour/internal/privfile"
)

// Value is a setting with the value that holds.
type Value struct {
	Key    string // dotted; quoted where TOML needs it
	Value  string // as Set takes it; "***" for a credential
	Set    bool   // written in the file; else the default
	Line   int    // where, or 0
	Secret bool
}

// Get returns one setting of config.toml, which may be missing. An entry of a table that is not there is not Set.
// Mistakes elsewhere in the file do not matter as long as its syntax is right (*Invalid otherwise).
func Get(file, key string) (Value, error) { return getIn(file, "", key) }

// GetAccount is Get for the [[accounts]] block with the id. The error is fs.ErrNotExist when there is none.
func GetAccount(file, id, key string) (Value, error) { return getIn(file, id, key) }

func getIn(file, account, key string) (Value, error) {
	f, err := readFile(file)
	if err != nil {
		return Value{}, err
	}
	t, err := f.target(account, key)
	if err != nil {
		return Value{}, err
	}
	return f.value(t, key), nil
}

// List returns every setting in the order of Keys: each entry of a table by itself, and of accounts, rules and the like
// the settings that are written down, as "accounts[0].tier".
func List(file string) ([]Value, error) {
	f, err := readFile(file)
	if err != nil {
		return nil, err
	}
	var out []Value
	all := rows()
	for i := range all {
		r := &all[i]
		if r.at != nil {
			out = append(out, f.expand(target{row: r, path: dotted(r.Name)})...)
		}
	}
	for _, section := range append(blocks(), block{name: "accounts"}) {
		for n := range (&binder{file: f}).list(section.name) {
			for i := range all {
				r := &all[i]
				if r.at != nil || !strings.HasPrefix(r.Name, section.name+".") {
					continue
				}
				p := dotted(r.Name)
				p[0].elem = n
				for _, v := range f.expand(target{row: r, path: p}) {
					if v.Set {
						out = append(out, v)
					}
				}
			}
		}
	}
	return out, nil
}

func readFile(name string) (*parsed, error) {
	data, _, err := privfile.ReadShared(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	f := parse(data, "")
	if f.doc == nil {
		return nil, &Invalid{Path: name, Problems: f.problems}
	}
	return f, nil
}

// expand returns the value of t, or those of its entries when it is a table that has some.
func (f *parsed) expand(t target) []Value {
	if entries, ok := lookup(f.values, t.path).(map[string]any); ok && t.row.kind == table && len(entries) > 0 {
		var out []Value
		for _, k := range sortedKeys(entries) {
			p := t.path.child(k)
			out = append(out, f.value(target{row: t.row, path: p, entry: true}, p.String()))
		}
		return out
	}
	return []Value{f.value(t, t.path.String())}
}

func (f *parsed) value(t target, key string) Value {
	out := Value{Key: key, Secret: t.row.kind == secretText}
	v := lookup(f.values, t.path)
	switch {
	case v != nil:
		out.Value, out.Set, out.Line = plain(v), true, f.doc.lineOf(t.path)
	case !t.entry:
		out.Value = t.row.Default
	}
	if out.Secret && out.Value != "" {
		out.Value = "***"
	}
	return out
}
