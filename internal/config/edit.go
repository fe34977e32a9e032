package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"unicode/utf8"

	"detour/internal/privfile"
)

// ErrNotSet says that there was nothing to remove.
var ErrNotSet = errors.New("not set in the file")

// Set gives a setting of config.toml a value, both as a person types them: Set(file, "server.port", "8080"). Quotes
// are needed around neither, though a name in a table may have them, as in models.alias."gpt-4.1". A list takes one
// element, or a TOML list in brackets. A missing file is made. Only the bytes of the value change. The result is
// checked as Load does; if it has mistakes the file stays as it was and the error is *Invalid, except that an edit
// which leaves fewer mistakes than there were is accepted. A name that is no setting is *UnknownKey.
func Set(file, key, value string) error { return setIn(file, "", key, value) }

// SetAccount is Set for the [[accounts]] block with the id, in config.toml or accounts.toml. The key is "tier" or
// "settings.user_agent". The error is fs.ErrNotExist when there is no such account.
func SetAccount(file, id, key, value string) error { return setIn(file, id, key, value) }

// Add appends one element to a list, unless it is there already.
func Add(file, key, value string) error {
	return editFile(file, func(e *editor, f *parsed) (path, error) {
		t, err := f.target("", key)
		if err != nil {
			return nil, err
		}
		if t.entry || (t.row.kind != list && t.row.kind != integers && t.row.kind != prefixes) {
			return nil, fmt.Errorf("add to %s: it is not a list", key)
		}
		elements, _ := lookup(f.values, t.path).([]any)
		if elements == nil {
			v, err := literalValue(t.row.literal(t.row.Default))
			if err != nil {
				return nil, err
			}
			elements, _ = v.([]any)
		}
		one, err := literalValue(t.row.elementLiteral(value))
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(elements, func(e any) bool { return render(e) == render(one) }) {
			return t.path, nil
		}
		if found, err := e.appendElement(t.path, render(one)); found || err != nil {
			return t.path, err
		}
		return t.path, e.set(t.path, render(append(slices.Clone(elements), one)))
	}, key, value)
}

// Unset removes a setting, so that its default holds again. Naming a table removes all of it. Unlike Set it takes
// names that are no settings, to repair a file. The error is ErrNotSet when the file does not have it.
func Unset(file, key string) error { return unsetIn(file, "", key) }

// UnsetAccount is Unset for the [[accounts]] block with the id.
func UnsetAccount(file, id, key string) error { return unsetIn(file, id, key) }

func setIn(file, account, key, value string) error {
	return editFile(file, func(e *editor, f *parsed) (path, error) { return e.setKey(f, account, key, value) }, key, value)
}

// setKey sets a setting that a person named to what they typed.
func (e *editor) setKey(f *parsed, account, key, value string) (path, error) {
	t, err := f.target(account, key)
	if err != nil {
		return nil, err
	}
	literal := quote(value)
	if !t.entry {
		literal = t.row.literal(value)
	}
	return t.path, e.set(t.path, literal)
}

func unsetIn(file, account, key string) error {
	return editFile(file, func(e *editor, f *parsed) (path, error) {
		p, err := f.anyPath(account, key)
		if err != nil {
			return nil, err
		}
		found, err := e.unset(p)
		if err == nil && !found {
			err = ErrNotSet
		}
		if err != nil {
			return nil, fmt.Errorf("unset %s: %w", key, err)
		}
		return p, nil
	}, key)
}

// editFile edits config.toml under its lock. typed are the texts that may go into the file. change returns the way to
// what it changed.
func editFile(name string, change func(*editor, *parsed) (path, error), typed ...string) error {
	for _, s := range typed {
		if !utf8.ValidString(s) {
			return errors.New("edit configuration: the name or value is not UTF-8 text")
		}
	}
	target, err := filepath.EvalSymlinks(name) // people keep config.toml elsewhere and link it
	if errors.Is(err, fs.ErrNotExist) {
		target, err = name, nil
	}
	if err != nil {
		return fmt.Errorf("edit configuration: %w", err)
	}
	unlock, err := privfile.Lock(target)
	if err != nil {
		return fmt.Errorf("edit configuration: %w", err)
	}
	defer unlock()
	old, _, err := privfile.ReadShared(target)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("edit configuration: %w", err)
	}
	data, err := edited(name, old, func(e *editor, f *parsed) (sameRest, error) {
		p, err := change(e, f)
		return func(before, after map[string]any) bool { return onlyChanged(before, after, p) }, err
	})
	if err != nil || bytes.Equal(data, old) {
		return err
	}
	if err := privfile.Write(target, data); err != nil {
		return fmt.Errorf("edit configuration: %w", err)
	}
	return nil
}

// sameRest reports whether an edit left alone what it was not about.
type sameRest func(before, after map[string]any) bool

// edited applies change to old and checks the outcome.
func edited(name string, old []byte, change func(*editor, *parsed) (sameRest, error)) ([]byte, error) {
	folder := filepath.Dir(name)
	before := parse(old, folder)
	if before.doc == nil {
		return nil, &Invalid{Path: name, Problems: before.problems}
	}
	e := &editor{doc: before.doc}
	same, err := change(e, before)
	if err != nil {
		return nil, err
	}
	data := e.doc.src
	after := parse(data, folder)
	if n := len(after.problems); n > 0 && (n >= len(before.problems) || after.doc == nil) {
		return nil, &Invalid{Path: name, Problems: after.problems}
	}
	if !same(before.values, after.values) {
		return nil, fmt.Errorf("edit %s: the change would touch other settings; edit the file by hand", name)
	}
	return data, nil
}
