package clientkey

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync/atomic"
)

// Store checks presented keys against a file and notices when the file changes. It is safe for concurrent use.
type Store struct {
	path   string
	logger *slog.Logger
	now    atomic.Pointer[snapshot]
}

// snapshot is the content of the file at one time. It is never changed.
type snapshot struct {
	info    fs.FileInfo // nil when there was no file
	entries []entry     // none when the file could not be used
}

// Open returns a Store on the file at path, which need not exist. A file that cannot be used now is an error; one
// that becomes so later lets no key in until it is repaired, and is logged once. A nil logger discards.
func Open(path string, logger *slog.Logger) (*Store, error) {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	s := &Store{path: path, logger: logger}
	entries, info, err := read(path)
	if err != nil {
		return nil, err
	}
	s.now.Store(&snapshot{info, entries})
	return s, nil
}

// Verify returns the key that presented is, if it is one. It takes the same time for every wrong key of one length,
// and looks at the file's state, not its content, unless that changed.
func (s *Store) Verify(presented string) (Key, bool) {
	if !strings.HasPrefix(presented, Prefix) || len(presented) != len(Prefix)+digits {
		return Key{}, false // tells nothing that is not public
	}
	sum := sha256.Sum256([]byte(presented))
	entries := s.entries()
	found := -1
	for i := range entries {
		same := subtle.ConstantTimeCompare(sum[:], entries[i].hash[:])
		found = subtle.ConstantTimeSelect(same, i, found)
	}
	if found < 0 {
		return Key{}, false
	}
	return entries[found].Key, true
}

// Holds reports whether the key with the id is in force, for what was begun with it and lasts.
func (s *Store) Holds(id string) bool {
	return slices.ContainsFunc(s.entries(), func(e entry) bool { return e.ID == id })
}

// entries returns the keys in force. Several callers may meet a change at once and read the file each; whichever
// snapshot stays, the next call compares it with the file again.
func (s *Store) entries() []entry {
	last := s.now.Load()
	info, err := os.Lstat(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		info, err = nil, nil
	}
	if err == nil && unchanged(last.info, info) {
		return last.entries
	}
	entries, readInfo, readErr := read(s.path)
	if err == nil {
		err = readErr
	}
	next := &snapshot{info: readInfo, entries: entries}
	if err != nil {
		next = &snapshot{info: info} // fail closed until it changes again
		if last.entries != nil || !unchanged(last.info, info) {
			s.logger.Error("client keys unusable, refusing all", "err", err)
		}
	}
	s.now.Store(next)
	return next.entries
}

// unchanged compares all that a change of content or permissions alters: files are replaced, so the identity too.
func unchanged(a, b fs.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size() && a.Mode() == b.Mode() && os.SameFile(a, b)
}
