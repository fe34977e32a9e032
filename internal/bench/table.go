package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"unicode/utf8"
)

// printGroup prints the results of one group as an aligned table: a row for each participant, a column for each
// metric, detour's targets at the end.
func printGroup(w io.Writer, results []result) {
	if len(results) == 0 {
		return
	}
	var columns []string
	fullest := slices.Clone(results) // whose order of columns counts
	slices.SortStableFunc(fullest, func(a, b result) int { return len(b.Metrics) - len(a.Metrics) })
	for _, r := range fullest {
		for _, m := range r.Metrics {
			if !slices.Contains(columns, m.Name) {
				columns = append(columns, m.Name)
			}
		}
	}
	rows := [][]string{append(append([]string{results[0].Group}, columns...), "target")}
	for _, r := range results {
		row := append([]string{"  " + r.System}, make([]string, len(columns)+1)...)
		for _, m := range r.Metrics {
			row[1+slices.Index(columns, m.Name)] = number(m.Value)
		}
		row[len(row)-1] = strings.TrimSpace(r.verdict() + " " + r.Note)
		rows = append(rows, row)
	}
	align(w, rows)
	fmt.Fprintln(w)
}

// align prints rows with the first and last column to the left and the others to the right.
func align(w io.Writer, rows [][]string) {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			switch i {
			case 0:
				line.WriteString(cell + pad)
			case len(row) - 1:
				line.WriteString("   " + cell)
			default:
				line.WriteString("  " + pad + cell)
			}
		}
		fmt.Fprintln(w, strings.TrimRight(line.String(), " "))
	}
}

// outcome is the whole run, as -json writes it.
type outcome struct {
	Detour  string            `json:"detour"`
	Machine string            `json:"machine"`
	Seconds float64           `json:"seconds"`
	Results []result          `json:"results"`
	Skipped map[string]string `json:"skipped,omitempty"`
	Failed  map[string]string `json:"failed,omitempty"` // groups that could not be measured, and why
}

func (o *outcome) write(file string) error {
	b, err := json.MarshalIndent(o, "", "  ")
	if err != nil {
		return fmt.Errorf("encode results: %w", err)
	}
	return os.WriteFile(file, append(b, '\n'), 0o644)
}

// missed counts the targets that were and were not met.
func (o *outcome) missed() (met, missed int) {
	for _, r := range o.Results {
		for _, m := range r.Metrics {
			switch {
			case m.Target == nil:
			case m.Target.Met:
				met++
			default:
				missed++
			}
		}
	}
	return met, missed
}
