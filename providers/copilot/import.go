package copilot

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"detour/internal/secret"
	"detour/providers"
)

// ImportSource is a place where another program keeps a GitHub sign-in.
type ImportSource string

// The sources.
const (
	ImportGH       ImportSource = "gh"             // the GitHub CLI
	ImportPlugin   ImportSource = "copilot-plugin" // the Copilot plugins of Vim, JetBrains and others
	ImportOpenCode ImportSource = "opencode"
	ImportEnv      ImportSource = "env"
)

// ImportSources lists the sources in the order in which people should be offered them.
func ImportSources() []ImportSource {
	return []ImportSource{ImportGH, ImportPlugin, ImportOpenCode, ImportEnv}
}

// EnvVariables lists the variables that ImportEnv reads, the one that wins first.
func EnvVariables() []string {
	return []string{"COPILOT_GITHUB_TOKEN", "GH_TOKEN", "GITHUB_TOKEN"}
}

// Candidate is a sign-in that was found. Nothing is known of whether it still works.
type Candidate struct {
	Token  secret.String
	User   string // login, or "" when the source does not say
	Host   string // github.com or an enterprise domain
	Source string // for people: a path, a command, a variable
	// Direct says that the application which the token was made for is one whose tokens GitHub usually does not
	// exchange, so that the account needs auth = "direct".
	Direct bool
}

// Importer reads what other programs saved. It changes nothing. The zero value reads from this process's environment.
type Importer struct {
	Env  func(string) string // nil means os.Getenv
	GOOS string              // "" means runtime.GOOS
	// Run executes a program and returns its standard output. nil means to run it with a time limit and without the
	// variables that would make gh answer with something other than its saved sign-in.
	Run func(ctx context.Context, name string, args ...string) ([]byte, error)
}

// ImportOptions narrow an import.
type ImportOptions struct {
	Host     string // only sign-ins at this host; "" means all
	Variable string // the variable to read, for ImportEnv; "" means the first of EnvVariables that is set
}

const maxImportFile = 1 << 20

// Candidates returns the sign-ins that source has, each token once. That a program is not installed is no error, and
// gives none. A file that cannot be read or understood is an error that names its path; what was found elsewhere is
// returned with it.
func (i Importer) Candidates(ctx context.Context, source ImportSource, o ImportOptions) ([]Candidate, error) {
	if i.Env == nil {
		i.Env = os.Getenv
	}
	if i.GOOS == "" {
		i.GOOS = runtime.GOOS
	}
	if i.Run == nil {
		i.Run = run
	}
	var found []Candidate
	var err error
	switch source {
	case ImportGH:
		found, err = i.gh(ctx, o.Host)
	case ImportPlugin:
		found, err = i.plugin()
	case ImportOpenCode:
		found, err = i.openCode()
	case ImportEnv:
		found, err = i.env(o.Variable)
	default:
		var names []string
		for _, s := range ImportSources() {
			names = append(names, string(s))
		}
		return nil, providers.UnknownName("import source", string(source), names)
	}
	if err != nil {
		err = fmt.Errorf("import from %s: %w", source, err)
	}
	return tidy(found, o.Host), err
}

// tidy drops tokens that cannot be ones, that belong to other hosts than the wanted one, or that are there already.
func tidy(found []Candidate, host string) []Candidate {
	var list []Candidate
	for _, c := range found {
		c.Token = secret.New(strings.TrimSpace(c.Token.Reveal()))
		domain, err := NormalizeDomain(c.Host)
		if err != nil || c.Token.IsZero() || !sendable(c.Token) {
			continue
		}
		c.Host = orGitHub(domain)
		if want, err := NormalizeDomain(host); host != "" && (err != nil || orGitHub(want) != c.Host) {
			continue
		}
		c.User = clip(printable(c.User), 256)
		if !slices.ContainsFunc(list, func(o Candidate) bool { return o.Token.Equal(c.Token) && o.Host == c.Host }) {
			list = append(list, c)
		}
	}
	return list
}

func orGitHub(domain string) string {
	if domain == "" {
		return "github.com"
	}
	return domain
}

func (i Importer) env(variable string) ([]Candidate, error) {
	names := EnvVariables()
	if variable != "" {
		names = []string{variable}
	}
	for _, name := range names {
		if v := strings.TrimSpace(i.Env(name)); v != "" {
			return []Candidate{{Token: secret.New(v), Host: i.Env("GH_HOST"), Source: name}}, nil
		}
	}
	if variable != "" {
		return nil, fmt.Errorf("variable %s is not set", variable)
	}
	return nil, nil
}

// home is the user's home folder, or "".
func (i Importer) home() string {
	if i.GOOS == "windows" {
		return i.Env("USERPROFILE")
	}
	return i.Env("HOME")
}

// base returns the value of an XDG variable if it is an absolute path, as the XDG specification demands, else the
// fallback within the home folder, or "" without a home.
func (i Importer) base(variable string, fallback ...string) string {
	if v := i.Env(variable); filepath.IsAbs(v) {
		return v
	}
	home := i.home()
	if home == "" {
		return ""
	}
	return filepath.Join(append([]string{home}, fallback...)...)
}

// readSmall reads a regular file of bounded size. A missing one is no error and gives nil.
func readSmall(path string) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular(): // reading a pipe would wait for ever
		return nil, fmt.Errorf("read %s: not a regular file", path)
	case info.Size() > maxImportFile:
		return nil, fmt.Errorf("read %s: larger than %d bytes", path, maxImportFile)
	}
	return os.ReadFile(path)
}

// run is the Importer's default way to run gh.
func run(ctx context.Context, name string, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, managementTimeout)
	defer cancel()
	path, err := exec.LookPath(name)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return slices.Contains([]string{"GH_TOKEN", "GITHUB_TOKEN", "GH_ENTERPRISE_TOKEN", "GITHUB_ENTERPRISE_TOKEN"}, name)
	})
	return cmd.Output()
}
