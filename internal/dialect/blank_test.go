package dialect_test

import (
	"strings"
	"testing"

	"detour/internal/dialect"
)

func TestWhiteSpaceWithoutEnd(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		fragments []string // JSON texts
		want      bool
	}{
		"20 line breaks":              {[]string{`"{` + strings.Repeat(`\n`, 20) + `}"`}, false},
		"21 line breaks":              {[]string{`"{` + strings.Repeat(`\n`, 21) + `}"`}, true},
		"21 tabs":                     {[]string{`"` + strings.Repeat(`\t`, 21) + `"`}, true},
		"in pieces":                   {[]string{`"\n\n\n\n\n\n\n"`, `"\n\t\n\t\n\t\r"`, `"\n\n\n\n\n\n\n"`}, true},
		"with spaces between":         {[]string{`"` + strings.Repeat(`\n  `, 21) + `"`}, true},
		"spaces":                      {[]string{`"` + strings.Repeat(` `, 500) + `"`}, false},
		"with words between":          {[]string{`"` + strings.Repeat(`\n\n\n\n\n\n\n\n\n\nx`, 5) + `"`}, false},
		"line breaks inside a string": {[]string{`"{\"text\":\"` + strings.Repeat(`\\n`, 200) + `\"}"`}, false},
		"nothing":                     {[]string{`""`, ``, `"`}, false},
	} {
		var r dialect.BlankRun
		got := false
		for _, f := range tc.fragments {
			r.Add([]byte(f))
			got = got || r.Runaway()
		}
		if got != tc.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestTheTextOfAWrappedTool(t *testing.T) {
	t.Parallel()
	for arguments, want := range map[string]string{
		`{"input":"a\nb"}`:                            "a\nb",
		`{"patch":"p"}`:                               "p",
		`{"diff":"d"}`:                                "d",
		`{"command":["apply_patch","c"]}`:             "c",
		`{"command":["bash","-lc","x"]}`:              `{"command":["bash","-lc","x"]}`,
		`{"command":"c"}`:                             `{"command":"c"}`,
		`{"input":"i","patch":"p"}`:                   "i",
		`{"input":5,"patch":"p"}`:                     "p",
		"*** Begin Patch\n*** End Patch":              "*** Begin Patch\n*** End Patch",
		`{"other":"x"}`:                               `{"other":"x"}`,
		string(dialect.Wrap("\"quotes\" and <tags>")): "\"quotes\" and <tags>",
		``: ``,
	} {
		if got := string(dialect.Unwrap([]byte(arguments))); got != want {
			t.Errorf("%s: %q, want %q", arguments, got, want)
		}
	}
}
