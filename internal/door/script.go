package door

import (
	_ "embed"
	"strconv"
	"strings"
)

// The scripts are the same for everybody. What differs, the addresses and the fingerprint, is put before them as
// quoted words.
var (
	//go:embed env.sh
	envSh string
	//go:embed env.fish
	envFish string
	//go:embed env.ps1
	envPs1 string
)

// scripter writes for one family of shells.
type scripter interface {
	// script sets up a shell for s. With a fingerprint it first fetches and checks the certificate, and sets nothing
	// when that fails.
	script(s site, sha256 string) string
	// fail prints lines to standard error and ends with a failure.
	fail(lines ...string) string
	// command is what a person types to run the script at address.
	command(address string) string
}

func shells() []string { return []string{"sh", "bash", "zsh", "fish", "pwsh"} }

func dialectOf(shell string) (scripter, bool) {
	switch shell {
	case "sh", "bash", "zsh":
		return posix{}, true
	case "fish":
		return fish{}, true
	case "pwsh":
		return pwsh{}, true
	}
	return posix{}, false
}

// values are what the script knows of s, in the order of the parameters of the scripts.
func (s site) values(sha256 string) []struct{ name, value string } {
	return []struct{ name, value string }{
		{"api", s.api}, {"proxy", s.proxy}, {"host", s.host}, {"base", s.base}, {"sha256", sha256}, {"keys", strconv.FormatBool(s.keys)},
	}
}

// instructions tell how to get the fingerprint. They do not show it: one that comes the same way as the certificate
// proves nothing.
func instructions(s site, shell string) []string {
	d, _ := dialectOf(shell)
	return []string{
		"detour: nothing was set. On the machine that detour runs on, read the fingerprint of its certificate:",
		"    detour proxy ca show",
		"Then run this here, with that fingerprint in place of FINGERPRINT:",
		"    " + d.command(s.base+"/-/lan/env?shell="+shell+"&sha256=FINGERPRINT"),
		"The check finds a wrong certificate. It cannot find somebody who changes this script on its way: on a network",
		"that you do not trust, copy the certificate by hand instead.",
	}
}

type posix struct{}

func (posix) quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

func (p posix) script(s site, sha256 string) string {
	var b strings.Builder
	for _, v := range s.values(sha256) {
		b.WriteString("__detour_" + v.name + "=" + p.quote(v.value) + ";\n")
	}
	return b.String() + envSh
}

func (p posix) fail(lines ...string) string {
	var b strings.Builder
	for _, l := range lines {
		b.WriteString("printf '%s\\n' " + p.quote(l) + " >&2;\n")
	}
	return b.String() + "false;\n"
}

func (p posix) command(address string) string {
	return `eval "$(curl -fsS --noproxy '*' ` + p.quote(address) + `)"`
}

type fish struct{}

func (fish) quote(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}

func (f fish) script(s site, sha256 string) string {
	var call strings.Builder
	call.WriteString("__detour_lan")
	for _, v := range s.values(sha256) {
		call.WriteString(" " + f.quote(v.value))
	}
	return envFish + call.String() + `
set -l __detour_rc $status
functions -e __detour_lan __detour_verify
test $__detour_rc -eq 0
`
}

func (f fish) fail(lines ...string) string {
	var b strings.Builder
	for _, l := range lines {
		b.WriteString("printf '%s\\n' " + f.quote(l) + " >&2\n")
	}
	return b.String() + "false\n"
}

func (f fish) command(address string) string {
	return "curl -fsS --noproxy '*' " + f.quote(address) + " | source"
}

type pwsh struct{}

// quote doubles every character that PowerShell takes for a single quote.
func (pwsh) quote(s string) string {
	return "'" + strings.NewReplacer("'", "''", "\u2018", "\u2018\u2018", "\u2019", "\u2019\u2019", "\u201a", "\u201a\u201a", "\u201b", "\u201b\u201b").Replace(s) + "'"
}

func (p pwsh) script(s site, sha256 string) string {
	var params, args []string
	for _, v := range s.values(sha256) {
		params = append(params, "$"+strings.Replace(v.name, "host", "name_", 1)) // $host is taken
		args = append(args, p.quote(v.value))
	}
	return "& {\n  param(" + strings.Join(params, ", ") + ")\n" + envPs1 + "} " + strings.Join(args, " ") + "\n"
}

func (p pwsh) fail(lines ...string) string {
	var b strings.Builder
	for _, l := range lines {
		b.WriteString("[Console]::Error.WriteLine(" + p.quote(l) + ")\n")
	}
	return b.String() + "throw 'detour: nothing was set'\n"
}

func (p pwsh) command(address string) string { return "irm " + p.quote(address) + " | iex" }
