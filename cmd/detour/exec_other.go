//go:build !unix

package main

import (
	"errors"
	"os"
	"os/exec"
	"os/signal"
)

// become runs a program and ends with its exit code: there is no way to be replaced by it here. The console sends an
// interrupt to the program as well, which decides itself what to make of it.
func (h *host) become(argv, env []string) error {
	child := exec.Command(argv[0], argv[1:]...) //nolint:noctx // the child decides itself when to end
	child.Stdin, child.Stdout, child.Stderr, child.Env = h.in, h.out, h.err, env
	swallowed := make(chan os.Signal, 1)
	signal.Notify(swallowed, os.Interrupt)
	defer signal.Stop(swallowed)
	err := child.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return &exitError{code: exit.ExitCode()}
	}
	return execError(argv[0], err)
}
