package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
)

// execError gives a program that could not be started the exit code that shells give it.
func execError(name string, err error) error {
	if err == nil {
		return nil
	}
	code := 126
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		code = 127
	}
	return &exitError{code: code, err: fmt.Errorf("run %s: %w", name, unnamed(err))}
}

// unnamed takes the name, which the message has already, off the error of a search.
func unnamed(err error) error {
	if e, ok := errors.AsType[*exec.Error](err); ok {
		return e.Err
	}
	return err
}
