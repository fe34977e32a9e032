package shellenv

import (
	"fmt"
	"strings"
)

// Shell is a syntax that variables can be written in: that of a shell, or of a file that another program reads.
type Shell string

// The shells and formats.
const (
	Sh   Shell = "sh" // any POSIX shell
	Bash Shell = "bash"
	Zsh  Shell = "zsh"
	Fish Shell = "fish"
	Pwsh Shell = "pwsh"
	Cmd  Shell = "cmd"
	Nu   Shell = "nu" // JSON for `from json | load-env`

	JSON      Shell = "json"   // one object; null stands for a variable to remove
	Dotenv    Shell = "dotenv" // the part of the format that its many readers agree on
	Direnv    Shell = "direnv" // .envrc
	GitHubEnv Shell = "github" // appended to the file $GITHUB_ENV
	Docker    Shell = "docker" // docker run --env-file
)

// Shells returns all syntaxes, shells first.
func Shells() []Shell {
	return []Shell{Sh, Bash, Zsh, Fish, Pwsh, Cmd, Nu, JSON, Dotenv, Direnv, GitHubEnv, Docker}
}

// ParseShell reads the name of a shell or format, or the path of a shell: "zsh", "-zsh", "/usr/bin/zsh",
// `C:\Program Files\PowerShell\7\pwsh.exe`.
func ParseShell(s string) (Shell, error) {
	name := s
	if i := strings.LastIndexAny(name, `/\`); i >= 0 {
		name = name[i+1:]
	}
	name = strings.TrimSuffix(strings.ToLower(strings.TrimPrefix(name, "-")), ".exe")
	switch name {
	case "dash", "ash", "busybox", "ksh", "mksh", "oksh", "ksh93", "yash", "posix":
		return Sh, nil
	case "rbash":
		return Bash, nil
	case "powershell":
		return Pwsh, nil
	case "nushell":
		return Nu, nil
	case "env":
		return Dotenv, nil
	case "github-env", "github-actions":
		return GitHubEnv, nil
	case "csh", "tcsh":
		return "", fmt.Errorf("shell %s is not supported: start one that is, or use exec", name)
	}
	for _, sh := range Shells() {
		if string(sh) == name {
			return sh, nil
		}
	}
	return "", fmt.Errorf("unknown shell %.40q: want one of %s", s, shellNames())
}

func shellNames() string {
	var names []string
	for _, sh := range Shells() {
		names = append(names, string(sh))
	}
	return strings.Join(names, ", ")
}

// Detect guesses the shell that is going to read the output. parent is the name or path of the parent process, "" if
// that is not known; it tells more than $SHELL, which names the login shell whatever runs inside it.
func Detect(env func(string) string, parent string) Shell {
	if sh, ok := interactive(parent); ok {
		return sh
	}
	if env("NU_VERSION") != "" { // exported by nushell, which is rarely a login shell
		return Nu
	}
	if sh, ok := interactive(env("SHELL")); ok {
		return sh
	}
	if sh, ok := interactive(env("ComSpec")); ok {
		return sh
	}
	return Sh
}

// interactive is ParseShell for shells only.
func interactive(s string) (Shell, bool) {
	sh, err := ParseShell(s)
	switch {
	case err != nil:
		return "", false
	case sh == Sh, sh == Bash, sh == Zsh, sh == Fish, sh == Pwsh, sh == Cmd, sh == Nu:
		return sh, true
	}
	return "", false
}
