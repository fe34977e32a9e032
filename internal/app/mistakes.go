package app

import (
	"cmp"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"

	"detour/internal/config"
)

// mistakes collects what is wrong with accounts that the files describe and only their providers can tell.
type mistakes struct {
	paths config.Paths
	first *config.Invalid // of the first file that has any; mending it shows those of the next
	other error           // of an account that stands in no file
}

// add notes what is wrong with the setting key of a; a provider reports all the settings in one error, one a line.
func (m *mistakes) add(a config.Account, key string, err error) {
	file := m.file(a.Source)
	if file == "" {
		m.other = cmp.Or(m.other, fmt.Errorf("open account %s (%s): %w", a.ID, a.Source, err))
		return
	}
	if m.first == nil {
		m.first = &config.Invalid{Path: file}
	}
	if m.first.Path != file {
		return
	}
	for text := range strings.Lines(strings.TrimPrefix(err.Error(), fmt.Sprintf("open account %q: ", a.ID))) {
		at := key
		if named := regexp.MustCompile(`setting "?([a-z_]+)`).FindStringSubmatch(text); named != nil && key == "" {
			at = "settings." + named[1]
		}
		m.first.Problems = append(m.first.Problems, config.Problem{
			Line: cmp.Or(config.LineOfAccount(file, a.ID, at), config.LineOfAccount(file, a.ID, "")),
			Key:  "account " + a.ID, Message: strings.TrimSpace(text),
		})
	}
}

func (m *mistakes) file(source string) string {
	for _, path := range []string{m.paths.Config, m.paths.Accounts} {
		if source == filepath.Base(path) {
			return path
		}
	}
	return ""
}

// err is nil when nothing is wrong.
func (m *mistakes) err() error {
	if m.first != nil {
		return m.first
	}
	return m.other
}
