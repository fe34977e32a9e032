package shellenv_test

import (
	"testing"

	"detour/shellenv"
)

func TestParseShell(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]shellenv.Shell{
		"sh": shellenv.Sh, "/bin/dash": shellenv.Sh, "-bash": shellenv.Bash, "/usr/bin/zsh": shellenv.Zsh, "FISH": shellenv.Fish,
		`C:\Program Files\PowerShell\7\pwsh.exe`: shellenv.Pwsh, "powershell.exe": shellenv.Pwsh, `C:\Windows\system32\cmd.exe`: shellenv.Cmd,
		"nushell": shellenv.Nu, "json": shellenv.JSON, "dotenv": shellenv.Dotenv, "direnv": shellenv.Direnv, "github": shellenv.GitHubEnv, "docker": shellenv.Docker,
		"": "", "tcsh": "", "/bin/csh": "", "python": "", "/": "",
	} {
		got, err := shellenv.ParseShell(in)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: got %q, %v, want %q", in, got, err, want)
		}
	}
	for _, sh := range shellenv.Shells() {
		if got, err := shellenv.ParseShell(string(sh)); got != sh || err != nil {
			t.Errorf("%q does not parse to itself: %q, %v", sh, got, err)
		}
	}
}

func TestDetect(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		env    environ
		parent string
		want   shellenv.Shell
	}{
		{"nothing known", nil, "", shellenv.Sh},
		{"login shell", environ{"SHELL": "/usr/bin/fish"}, "", shellenv.Fish},
		{"parent beats login shell", environ{"SHELL": "/usr/bin/fish"}, "bash", shellenv.Bash},
		{"parent is no shell", environ{"SHELL": "/usr/bin/fish"}, "make", shellenv.Fish},
		{"parent is named like a format", environ{"SHELL": "/bin/zsh"}, "docker", shellenv.Zsh},
		{"nushell", environ{"SHELL": "/bin/bash", "NU_VERSION": "0.115.1"}, "", shellenv.Nu},
		{"bash in nushell", environ{"NU_VERSION": "0.115.1"}, "bash", shellenv.Bash},
		{"Windows", environ{"ComSpec": `C:\Windows\system32\cmd.exe`}, "", shellenv.Cmd},
		{"PowerShell", environ{"ComSpec": `C:\Windows\system32\cmd.exe`}, "pwsh.exe", shellenv.Pwsh},
		{"unknown login shell", environ{"SHELL": "/usr/bin/xonsh"}, "", shellenv.Sh},
	} {
		if got := shellenv.Detect(func(k string) string { return c.env[k] }, c.parent); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}
