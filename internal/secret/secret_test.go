package secret_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"detour/internal/secret"
)

const value = "ghu_marker0123456789"

func TestNoRenderingRevealsTheValue(t *testing.T) {
	t.Parallel()
	type inner struct {
		Token  secret.String
		hidden secret.String
	}
	s := secret.New(value)
	v := struct {
		A  secret.String
		P  *secret.String
		In inner
		M  map[string]secret.String
		L  []secret.String
	}{s, &s, inner{s, s}, map[string]secret.String{"k": s}, []secret.String{s}}

	var out []string
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T %v"} {
		out = append(out, fmt.Sprintf(verb, s), fmt.Sprintf(verb, v), fmt.Sprintf(verb, &v), fmt.Sprintf(verb, fmt.Errorf("wrap %v: %w", s, fmt.Errorf("%v", v))))
	}
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	out = append(out, string(b))
	var logs bytes.Buffer
	for _, h := range []slog.Handler{slog.NewTextHandler(&logs, nil), slog.NewJSONHandler(&logs, nil)} {
		slog.New(h).Info("x", "token", s, "struct", v, "ptr", &s)
	}
	out = append(out, logs.String())

	hex := fmt.Sprintf("%x", value)
	for _, o := range out {
		if strings.Contains(o, "marker") || strings.Contains(strings.ToLower(o), hex) {
			t.Errorf("secret shown: %s", o)
		}
	}
}

func TestEqualAndZero(t *testing.T) {
	t.Parallel()
	if !secret.New("a").Equal(secret.New("a")) || secret.New("a").Equal(secret.New("b")) {
		t.Error("Equal is wrong")
	}
	if !(secret.String{}).IsZero() || secret.New("x").IsZero() {
		t.Error("IsZero is wrong")
	}
	var s secret.String
	if err := s.UnmarshalText([]byte("v")); err != nil || s.Reveal() != "v" {
		t.Errorf("UnmarshalText: %v", err)
	}
}

func TestMask(t *testing.T) {
	t.Parallel()
	s := secret.New("sk-abc")
	for text, want := range map[string]string{"": "", "nothing": "nothing", "sk-abc": "***", "key sk-abc, again sk-abc.": "key ***, again ***."} {
		if got := s.Mask(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
	if got := (secret.String{}).Mask("as it is"); got != "as it is" {
		t.Errorf("the empty credential masks: %q", got)
	}
}
