// Package secret holds credentials in a type that cannot be printed.
//
// A String shows as "***" through fmt, slog, encoding/json and encoding/text, whatever the verb and however deep it
// is nested. The only way to the value is Reveal, so every place that uses a credential can be found by searching
// for that name.
package secret

import (
	"crypto/subtle"
	"fmt"
	"log/slog"
	"strings"
)

const mask = "***"

// String is a credential. The zero value is the empty credential. Compare with Equal.
//
// The value sits behind a pointer because fmt prints the unexported fields of a surrounding struct by reflection,
// without asking their methods: it then shows an address.
type String struct {
	_ [0]func() // not comparable: == would compare addresses
	p *string
}

// New wraps v.
func New(v string) String {
	if v == "" {
		return String{}
	}
	return String{p: &v}
}

// Reveal returns the credential itself. Its result must go to the wire or to a 0600 file and nowhere else.
func (s String) Reveal() string {
	if s.p == nil {
		return ""
	}
	return *s.p
}

// IsZero reports whether s is the empty credential.
func (s String) IsZero() bool { return s.p == nil }

// Equal compares in time that depends only on the lengths.
func (s String) Equal(o String) bool {
	return subtle.ConstantTimeCompare([]byte(s.Reveal()), []byte(o.Reveal())) == 1
}

// String implements fmt.Stringer. The empty credential shows as "", so that a missing one is seen to be missing.
func (s String) String() string {
	if s.p == nil {
		return ""
	}
	return mask
}

// Format implements fmt.Formatter, so that no verb, %#v and %x included, reaches the field.
func (s String) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(s.String())) }

// GoString implements fmt.GoStringer.
func (s String) GoString() string { return s.String() }

// LogValue implements slog.LogValuer.
func (s String) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText implements encoding.TextMarshaler; it masks, so a file that must hold the credential is written by
// code that says Reveal.
func (s String) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler, for reading configuration.
func (s *String) UnmarshalText(b []byte) error {
	*s = New(string(b))
	return nil
}

// Mask returns text with the secret hidden wherever it occurs in it.
func (s String) Mask(text string) string {
	if s.IsZero() || text == "" {
		return text
	}
	return strings.ReplaceAll(text, s.Reveal(), s.String())
}
