// Package clientkey makes and checks the keys that detour itself issues to tools and to other devices on the network.
//
// A key is shown once, when it is made. What stays on disk is its SHA-256 hash, which is enough to recognise it: a
// key holds 256 random bits, so there is nothing to guess and no need for a slow hash. The file is private, and
// changes to it hold a lock and replace it as a whole.
package clientkey

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"slices"
	"strings"
	"time"
	"unicode"

	"detour/internal/privfile"
	"detour/internal/secret"
)

// Prefix begins every key, so that people and secret scanners know one when they see it.
const Prefix = "dtr_"

// digits is how many base-62 digits 256 bits take.
const digits = 43

// Scope says which door a key opens.
type Scope string

// The scopes.
const (
	ScopeAll   Scope = "all"
	ScopeAPI   Scope = "api"
	ScopeProxy Scope = "proxy"
)

// Key is what is known about a key that was issued. It does not contain the key.
type Key struct {
	ID      string    `json:"id"`   // 8 hexadecimal digits
	Name    string    `json:"name"` // unique
	Scope   Scope     `json:"scope"`
	Created time.Time `json:"created"`
	Last4   string    `json:"last4"` // the key's last four characters
	Limits
}

// Limits are what a key may use. Empty lists allow everything.
type Limits struct {
	Providers []string `json:"providers,omitempty"`
	Models    []string `json:"models,omitempty"` // * stands for any text
	Accounts  []string `json:"accounts,omitempty"`
}

// Opens reports whether the key may be used at a door.
func (k Key) Opens(door Scope) bool { return k.Scope == ScopeAll || k.Scope == door }

// entry is a Key in the file.
type entry struct {
	Key
	SHA256 string `json:"sha256"` // hexadecimal
	hash   [sha256.Size]byte
}

// file is keys.json.
type file struct {
	Keys []entry `json:"keys"`
}

// Create issues a key and stores its hash in the file at path, which it makes if need be. name tells people whose key
// it is; an empty scope is ScopeAll. The returned text is the only copy of the key.
func Create(path, name string, scope Scope, limits Limits) (Key, secret.String, error) {
	if scope == "" {
		scope = ScopeAll
	}
	if err := checkNew(name, scope, limits); err != nil {
		return Key{}, secret.String{}, fmt.Errorf("create client key: %w", err)
	}
	var random [32]byte
	_, _ = rand.Read(random[:]) // never fails; see crypto/rand
	body := new(big.Int).SetBytes(random[:]).Text(62)
	plain := Prefix + strings.Repeat("0", digits-len(body)) + body
	sum := sha256.Sum256([]byte(plain))
	var id [4]byte
	_, _ = rand.Read(id[:])
	e := entry{
		Key:    Key{ID: hex.EncodeToString(id[:]), Name: name, Scope: scope, Created: time.Now().UTC().Truncate(time.Second), Last4: plain[len(plain)-4:], Limits: limits},
		SHA256: hex.EncodeToString(sum[:]),
	}
	err := update(path, func(entries []entry) ([]entry, error) {
		for _, old := range entries {
			if old.Name == name {
				return nil, fmt.Errorf("a key named %q exists; revoke it or choose another name", name)
			}
			if old.ID == e.ID {
				return nil, errors.New("the random id is taken; try again")
			}
		}
		return append(entries, e), nil
	})
	if err != nil {
		return Key{}, secret.String{}, fmt.Errorf("create client key: %w", err)
	}
	return e.Key, secret.New(plain), nil
}

func checkNew(name string, scope Scope, limits Limits) error {
	if name == "" || len(name) > 64 || strings.TrimSpace(name) != name || strings.ContainsFunc(name, unicode.IsControl) {
		return errors.New("the name must have 1 to 64 bytes, no control characters, and no space at its ends")
	}
	if strings.Contains(name, Prefix) {
		return errors.New("the name looks like a key")
	}
	if !slices.Contains([]Scope{ScopeAll, ScopeAPI, ScopeProxy}, scope) {
		return fmt.Errorf("%q is not a scope; use all, api or proxy", string(scope))
	}
	for _, word := range slices.Concat(limits.Providers, limits.Models, limits.Accounts) {
		if word == "" || len(word) > 128 || strings.ContainsFunc(word, func(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) }) {
			return fmt.Errorf("%q cannot be the name of a provider, model or account", word)
		}
	}
	return nil
}

// List returns the keys that are in force, in the order in which they were made. A missing file has none.
func List(path string) ([]Key, error) {
	entries, _, err := read(path)
	if err != nil {
		return nil, err
	}
	keys := make([]Key, len(entries))
	for i, e := range entries {
		keys[i] = e.Key
	}
	return keys, nil
}

// Revoke ends the key with the id, or else the name, and returns what it was. Running doors refuse it from their next
// request on. The error is fs.ErrNotExist when there is no such key.
func Revoke(path, idOrName string) (Key, error) {
	var gone Key
	err := update(path, func(entries []entry) ([]entry, error) {
		i := slices.IndexFunc(entries, func(e entry) bool { return e.ID == idOrName })
		if i < 0 {
			i = slices.IndexFunc(entries, func(e entry) bool { return e.Name == idOrName })
		}
		if i < 0 {
			return nil, fmt.Errorf("there is no such key: %w", fs.ErrNotExist)
		}
		gone = entries[i].Key
		return slices.Delete(entries, i, i+1), nil
	})
	if err != nil {
		return Key{}, fmt.Errorf("revoke client key: %w", err)
	}
	return gone, nil
}

func update(path string, change func([]entry) ([]entry, error)) error {
	return privfile.Update(path, func(old []byte) ([]byte, error) {
		entries, err := decode(path, old)
		if err != nil {
			return nil, err
		}
		if entries, err = change(entries); err != nil {
			return nil, err
		}
		if entries == nil {
			entries = []entry{}
		}
		data, err := json.MarshalIndent(file{Keys: entries}, "", "  ")
		return append(data, '\n'), err
	})
}

func read(path string) ([]entry, fs.FileInfo, error) {
	data, info, err := privfile.Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read client keys: %w", err)
	}
	entries, err := decode(path, data)
	return entries, info, err
}

func decode(path string, data []byte) ([]entry, error) {
	if data == nil {
		return nil, nil
	}
	damaged := fmt.Errorf("read client keys: %s is damaged; restore it, or move it away and issue new keys", path)
	var f file
	if err := json.Unmarshal(data, &f); err != nil {
		return nil, damaged
	}
	for i := range f.Keys {
		sum, err := hex.DecodeString(f.Keys[i].SHA256)
		if err != nil || len(sum) != sha256.Size || f.Keys[i].ID == "" || f.Keys[i].Name == "" {
			return nil, damaged
		}
		copy(f.Keys[i].hash[:], sum)
	}
	return f.Keys, nil
}
