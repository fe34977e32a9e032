package providers_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"

	"detour/internal/dialect"
	"detour/providers"
)

func TestAsError(t *testing.T) {
	t.Parallel()
	typed := &providers.Error{Kind: providers.KindQuota}
	for name, tc := range map[string]struct {
		err  error
		want providers.Kind
	}{
		"typed":                 {typed, providers.KindQuota},
		"typed and wrapped":     {fmt.Errorf("attempt: %w", typed), providers.KindQuota},
		"canceled":              {fmt.Errorf("get: %w", context.Canceled), providers.KindCanceled},
		"deadline":              {context.DeadlineExceeded, providers.KindStalled},
		"timeout of the socket": {&net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}, providers.KindStalled},
		"refused":               {&net.OpError{Op: "dial", Err: errors.New("connection refused")}, providers.KindNetwork},
		"cut off":               {io.ErrUnexpectedEOF, providers.KindNetwork},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := providers.AsError(tc.err)
			if e.Kind != tc.want {
				t.Errorf("Kind %v, want %v", e.Kind, tc.want)
			}
			if !errors.Is(tc.err, typed) && !errors.Is(e, tc.err) {
				t.Error("the cause is lost")
			}
		})
	}
}

func TestErrorText(t *testing.T) {
	t.Parallel()
	e := &providers.Error{
		Kind: providers.KindModel, Failure: dialect.Failure{Status: 400, Message: "The requested model is not supported."},
		Err: errors.New("cause"),
	}
	if got, want := e.Error(), "model: upstream status 400: The requested model is not supported.: cause"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := (&providers.Error{}).Error(); got != "unknown" {
		t.Errorf("zero Error says %q", got)
	}
}

func TestEveryKindHasAName(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for k := providers.KindUnknown; k <= providers.KindCanceled; k++ {
		s := k.String()
		if seen[s] || strings.Contains(s, "(") {
			t.Errorf("kind %d is called %q", uint8(k), s)
		}
		seen[s] = true
	}
	if got := providers.Kind(200).String(); got != "kind(200)" {
		t.Errorf("unknown kind is called %q", got)
	}
}
