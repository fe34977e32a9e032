package dialecttest

import (
	"bytes"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"regexp"
	"testing"

	"detour/internal/dialect"
)

// CheckDamaged damages the stream in many ways that keep most of it readable, and asserts what holds for any bytes.
func (s Suite) CheckDamaged(t *testing.T, in []byte, rounds int) {
	t.Helper()
	r := rand.New(rand.NewPCG(1, uint64(len(in))))
	for round := range rounds {
		bad := in
		for range 1 + r.IntN(3) {
			bad = damage(r, bad)
		}
		s.CheckAny(t, bad)
		if t.Failed() {
			t.Fatalf("round %d: %q", round, bad)
		}
	}
}

// tokens finds what can be replaced inside JSON: strings, numbers, words, empty and simple containers.
var tokens = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|-?[0-9]+|null|true|false|\{\}|\[\]|\{[^{}\[\]]*\}|\[[^{}\[\]]*\]`)

// damage makes one change: a token replaced, a frame lost, repeated or moved, a byte changed or cut out.
func damage(r *rand.Rand, in []byte) []byte {
	frames := bytes.SplitAfter(in, []byte("\n\n"))
	i, j := r.IntN(len(frames)), r.IntN(len(frames))
	switch r.IntN(8) {
	case 0:
		frames[i] = nil
	case 1:
		frames[i] = append(bytes.Clone(frames[i]), frames[i]...)
	case 2:
		frames[i], frames[j] = frames[j], frames[i]
	case 3:
		if n := len(in); n > 0 {
			k := r.IntN(n)
			return append(bytes.Clone(in[:k]), in[k+1:]...)
		}
	default:
		spots := tokens.FindAllIndex(in, -1)
		if len(spots) == 0 {
			break
		}
		values := []string{`null`, `""`, `{}`, `[]`, `0`, `-1`, `7`, `1.5e3`, `[null]`, `{"a":1}`, `"x"`, `[{}]`, `true`}
		spot := spots[r.IntN(len(spots))]
		out := append(bytes.Clone(in[:spot[0]]), values[r.IntN(len(values))]...)
		return append(out, in[spot[1]:]...)
	}
	return bytes.Join(frames, nil)
}

// CheckRepair asserts that a repaired answer is JSON if it was, and needs no second repair.
func CheckRepair(t *testing.T, f dialect.Format, in []byte) {
	t.Helper()
	out, _ := f.Repair(bytes.Clone(in), Options())
	if json.Valid(in) != json.Valid(out) {
		t.Errorf("%q became %q", in, out)
	}
	if again, _ := f.Repair(bytes.Clone(out), Options()); !bytes.Equal(again, out) {
		t.Errorf("%q is mended to %q, then to %q", in, out, again)
	}
}

// CheckPeek asserts that an error of Peek says what a client needs, and that a body with it is not half read.
func CheckPeek(t *testing.T, f dialect.Format, in []byte) {
	t.Helper()
	p, err := f.Peek(in)
	failure, ok := errors.AsType[*dialect.Failure](err)
	switch {
	case err == nil:
		if p.Model == "" || p.Initiator == "" || !json.Valid(in) {
			t.Errorf("%q: %+v", in, p)
		}
		if again, _ := f.Peek(in); again != p {
			t.Errorf("%q: %+v, then %+v", in, p, again)
		}
	case !ok || failure.Status != 400 || failure.Message == "" || failure.Type != "invalid_request_error":
		t.Errorf("%q: error %#v", in, err)
	}
	if body := f.AppendError(nil, dialect.ParseFailure(400, "", in)); !json.Valid(body) {
		t.Errorf("%q: error body %q", in, body)
	}
}
