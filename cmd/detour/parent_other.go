//go:build !linux

package main

// parentName is not known here; $SHELL decides.
func parentName() string { return "" }
