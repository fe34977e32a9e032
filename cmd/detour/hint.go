package main

import (
	"errors"
	"syscall"

	"detour/ca"
	"detour/internal/app"
	"detour/providers"
)

// hintFor says what to do about an error, in one sentence, or "".
func hintFor(err error) string {
	if e, ok := errors.AsType[*exitError](err); ok && e.hint != "" {
		return e.hint
	}
	if e, ok := errors.AsType[*app.ConfigError](err); ok {
		return e.Hint
	}
	if e, ok := errors.AsType[*ca.Error](err); ok {
		return e.Hint
	}
	if e, ok := errors.AsType[*providers.Error](err); ok && e.Hint != "" {
		return e.Hint
	}
	switch {
	case errors.Is(err, app.ErrNoAccounts):
		return "sign in with `detour login`, or take over a sign-in with `detour import --from gh`"
	case errors.Is(err, syscall.EADDRINUSE):
		return "another program, perhaps another detour, listens there; stop it or choose another --port"
	}
	return ""
}
