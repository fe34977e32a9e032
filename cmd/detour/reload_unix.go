//go:build unix

package main

import (
	"os"
	"os/signal"
	"syscall"
)

// notifyReload sends c what asks a running detour to read its files again.
func notifyReload(c chan<- os.Signal) { signal.Notify(c, syscall.SIGHUP) }
