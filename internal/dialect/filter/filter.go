// Package filter changes the texts that surround a conversation the way an owner wants: it takes texts out of system
// prompts, puts paragraphs behind them, and takes endings off what tools answered. It works on the bytes of a request in
// any client dialect, before anybody else reads them, so that it makes no difference whether the request is translated
// afterwards. Only the strings that it changes are written anew; everything else keeps its bytes.
package filter

import (
	"fmt"
	"regexp"
	"strings"
)

// Pattern begins a rule that is a regular expression (RE2) and not the text itself.
const Pattern = "re:"

// Rules say what to change. They are applied in order.
type Rules struct {
	// SystemRemove are texts to take out of system prompts, wherever they occur.
	SystemRemove []string
	// SystemAdd are paragraphs to put behind the system prompt.
	SystemAdd []string
	// ResultSuffixRemove are texts to take off the end of what tools answered, as long as one of them is there.
	ResultSuffixRemove []string
}

// Set is Rules made ready. A nil Set changes nothing. It is safe for concurrent use.
type Set struct {
	system []remover
	suffix []remover
	add    string // all paragraphs, "" for none
}

// remover finds one text.
type remover struct {
	text string
	re   *regexp.Regexp // instead of text
}

// New checks r. It returns nil when there is nothing to change.
func New(r Rules) (*Set, error) {
	s := &Set{add: strings.Join(r.SystemAdd, "\n\n")}
	for _, rule := range r.SystemRemove {
		m, err := parse(rule, "")
		if err != nil {
			return nil, err
		}
		s.system = append(s.system, m)
	}
	for _, rule := range r.ResultSuffixRemove {
		m, err := parse(rule, `\z`)
		if err != nil {
			return nil, err
		}
		s.suffix = append(s.suffix, m)
	}
	if len(s.system) == 0 && len(s.suffix) == 0 && s.add == "" {
		return nil, nil
	}
	return s, nil
}

func parse(rule, anchor string) (remover, error) {
	expr, isPattern := strings.CutPrefix(rule, Pattern)
	switch {
	case !isPattern && rule != "":
		return remover{text: rule}, nil
	case !isPattern:
		return remover{}, fmt.Errorf("parse filter: a text to remove must not be empty")
	}
	re, err := regexp.Compile("(?:" + expr + ")" + anchor)
	if err != nil {
		return remover{}, fmt.Errorf("parse filter %q: %w", rule, err)
	}
	return remover{re: re}, nil
}

// everywhere returns s without what the rules find in it.
func everywhere(s string, rules []remover) string {
	for _, r := range rules {
		if r.re != nil {
			s = r.re.ReplaceAllLiteralString(s, "")
		} else {
			s = strings.ReplaceAll(s, r.text, "")
		}
	}
	return s
}

// atEnd returns s without the endings that the rules find. What comes to light behind one may be the next.
func atEnd(s string, rules []remover) string {
	for {
		before := len(s)
		for _, r := range rules {
			if r.re == nil {
				s = strings.TrimSuffix(s, r.text)
			} else if at := r.re.FindStringIndex(s); at != nil {
				s = s[:at[0]]
			}
		}
		if len(s) == before {
			return s
		}
	}
}
