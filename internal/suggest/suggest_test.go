package suggest_test

import (
	"testing"

	"detour/internal/suggest"
)

func TestNearest(t *testing.T) {
	t.Parallel()
	known := []string{"round_robin", "fill_first", "least_used", "work"}
	for wrote, want := range map[string]string{
		"round-robin": "round_robin", "Round_Robin": "round_robin", "wrok": "work", "fil_first": "fill_first", "leastused": "least_used",
		"something else": "", "": "", "wo": "",
	} {
		if got := suggest.Nearest(wrote, known); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", wrote, got, want)
		}
	}
}

func TestDistanceIsBoundedOnLongNames(t *testing.T) {
	t.Parallel()
	long := string(make([]byte, 1<<20))
	if d := suggest.Distance(long, "abc"); d != 64 {
		t.Errorf("got %d", d)
	}
}
