//go:build !unix

package main

import "os"

// notifyReload does nothing: there is no such signal. Changes of the files are seen all the same.
func notifyReload(chan<- os.Signal) {}
