package config

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"detour/internal/privfile"
	"detour/internal/secret"
)

const accountsHead = "# Accounts that detour signed in to. This file holds credentials: keep it private.\n"

// LoadAccounts reads accounts.toml, which holds [[accounts]] blocks and nothing else. A missing file has none. The
// file must be private (*privfile.LooseError otherwise, with the command that repairs it); mistakes in it are
// *Invalid.
func LoadAccounts(file string) ([]Account, error) {
	data, _, err := privfile.Read(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read accounts: %w", err)
	}
	f := parse(data, filepath.Dir(file))
	if err := accountsOnly(file, f); err != nil {
		return nil, err
	}
	for i := range f.config.Accounts {
		f.config.Accounts[i].Source = filepath.Base(file)
	}
	return f.config.Accounts, nil
}

func accountsOnly(name string, f *parsed) error {
	problems := f.problems
	for _, k := range sortedKeys(f.values) {
		if k != "accounts" {
			p := path{{k, -1}}
			problems = append(problems, Problem{Line: f.doc.lineOf(p), Key: p.String(), Message: "does not belong in this file", Suggestion: "it goes to config.toml"})
		}
	}
	if len(problems) == 0 {
		return nil
	}
	return &Invalid{Path: name, Problems: problems, Hint: "repair the file, or move it away and sign in again"}
}

// LineOfAccount returns the line of the account with the id in file, or of its setting key, as in "settings.client_id".
// It returns 0 when it cannot be told: it is for messages.
func LineOfAccount(file, id, key string) int {
	data, _, err := privfile.ReadShared(file)
	if err != nil {
		return 0
	}
	f := parse(data, filepath.Dir(file))
	p, ok := f.accountPath(id)
	if !ok {
		return 0
	}
	if key != "" {
		p = append(p, dotted(key)...)
	}
	return f.doc.lineOf(p)
}

// LineOf returns the line of a setting in file, or of an entry of one that is a table; 0 when it cannot be told: it is
// for messages.
func LineOf(file, key string, entry ...string) int {
	data, _, err := privfile.ReadShared(file)
	if err != nil {
		return 0
	}
	p := dotted(key)
	for _, e := range entry {
		p = p.child(e)
	}
	return parse(data, filepath.Dir(file)).doc.lineOf(p)
}

// SaveAccount adds a to accounts.toml or replaces the account with the same id there. Other accounts, and comments,
// stay as they are. A file that LoadAccounts would refuse is left alone.
func SaveAccount(file string, a Account) error {
	if wrong, _ := checkID(a.ID); wrong != "" {
		return fmt.Errorf("save account: id %s", wrong)
	}
	return editAccounts(file, "save account", func(e *editor, f *parsed) (sameRest, error) {
		p, ok := f.accountPath(a.ID)
		if !ok {
			p = path{{"accounts", len(f.config.Accounts)}}
		}
		same := func(before, after map[string]any) bool { return onlyChanged(before, after, p) }
		return same, e.setAccount(p, &a)
	})
}

// RemoveAccount removes the account with the id from accounts.toml. The error is fs.ErrNotExist when there is none.
func RemoveAccount(file, id string) error {
	return editAccounts(file, "remove account", func(e *editor, f *parsed) (sameRest, error) {
		p, ok := f.accountPath(id)
		if !ok {
			return nil, missingAccount(id)
		}
		same := func(before, after map[string]any) bool {
			return maps.Equal(flatten(without(before, p[0].elem), nil, map[string]string{}), flatten(after, nil, map[string]string{}))
		}
		_, err := e.removeTable(p)
		return same, err
	})
}

// without returns values less the account at index i.
func without(values map[string]any, i int) map[string]any {
	out := maps.Clone(values)
	if l, ok := values["accounts"].([]map[string]any); ok {
		out["accounts"] = slices.Delete(slices.Clone(l), i, i+1)
	}
	return out
}

// SetAccountEnabled switches the account with the id on or off in accounts.toml. The error is fs.ErrNotExist when
// there is none.
func SetAccountEnabled(file, id string, enabled bool) error {
	return editAccounts(file, "change account", func(e *editor, f *parsed) (sameRest, error) {
		p, ok := f.accountPath(id)
		if !ok {
			return nil, missingAccount(id)
		}
		same := func(before, after map[string]any) bool { return onlyChanged(before, after, p) }
		if enabled {
			_, err := e.unset(p.child("enabled"))
			return same, err
		}
		return same, e.set(p.child("enabled"), "false")
	})
}

func editAccounts(name, verb string, change func(*editor, *parsed) (sameRest, error)) error {
	err := privfile.Update(name, func(old []byte) ([]byte, error) {
		if old == nil {
			old = []byte(accountsHead)
		}
		if err := accountsOnly(name, parse(old, filepath.Dir(name))); err != nil {
			return nil, err
		}
		return edited(name, old, change)
	})
	if err != nil {
		return fmt.Errorf("%s: %w", verb, err)
	}
	return nil
}

// setAccount writes every field of a at p.
func (e *editor) setAccount(p path, a *Account) error {
	all := accountRows()
	for i := range all {
		r := &all[i]
		at := p.child(dotted(r.Name)[1].key)
		if r.kind == table {
			if err := e.setTable(at, a.Settings); err != nil {
				return err
			}
			continue
		}
		literal, err := r.dump(r.of(a))
		if err != nil {
			return fmt.Errorf("%s: %w", at[1].key, err)
		}
		if literal == "" {
			_, err = e.unset(at)
		} else {
			err = e.set(at, literal)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// setTable makes the table at p hold entries and nothing else.
func (e *editor) setTable(p path, entries map[string]string) error {
	for _, it := range slices.Clone(e.doc.items) {
		if it.kind == header || len(it.path) != len(p)+1 || !it.path.hasPrefix(p) {
			continue
		}
		if _, keep := entries[it.path[len(p)].key]; !keep {
			if _, err := e.unset(it.path); err != nil {
				return err
			}
		}
	}
	for _, k := range sortedKeys(entries) {
		if !utf8.ValidString(k) || !utf8.ValidString(entries[k]) {
			return errors.New("a setting is not UTF-8 text")
		}
		if err := e.set(p.child(k), quote(entries[k])); err != nil {
			return err
		}
	}
	return nil
}

// dump writes an account's field as TOML; "" for one that need not be written. This is the place where credentials
// leave their type, on their way to a private file.
func (r *row) dump(field any) (string, error) {
	var s string
	switch v := field.(type) {
	case *string:
		s = *v
	case *secret.String:
		s = v.Reveal()
	case *[]string:
		if len(*v) == 0 {
			return "", nil
		}
		quoted := make([]string, len(*v))
		for i, s := range *v {
			if !utf8.ValidString(s) {
				return "", errors.New("not UTF-8 text")
			}
			quoted[i] = quote(s)
		}
		return "[" + strings.Join(quoted, ", ") + "]", nil
	case *inverted:
		if *v {
			return "false", nil
		}
		return "", nil
	case *time.Time:
		if v.IsZero() {
			return "", nil
		}
		return strconv.FormatInt(v.Unix(), 10), nil
	}
	if !utf8.ValidString(s) {
		return "", errors.New("not UTF-8 text")
	}
	if s == "" || (s == r.Default && r.Name != "accounts.provider") {
		return "", nil
	}
	return quote(s), nil
}
