package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"detour/internal/config"
	"detour/providers"
	"detour/providers/copilot"
)

func newConfig(h *host) *cobra.Command {
	return group(&cobra.Command{
		Use:   "config",
		Short: "Read and change config.toml",
		Long: `Config reads and changes settings. A change touches nothing but the value:
comments, order and layout stay. A result with mistakes is refused, each mistake
is listed with its line, and the file stays as it was.

With --account ID the settings are those of one account, in config.toml or
accounts.toml.

Exit codes: 0 done; 1 not set; 2 unknown setting, or a value or file with
mistakes; 4 there is no such account.`,
		Example: `  detour config list
  detour config get server.port
  detour config set pool.strategy least_used
  detour config set proxy_mode.intercept_hosts llm.example.com --add
  detour config set models.alias.opus claude-opus-4.7
  detour config set --account work settings.editor_version vscode/1.124.2
  detour config unset proxy.url`,
	}, newConfigGet(h), newConfigSet(h), newConfigUnset(h), newConfigList(h), newConfigEdit(h), newConfigPath(h))
}

// configFile returns the file that holds the account with the id, or config.toml when id is "".
func (h *host) configFile(id string) (string, error) {
	paths, err := config.FindPaths(h.env)
	if err != nil || id == "" {
		return paths.Config, err
	}
	saved, err := config.LoadAccounts(paths.Accounts)
	if err != nil {
		return "", err
	}
	if byID(saved, id) >= 0 {
		return paths.Accounts, nil
	}
	_, err = config.GetAccount(paths.Config, id, "provider")
	if errors.Is(err, fs.ErrNotExist) {
		var ids []string
		for _, a := range saved {
			ids = append(ids, a.ID)
		}
		return "", missing(id, ids)
	}
	return paths.Config, err
}

// configError gives the errors of the config package their exit codes.
func configError(err error) error {
	switch _, unknown := errors.AsType[*config.UnknownKey](err); {
	case err == nil:
		return nil
	case unknown:
		return &exitError{code: exitUsage, err: err, hint: "`detour config list` lists all settings"}
	case errors.Is(err, fs.ErrNotExist):
		return noAccount(err)
	}
	return err
}

func completeKeys(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	var keys []cobra.Completion
	for _, k := range config.Keys() {
		if !strings.HasPrefix(k.Name, "accounts.") {
			keys = append(keys, cobra.CompletionWithDesc(k.Name, k.Doc))
		}
	}
	return keys, cobra.ShellCompDirectiveNoFileComp
}

// setting is a value as config get and list print it; its shape is documented in docs/cli-json.md.
type setting struct {
	Key     string `json:"key"`
	Value   string `json:"value"`
	Set     bool   `json:"set"`
	Line    int    `json:"line,omitempty"`
	Type    string `json:"type,omitempty"`
	Default string `json:"default"`
	Doc     string `json:"doc,omitempty"`
	Secret  bool   `json:"secret"`
}

func newConfigGet(h *host) *cobra.Command {
	var id string
	var asJSON bool
	c := &cobra.Command{
		Use: "get KEY", Short: "Print the value that holds for a setting", Args: cobra.ExactArgs(1), ValidArgsFunction: completeKeys,
		Long: `Get prints the value of a setting, whether it is set or the default. Credentials
are masked. An entry of a table that is not there is exit code 1.`,
		RunE: func(_ *cobra.Command, args []string) error {
			file, err := h.configFile(id)
			if err != nil {
				return err
			}
			var v config.Value
			if id == "" {
				v, err = config.Get(file, args[0])
			} else {
				v, err = config.GetAccount(file, id, args[0])
			}
			if err != nil {
				return configError(err)
			}
			s := settingOf(v)
			switch {
			case asJSON:
				return h.json(s)
			case !v.Set && s.Type == "": // an entry
				return &exitError{code: exitFailure, err: fmt.Errorf("get %s: it is not set", args[0])}
			}
			_, err = fmt.Fprintln(h.out, tidy(v.Value))
			return err
		},
	}
	accountFlag(h, c, &id, "read a setting of this account")
	jsonFlag(c, &asJSON)
	return c
}

func settingOf(v config.Value) setting {
	s := setting{Key: v.Key, Value: v.Value, Set: v.Set, Line: v.Line, Secret: v.Secret}
	for _, k := range config.Keys() {
		name := strings.TrimPrefix(k.Name, "accounts.")
		_, field, _ := strings.Cut(v.Key, "].") // accounts[0].tier
		switch {
		case k.Name == v.Key, name != k.Name && (name == v.Key || name == field):
			s.Type, s.Default, s.Doc = k.Type, k.Default, k.Doc
		case strings.HasPrefix(v.Key, k.Name+"."), name != k.Name && strings.HasPrefix(field, name+"."):
			s.Doc = k.Doc
		}
	}
	return s
}

