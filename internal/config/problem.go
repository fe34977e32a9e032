package config

import (
	"fmt"
	"strings"
)

// Problem is one mistake in a file. No field ever holds a credential.
type Problem struct {
	Line       int    // 1-based; 0 when the mistake belongs to no line
	Key        string // dotted name, or ""
	Message    string // what is wrong
	Suggestion string // what to do, or ""
}

// String renders the problem in one line.
func (p Problem) String() string {
	var b strings.Builder
	if p.Line > 0 {
		fmt.Fprintf(&b, "line %d: ", p.Line)
	}
	if p.Key != "" {
		b.WriteString(p.Key + ": ")
	}
	b.WriteString(p.Message)
	if p.Suggestion != "" {
		b.WriteString(" (" + p.Suggestion + ")")
	}
	return b.String()
}

// Invalid is a file with mistakes: all of them, in the order of their lines.
type Invalid struct {
	Path     string
	Problems []Problem
	Hint     string // the way out, when it is more than mending the lines; or ""
}

// Error implements error. It has one line for each problem after the first line.
func (e *Invalid) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s has %s:", e.Path, e.Count())
	for _, p := range e.Problems {
		b.WriteString("\n  " + p.String())
	}
	if e.Hint != "" {
		b.WriteString("\n" + e.Hint)
	}
	return b.String()
}

// Count says how many problems there are, in words.
func (e *Invalid) Count() string {
	if len(e.Problems) == 1 {
		return "1 mistake"
	}
	return fmt.Sprintf("%d mistakes", len(e.Problems))
}
