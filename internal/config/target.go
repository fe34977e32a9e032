package config

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"detour/internal/suggest"
)

// UnknownKey is a name that is no setting.
type UnknownKey struct {
	Key        string
	Suggestion string // or ""
}

// Error implements error.
func (e *UnknownKey) Error() string {
	if e.Suggestion != "" {
		return fmt.Sprintf("there is no setting %s (%s)", e.Key, e.Suggestion)
	}
	return "there is no setting " + e.Key
}

// target is a setting that a person named.
type target struct {
	row   *row
	path  path
	entry bool // path is an entry of the row's table
}

// target finds a setting; account is the id of the account that it belongs to, or "".
func (f *parsed) target(account, key string) (target, error) {
	all := rows()
	b := binder{rows: all, file: f}
	base, prefix := path(nil), ""
	if account != "" {
		p, ok := f.accountPath(account)
		if !ok {
			return target{}, missingAccount(account)
		}
		base, prefix = p, "accounts."
	}
	full := prefix + key
	for i := range all {
		r := &all[i]
		if r.in != nil || (r.of != nil) != (account != "") {
			continue
		}
		at := base
		for _, s := range dotted(strings.TrimPrefix(r.Name, prefix)) {
			at = at.child(s.key)
		}
		if r.Name == full {
			return target{row: r, path: at}, nil
		}
		if name, ok := strings.CutPrefix(full, r.Name+"."); ok && r.kind == table {
			name, err := entryName(name)
			if err != nil {
				return target{}, fmt.Errorf("%s: %w", key, err)
			}
			return target{row: r, path: at.child(name), entry: true}, nil
		}
	}
	unknown := &UnknownKey{Key: key}
	if strings.HasPrefix(key, "accounts.") {
		unknown.Suggestion = "name the account that it belongs to"
		return target{}, unknown
	}
	if section, _, _ := strings.Cut(key, "."); isBlock(section) && account == "" {
		unknown.Suggestion = "[[" + section + "]] blocks are written with `detour config edit`"
		return target{}, unknown
	}
	var names []string
	for i := range all {
		if all[i].in == nil && (all[i].of != nil) == (account != "") {
			names = append(names, strings.TrimPrefix(all[i].Name, prefix))
		}
	}
	if n := suggest.Nearest(key, names); n != "" {
		unknown.Suggestion = "did you mean " + n + "?"
	} else if _, elsewhere := b.names("", key); elsewhere != "" && account == "" {
		unknown.Suggestion = "did you mean " + elsewhere + "." + key + "?"
	}
	return target{}, unknown
}

// entryName reads the name of a table's entry. Tables hold strings only, so an unquoted dot can only be part of it.
func entryName(name string) (string, error) {
	if name == "" || (name[0] != '"' && name[0] != '\'') {
		if name == "" {
			return "", errors.New("the name is missing")
		}
		return name, nil
	}
	s := scanner{src: []byte(name)}
	k, err := s.key()
	if err != nil || s.pos != len(name) {
		return "", errors.New("the quotes do not match")
	}
	return k, nil
}

// anyPath finds a setting, or any other name as TOML writes it.
func (f *parsed) anyPath(account, key string) (path, error) {
	t, err := f.target(account, key)
	if err == nil {
		return t.path, nil
	}
	unknown, ok := errors.AsType[*UnknownKey](err)
	if !ok {
		return nil, err
	}
	s := scanner{src: []byte(key)}
	keys, scan := s.keys()
	if scan != nil || s.pos != len(key) {
		return nil, unknown
	}
	var p path
	if account != "" {
		p, _ = f.accountPath(account)
	} else if keys[0] == "accounts" || isBlock(keys[0]) {
		return nil, unknown
	}
	for _, k := range keys {
		p = p.child(k)
	}
	if f.doc.lineOf(p) == 0 {
		return nil, unknown
	}
	return p, nil
}

// accountPath returns the way to the account with the id.
func (f *parsed) accountPath(id string) (path, bool) {
	for i, a := range f.config.Accounts {
		if a.ID == id {
			return path{{"accounts", i}}, true
		}
	}
	return nil, false
}

func missingAccount(id string) error {
	return fmt.Errorf("no account %s: %w", quote(id), fs.ErrNotExist)
}

// lookup returns the value at p, or nil.
func lookup(values map[string]any, p path) any {
	var v any = values
	for _, s := range p {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[s.key]
		if s.elem < 0 {
			continue
		}
		switch l := v.(type) {
		case []map[string]any:
			if s.elem >= len(l) {
				return nil
			}
			v = l[s.elem]
		case []any:
			if s.elem >= len(l) {
				return nil
			}
			v = l[s.elem]
		}
	}
	return v
}
