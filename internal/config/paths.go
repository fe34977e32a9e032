package config

import (
	"errors"
	"path/filepath"
	"runtime"
)

// Paths says where detour keeps its files. All are absolute.
type Paths struct {
	Home     string // folder of config.toml and what lies beside it
	Config   string // config.toml
	Accounts string // accounts.toml
	Keys     string // keys.json: hashes of the client keys
	Install  string // install.json: identity of this installation
	CADir    string
	Data     string // folder of the usage data base
	State    string // folder of logs and the pid file
}

// FindPaths decides where the files are. DETOUR_HOME is one folder for everything. Without it DETOUR_CONFIG names
// config.toml, and its folder holds the files beside it. Without both, the XDG base directories are used, on macOS
// too, or the user's AppData folders on Windows. Nothing is created. A relative XDG path is ignored, as its
// specification asks.
func FindPaths(env func(string) string) (Paths, error) {
	if home := env("DETOUR_HOME"); home != "" {
		home, err := filepath.Abs(home)
		if err != nil {
			return Paths{}, err
		}
		p := beside(home, filepath.Join(home, "config.toml"))
		p.Data, p.State = filepath.Join(home, "data"), filepath.Join(home, "state")
		return p, nil
	}
	configs, data, state := baseFolders(env)
	var p Paths
	switch file := env("DETOUR_CONFIG"); {
	case file != "":
		file, err := filepath.Abs(file)
		if err != nil {
			return Paths{}, err
		}
		p = beside(filepath.Dir(file), file)
	case configs != "":
		p = beside(configs, filepath.Join(configs, "config.toml"))
	}
	if p.Config == "" || data == "" || state == "" {
		return Paths{}, errors.New("find the configuration folder: the home folder is not known; set HOME or DETOUR_HOME")
	}
	p.Data, p.State = data, state
	return p, nil
}

func beside(home, config string) Paths {
	return Paths{
		Home:     home,
		Config:   config,
		Accounts: filepath.Join(home, "accounts.toml"),
		Keys:     filepath.Join(home, "keys.json"),
		Install:  filepath.Join(home, "install.json"),
		CADir:    filepath.Join(home, "ca"),
	}
}

// baseFolders returns detour's configuration, data and state folders; "" for one that cannot be told.
func baseFolders(env func(string) string) (configs, data, state string) {
	if runtime.GOOS == "windows" {
		local := env("LOCALAPPDATA")
		return under(env("APPDATA"), "detour"), under(local, "detour", "data"), under(local, "detour", "state")
	}
	xdg := func(name string, fallback ...string) string {
		if v := env(name); filepath.IsAbs(v) {
			return filepath.Join(v, "detour")
		}
		return under(env("HOME"), append(fallback, "detour")...)
	}
	return xdg("XDG_CONFIG_HOME", ".config"), xdg("XDG_DATA_HOME", ".local", "share"), xdg("XDG_STATE_HOME", ".local", "state")
}

func under(base string, parts ...string) string {
	if !filepath.IsAbs(base) {
		return ""
	}
	return filepath.Join(append([]string{base}, parts...)...)
}
