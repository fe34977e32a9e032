package shellenv

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

var errNotUTF8 = errors.New("the value is not UTF-8")

// posixVar writes for sh, bash, zsh. Between single quotes nothing is special but the quote (POSIX.1, 2.2.2).
func posixVar(b *bytes.Buffer, v Var) error {
	if v.Unset {
		fmt.Fprintf(b, "unset %s;\n", v.Name)
		return nil
	}
	fmt.Fprintf(b, "export %s='%s';\n", v.Name, strings.ReplaceAll(v.Value, "'", `'\''`))
	return nil
}

// fishVar writes for fish, where a backslash between single quotes escapes a quote or a backslash.
func fishVar(b *bytes.Buffer, v Var) error {
	if v.Unset {
		fmt.Fprintf(b, "set -ge %s;\n", v.Name)
		return nil
	}
	fmt.Fprintf(b, "set -gx %s '%s';\n", v.Name, strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(v.Value))
	return nil
}

// pwshVar writes for PowerShell, which takes typographic quotes for plain ones; each is escaped by doubling.
func pwshVar(b *bytes.Buffer, v Var) error {
	if v.Unset {
		fmt.Fprintf(b, "Remove-Item -ErrorAction Ignore Env:%s;\n", v.Name)
		return nil
	}
	if !utf8.ValidString(v.Value) {
		return errNotUTF8
	}
	fmt.Fprintf(b, "$Env:%s = '", v.Name)
	for _, r := range v.Value {
		if r == '\'' || 0x2018 <= r && r <= 0x201b {
			b.WriteRune(r)
		}
		b.WriteRune(r)
	}
	b.WriteString("';\n")
	return nil
}

// cmdVar writes for cmd. Quotes around the whole assignment make &, |, <, > and ^ ordinary.
func cmdVar(b *bytes.Buffer, v Var) error {
	if strings.ContainsAny(v.Value, "\"%\r\n") {
		return errors.New(`cmd cannot carry ", % and line ends`)
	}
	fmt.Fprintf(b, "set \"%s=%s\"\r\n", v.Name, v.Value)
	return nil
}

// dotenvVar writes what readers of .env files agree on: bare words, and single quotes around text without single
// quotes, line ends and backslashes that could pass for escapes.
func dotenvVar(b *bytes.Buffer, v Var) error {
	if !utf8.ValidString(v.Value) {
		return errNotUTF8
	}
	if v.Value != "" && strings.IndexFunc(v.Value, func(r rune) bool { return !dotenvBare(r) }) < 0 {
		fmt.Fprintf(b, "%s=%s\n", v.Name, v.Value)
		return nil
	}
	if strings.ContainsAny(v.Value, "'\r\n") || strings.Contains(v.Value, `\\`) || strings.HasSuffix(v.Value, `\`) {
		return errors.New("readers do not agree on single quotes, line ends, and backslashes in pairs or at the end")
	}
	fmt.Fprintf(b, "%s='%s'\n", v.Name, v.Value)
	return nil
}

func dotenvBare(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("_./:@%+,-", r)
}

// githubVar writes for $GITHUB_ENV, with a here-document for several lines.
func githubVar(b *bytes.Buffer, v Var) error {
	if !strings.ContainsAny(v.Value, "\r\n") {
		fmt.Fprintf(b, "%s=%s\n", v.Name, v.Value)
		return nil
	}
	end := "DETOUR_EOF"
	for strings.Contains(v.Value, end) {
		end += "_"
	}
	fmt.Fprintf(b, "%s<<%s\n%s\n%s\n", v.Name, end, v.Value, end)
	return nil
}

// dockerVar writes for --env-file, which knows no quoting.
func dockerVar(b *bytes.Buffer, v Var) error {
	switch {
	case strings.ContainsAny(v.Value, "\r\n"):
		return errors.New("an env file cannot carry line ends")
	case !utf8.ValidString(v.Value):
		return errNotUTF8
	}
	fmt.Fprintf(b, "%s=%s\n", v.Name, v.Value)
	return nil
}

// json writes one object, in order.
func (s Set) json() ([]byte, error) {
	var b bytes.Buffer
	b.WriteString("{")
	for i, v := range s.Vars {
		if err := v.check(); err != nil {
			return nil, err
		}
		value := []byte("null")
		if !v.Unset {
			if !utf8.ValidString(v.Value) {
				return nil, fmt.Errorf("write %s as json: %w", v.Name, errNotUTF8)
			}
			quoted, err := quoteJSON(v.Value)
			if err != nil {
				return nil, fmt.Errorf("write %s as json: %w", v.Name, err)
			}
			value = quoted
		}
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "\n  %q: %s", v.Name, value)
	}
	if len(s.Vars) > 0 {
		b.WriteByte('\n')
	}
	b.WriteString("}\n")
	return b.Bytes(), nil
}

// quoteJSON leaves <, > and & readable.
func quoteJSON(s string) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(s)
	return bytes.TrimSpace(b.Bytes()), err
}
