package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"detour/internal/app"
	"detour/internal/config"
	"detour/internal/privfile"
)

// newFile is what the editor shows when there is no config.toml yet.
const newFile = "# Settings of detour. `detour config list` lists all of them with their defaults and meaning.\n"

func newConfigEdit(h *host) *cobra.Command {
	return &cobra.Command{
		Use: "edit", Short: "Edit config.toml in your editor", Args: cobra.NoArgs,
		Long: `Edit opens a private copy of config.toml in $VISUAL or $EDITOR, checks what you
saved, and then puts it in place of the file. If there are mistakes they are
listed; on a terminal you can go on editing, otherwise the file stays as it was
and your copy is kept beside it.`,
		RunE: func(c *cobra.Command, _ []string) error {
			paths, err := config.FindPaths(h.env)
			if err != nil {
				return err
			}
			return h.edit(c.Context(), paths.Config)
		},
	}
}

// edit lets the owner edit file.
func (h *host) edit(ctx context.Context, file string) (err error) {
	editor := cmp.Or(h.env("VISUAL"), h.env("EDITOR"))
	switch {
	case editor != "":
	case !h.inTTY:
		return usageError("edit %s: neither VISUAL nor EDITOR is set, and there is no terminal", file)
	case runtime.GOOS == "windows":
		editor = "notepad"
	default:
		editor = "vi"
	}
	target, err := filepath.EvalSymlinks(file) // people keep config.toml elsewhere and link it
	if errors.Is(err, fs.ErrNotExist) {
		target = file
	} else if err != nil {
		return fmt.Errorf("edit configuration: %w", err)
	}
	old, _, err := privfile.ReadShared(target)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("edit configuration: %w", err)
	}
	start := old
	if old == nil {
		start = []byte(newFile)
	}
	// Beside the file, because relative names in it are taken from its folder.
	copied, err := privateCopy(filepath.Dir(file), start)
	if err != nil {
		return fmt.Errorf("edit configuration: %w", err)
	}
	keep := false
	defer func() {
		if keep {
			fmt.Fprintf(h.err, "your edit is kept in %s\n", copied)
		} else {
			err = errors.Join(err, os.Remove(copied))
		}
	}()
	data, err := h.editUntilValid(ctx, editor, copied, file)
	if err != nil {
		keep = changed(copied, start)
		return err
	}
	if bytes.Equal(data, start) {
		fmt.Fprintln(h.err, "nothing was changed")
		return nil
	}
	if err := replace(target, old, data); err != nil {
		keep = true
		return fmt.Errorf("edit configuration: %w", err)
	}
	fmt.Fprintf(h.err, "changed %s\n", file)
	return nil
}

func changed(path string, start []byte) bool {
	data, err := os.ReadFile(path)
	return err != nil || !bytes.Equal(data, start)
}

func privateCopy(dir string, data []byte) (path string, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	f, err := os.CreateTemp(dir, "config.edit.*.toml") // mode 0600
	if err != nil {
		return "", err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Close()); err != nil {
		return "", errors.Join(err, os.Remove(f.Name()))
	}
	return f.Name(), nil
}

// editUntilValid runs the editor until there are no mistakes or the owner gives up.
func (h *host) editUntilValid(ctx context.Context, editor, copied, file string) ([]byte, error) {
	for {
		if err := h.runEditor(ctx, editor, copied); err != nil {
			return nil, err
		}
		data, _, err := privfile.ReadShared(copied)
		if err != nil {
			return nil, fmt.Errorf("read what was edited: %w", err)
		}
		err = h.check(copied)
		invalid, ok := errors.AsType[*config.Invalid](err)
		if !ok {
			return data, err
		}
		invalid.Path = file
		if !h.inTTY {
			return nil, invalid
		}
		for _, p := range invalid.Problems {
			fmt.Fprintf(h.err, "  %s\n", p)
		}
		fmt.Fprint(h.err, "There are mistakes. Edit again? [Y/n] ")
		answer, err := readAnswer(h.in)
		if err != nil || strings.HasPrefix(strings.ToLower(answer), "n") {
			return nil, invalid
		}
	}
}

// check finds the mistakes in a configuration, those too that only providers can tell.
func (h *host) check(file string) error {
	paths, err := config.FindPaths(h.env)
	if err != nil {
		return err
	}
	paths.Config = file
	cfg, err := config.Load(file)
	if err != nil {
		return err
	}
	u, err := app.NewUpstream(h.options(settings{paths, cfg}), nil)
	if invalid, ok := errors.AsType[*config.Invalid](err); ok && invalid.Path == file {
		return err
	}
	if err != nil {
		return nil // of what is not in this file
	}
	defer u.Close()
	return app.CheckPolicy(cfg, file, u)
}

// readAnswer reads one line byte by byte: what follows is the editor's.
func readAnswer(r io.Reader) (string, error) {
	var line []byte
	for b := make([]byte, 1); len(line) < 256; {
		n, err := r.Read(b)
		if n > 0 && b[0] == '\n' {
			return strings.TrimSpace(string(line)), nil
		}
		line = append(line, b[:n]...)
		if err != nil {
			return "", err
		}
	}
	return string(line), nil
}

// runEditor runs editor, which may have arguments, the way git does.
func (h *host) runEditor(ctx context.Context, editor, path string) error {
	argv := []string{"/bin/sh", "-c", editor + ` "$@"`, editor, path}
	if runtime.GOOS == "windows" {
		argv = append(strings.Fields(editor), path)
	}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.Env = h.in, h.out, h.err, h.environ
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return fmt.Errorf("run editor %s: %w", editor, err)
	}
	return nil
}

// replace writes data to file unless somebody else changed it meanwhile.
func replace(file string, old, data []byte) error {
	unlock, err := privfile.Lock(file)
	if err != nil {
		return err
	}
	defer unlock()
	now, _, err := privfile.ReadShared(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if !bytes.Equal(now, old) {
		return fmt.Errorf("%s was changed by another program meanwhile", file)
	}
	return privfile.Write(file, data)
}