func newConfigSet(h *host) *cobra.Command {
	var id string
	var add bool
	c := &cobra.Command{
		Use: "set KEY VALUE", Short: "Change a setting", Args: cobra.ExactArgs(2), ValidArgsFunction: completeKeys,
		Long: `Set gives a setting a value. A list takes one element, or a TOML list in
brackets; --add appends to it. The value - is read from standard input, which
keeps a password out of the shell's history.`,
		Example: `  detour config set server.port 8080
  detour config set proxy_mode.passthrough_hosts api.openai.com --add
  pass show proxy-url | detour config set proxy.url -`,
		RunE: func(_ *cobra.Command, args []string) error {
			if add && id != "" {
				return usageError("--add goes with lists, and accounts have none")
			}
			file, err := h.configFile(id)
			if err != nil {
				return err
			}
			key, value := args[0], args[1]
			if value == "-" {
				if value, err = readLine(h.in); err != nil {
					return err
				}
			}
			switch {
			case add:
				err = config.Add(file, key, value)
			case id == "":
				err = config.Set(file, key, value)
			default:
				if err = h.checkAccountSetting(id, key, value); err == nil {
					err = config.SetAccount(file, id, key, value)
				}
			}
			return configError(err)
		},
	}
	accountFlag(h, c, &id, "change a setting of this account")
	c.Flags().BoolVar(&add, "add", false, "append to a list instead of replacing it")
	return c
}

func readLine(r io.Reader) (string, error) {
	const longest = 64 << 10
	line, err := bufio.NewReader(io.LimitReader(r, longest)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read the value from standard input: %w", err)
	}
	return strings.TrimRight(line, "\r\n"), nil
}

// checkAccountSetting asks the account's provider what it makes of one of its own settings, which the file's own check
// does not know.
func (h *host) checkAccountSetting(id, key, value string) error {
	name, ok := strings.CutPrefix(key, "settings.")
	if !ok {
		return nil
	}
	l, err := h.find(id)
	if err != nil {
		return err
	}
	if l.Provider != copilot.Name {
		return nil
	}
	if unquoted, err := strconv.Unquote(name); err == nil {
		name = unquoted
	}
	p := copilot.New(copilot.Options{})
	all := maps.Clone(l.Settings)
	all[name] = value
	if _, err := p.Open(providers.AccountConfig{ID: id, Provider: l.Provider, Settings: all}); err != nil {
		// A mistake that is there already must not keep the owner from mending another.
		before := maps.Clone(l.Settings)
		delete(before, name)
		if _, older := p.Open(providers.AccountConfig{ID: id, Provider: l.Provider, Settings: before}); older == nil {
			return usageError("%w", err)
		}
	}
	return nil
}

func newConfigUnset(h *host) *cobra.Command {
	var id string
	c := &cobra.Command{
		Use: "unset KEY", Short: "Remove a setting, so that its default holds", Args: cobra.ExactArgs(1), ValidArgsFunction: completeKeys,
		Long: `Unset removes a setting from the file; naming a table removes all of it. It takes
names that are no settings too, to repair a file.`,
		RunE: func(_ *cobra.Command, args []string) error {
			file, err := h.configFile(id)
			if err != nil {
				return err
			}
			if id == "" {
				err = config.Unset(file, args[0])
			} else {
				err = config.UnsetAccount(file, id, args[0])
			}
			return configError(err)
		},
	}
	accountFlag(h, c, &id, "remove a setting of this account")
	return c
}

func newConfigList(h *host) *cobra.Command {
	var onlySet, asJSON bool
	c := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List all settings with their values", Args: cobra.NoArgs,
		Long: `List prints every setting with the value that holds, its default, the line where
it is set, and what it means. Credentials are masked.`,
		RunE: func(*cobra.Command, []string) error {
			file, err := h.configFile("")
			if err != nil {
				return err
			}
			values, err := config.List(file)
			if err != nil {
				return err
			}
			if onlySet {
				values = slices.DeleteFunc(values, func(v config.Value) bool { return !v.Set })
			}
			list := make([]setting, len(values))
			rows := make([][]cell, len(values))
			for i, v := range values {
				s := settingOf(v)
				list[i] = s
				line := word("")
				if s.Line > 0 {
					line = text(strconv.Itoa(s.Line))
				}
				rows[i] = []cell{text(s.Key), word(s.Value), word(s.Default), line, word(s.Doc)}
			}
			if asJSON {
				return h.json(list)
			}
			return h.table([]string{"key", "value", "default", "line", "doc"}, rows)
		},
	}
	c.Flags().BoolVar(&onlySet, "set", false, "only settings that are in the file")
	jsonFlag(c, &asJSON)
	return c
}

func newConfigPath(h *host) *cobra.Command {
	return &cobra.Command{
		Use: "path", Short: "Print where config.toml is, or would be", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			file, err := h.configFile("")
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(h.out, file)
			return err
		},
	}
}
