//go:build unix

package main

import (
	"os/exec"
	"os/signal"
	"syscall"
)

// become replaces this process by a program, so that signals, job control and the exit status are the program's own.
// It returns only when that fails.
func (h *host) become(argv, env []string) error {
	path, err := exec.LookPath(argv[0])
	if err != nil {
		return execError(argv[0], err)
	}
	signal.Reset() // what was ignored when we started stays ignored in the program
	return execError(argv[0], syscall.Exec(path, argv, env))
}
