package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"detour/internal/privfile"
)

// beside are the files that SQLite keeps next to its data base, with the modes of that.
func beside(path string) []string { return []string{path, path + "-wal", path + "-shm"} }

// dsn names a data base for the driver. The pragmas are applied in their order.
func dsn(path, mode string, pragmas ...string) string {
	p := filepath.ToSlash(path)
	if !strings.HasPrefix(p, "/") {
		p = "/" + p // a drive letter
	}
	q := url.Values{"mode": {mode}, "_txlock": {"immediate"}, "_pragma": pragmas}
	return (&url.URL{Scheme: "file", Path: p, OmitHost: true, RawQuery: q.Encode()}).String()
}

// openFile opens the data base at path for writing, and makes it if it is not there.
func openFile(ctx context.Context, path string) (*sql.DB, fs.FileInfo, error) {
	if err := prepare(path); err != nil {
		return nil, nil, err
	}
	pragmas := []string{"busy_timeout(5000)"}
	if info, err := os.Stat(path); err == nil && info.Size() == 0 {
		pragmas = append(pragmas, "auto_vacuum(incremental)") // counts before the first write, and is a write itself
	}
	pragmas = append(pragmas, "journal_mode(wal)", "synchronous(normal)", "journal_size_limit(4194304)", "cache_size(-512)", "temp_store(memory)")
	db, err := sql.Open("sqlite", dsn(path, "rw", pragmas...))
	if err != nil {
		return nil, nil, err
	}
	db.SetMaxOpenConns(1) // the one writer
	if err := migrate(ctx, db, path); err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	return db, info, nil
}

// prepare makes a private file in a private folder, or makes sure that what is there is private. SQLite gives the
// files beside it the same mode.
func prepare(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		return f.Close()
	}
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	return check(path)
}

// check refuses what other users could read or have put there.
func check(path string) error {
	dir, err := os.Stat(filepath.Dir(path))
	if err != nil {
		return err
	}
	if mode := dir.Mode(); runtime.GOOS != "windows" && mode.Perm()&0o022 != 0 && mode&fs.ModeSticky == 0 {
		return fmt.Errorf("other users may replace files in %s (mode %04o); run: chmod 700 %[1]s", filepath.Dir(path), mode.Perm())
	}
	for _, name := range beside(path) {
		info, err := os.Lstat(name)
		switch {
		case errors.Is(err, fs.ErrNotExist) && name != path:
			continue
		case err != nil:
			return err
		case !info.Mode().IsRegular():
			return fmt.Errorf("%s is not a regular file", name)
		}
		if err := privfile.CheckMode(name, info); err != nil {
			if loose, ok := errors.AsType[*privfile.LooseError](err); ok {
				return fmt.Errorf("other users may read or change %s (mode %04o); run: %s", name, loose.Mode.Perm(), loose.Fix())
			}
			return err
		}
	}
	return nil
}

// code is SQLite's primary result code, 0 for errors that are not its.
func code(err error) int {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code() & 0xff
	}
	return 0
}

func damaged(err error) bool {
	c := code(err)
	return c == sqlite3.SQLITE_CORRUPT || c == sqlite3.SQLITE_NOTADB
}

// setAside moves a damaged data base away, unless another process did it meanwhile. It returns its new name.
func setAside(ctx context.Context, path string, now time.Time) (string, error) {
	unlock, err := privfile.Lock(path)
	if err != nil {
		return "", err
	}
	defer unlock()
	if healthy(ctx, path) {
		return "", nil
	}
	to := fmt.Sprintf("%s.damaged-%s", path, now.UTC().Format("20060102T150405.000"))
	if err := os.Rename(path, to); err != nil {
		return "", err
	}
	for _, name := range beside(path)[1:] {
		if err := os.Rename(name, to+strings.TrimPrefix(name, path)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	return to, nil
}

// healthy tells whether there is a sound data base at path. It looks at every page, which only happens when one was
// found damaged.
func healthy(ctx context.Context, path string) bool {
	db, err := sql.Open("sqlite", dsn(path, "rw", "busy_timeout(5000)"))
	if err != nil {
		return false
	}
	defer db.Close()
	var verdict string
	err = db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&verdict)
	return err == nil && verdict == "ok"
}
