package copilot

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tidwall/gjson"
	"go.yaml.in/yaml/v3"

	"detour/internal/secret"
)

// ghHost is an entry of the GitHub CLI's hosts.yml. Tokens are missing where the system's keyring holds them.
type ghHost struct {
	User  string `yaml:"user"`
	Token string `yaml:"oauth_token"`
	Users map[string]struct {
		Token string `yaml:"oauth_token"`
	} `yaml:"users"`
}

// gh asks the GitHub CLI for its tokens, which works with a keyring too, and reads its file for those of the accounts
// that are not its active ones.
func (i Importer) gh(ctx context.Context, only string) ([]Candidate, error) {
	path := i.ghFile()
	hosts, err := readGHHosts(path)
	names := []string{"github.com"}
	for name := range hosts {
		names = append(names, name)
	}
	if only != "" {
		names = append(names, only)
	}
	slices.Sort(names)
	var found []Candidate
	for _, name := range slices.Compact(names) {
		domain, bad := NormalizeDomain(name)
		if bad != nil {
			continue
		}
		host := orGitHub(domain)
		// Without gh, or when gh has nobody for this host, its file is all there is.
		out, failed := i.Run(ctx, "gh", "auth", "token", "--hostname", host)
		if ctx.Err() != nil {
			return found, context.Cause(ctx)
		}
		if failed == nil && len(out) < maxImportFile {
			found = append(found, Candidate{Token: secret.New(string(out)), User: hosts[name].User, Host: host, Source: "gh auth token", Direct: true})
		}
		h := hosts[name]
		found = append(found, Candidate{Token: secret.New(h.Token), User: h.User, Host: host, Source: path, Direct: true})
		for _, user := range slices.Sorted(maps.Keys(h.Users)) {
			found = append(found, Candidate{Token: secret.New(h.Users[user].Token), User: user, Host: host, Source: path, Direct: true})
		}
	}
	return found, err
}

func (i Importer) ghFile() string {
	switch dir := i.Env("GH_CONFIG_DIR"); {
	case dir != "":
		return filepath.Join(dir, "hosts.yml")
	case i.Env("XDG_CONFIG_HOME") == "" && i.GOOS == "windows":
		if dir := i.Env("AppData"); dir != "" {
			return filepath.Join(dir, "GitHub CLI", "hosts.yml")
		}
		return ""
	}
	dir := i.base("XDG_CONFIG_HOME", ".config")
	if dir == "" {
		return ""
	}
	return filepath.Join(dir, "gh", "hosts.yml")
}

func readGHHosts(path string) (map[string]ghHost, error) {
	if path == "" {
		return nil, nil
	}
	data, err := readSmall(path)
	if err != nil || len(data) == 0 {
		return nil, err
	}
	var hosts map[string]ghHost
	if err := yaml.Unmarshal(data, &hosts); err != nil {
		// The library's words quote the file, which holds tokens.
		return nil, fmt.Errorf("read %s: it is not the YAML that gh writes", path)
	}
	return hosts, nil
}

// plugin reads what the Copilot plugins of several editors share. Keys are a host, or a host, a colon and the id of
// the application that the token was made for.
func (i Importer) plugin() ([]Candidate, error) {
	dir := i.base("XDG_CONFIG_HOME", ".config")
	if i.GOOS == "windows" && i.Env("XDG_CONFIG_HOME") == "" {
		dir = i.Env("LOCALAPPDATA")
	}
	if dir == "" {
		return nil, nil
	}
	var found []Candidate
	var errs []error
	for _, name := range []string{"apps.json", "hosts.json"} {
		path := filepath.Join(dir, "github-copilot", name)
		doc, err := readJSON(path)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		doc.ForEach(func(key, v gjson.Result) bool {
			token := v.Get("oauth_token")
			if token.Type != gjson.String || token.Str == "" {
				token = v.Get("token")
			}
			host, _, _ := strings.Cut(key.String(), ":")
			if token.Type == gjson.String {
				found = append(found, Candidate{Token: secret.New(token.Str), User: v.Get("user").String(), Host: host, Source: path})
			}
			return true
		})
	}
	return found, errors.Join(errs...)
}

// openCode reads opencode's saved sign-in. Its application's tokens cannot be exchanged.
func (i Importer) openCode() ([]Candidate, error) {
	dir := i.base("XDG_DATA_HOME", ".local", "share")
	if dir == "" {
		return nil, nil
	}
	path := filepath.Join(dir, "opencode", "auth.json")
	doc, err := readJSON(path)
	if err != nil {
		return nil, err
	}
	var found []Candidate
	for _, name := range []string{"github-copilot", "github-copilot-enterprise"} {
		entry := doc.Get(name)
		token := entry.Get("refresh").String()
		if token == "" {
			token = entry.Get("access").String()
		}
		found = append(found, Candidate{Token: secret.New(token), Host: entry.Get("enterpriseUrl").String(), Source: path, Direct: true})
	}
	return found, nil
}

// readJSON reads an object. A missing file gives the zero Result.
func readJSON(path string) (gjson.Result, error) {
	data, err := readSmall(path)
	if err != nil || len(data) == 0 {
		return gjson.Result{}, err
	}
	if doc := gjson.ParseBytes(data); gjson.ValidBytes(data) && doc.IsObject() {
		return doc, nil
	}
	return gjson.Result{}, fmt.Errorf("read %s: it is not a JSON object", path)
}
