package shellenv_test

import (
	"flag"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite golden files")

// dumpVar makes the test binary print its environment instead of running tests: the program that shells start.
const dumpVar = "SHELLENV_TEST_DUMP"

func TestMain(m *testing.M) {
	if os.Getenv(dumpVar) != "" {
		os.Stdout.WriteString(strings.Join(os.Environ(), "\x00"))
		return
	}
	os.Exit(m.Run())
}
