package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
)

// Printing, for every verb:
//
//   - What was asked for goes to standard output, everything said about it to standard error.
//   - A terminal gets aligned columns, with times and numbers as people say them. Anything else gets tab-separated
//     values under one line of column names, with RFC 3339 times and plain numbers.
//   - --json gives one JSON document in the shape that docs/cli-json.md promises.
//   - No cell can hold a tab, a line break or a control character, whatever an upstream put into it.

// cell is one value in both of its forms.
type cell struct{ human, plain string }

func text(s string) cell { return cell{s, s} }

// word is s for people, or a dash where there is nothing to say.
func word(s string) cell {
	if s == "" {
		return cell{"-", ""}
	}
	return text(s)
}

func yesNo(b bool) cell {
	if b {
		return cell{"yes", "true"}
	}
	return cell{"no", "false"}
}

func number(n float64) cell { return text(strconv.FormatFloat(n, 'f', -1, 64)) }

// tokens is a token limit; 0 is an unknown one.
func tokens(n int) cell {
	switch {
	case n <= 0:
		return word("")
	case n < 10_000:
		return text(strconv.Itoa(n))
	}
	return cell{strconv.Itoa((n+500)/1000) + "k", strconv.Itoa(n)}
}

// when is a time seen from now; the zero time is one that never comes.
func when(t, now time.Time) cell {
	if t.IsZero() {
		return cell{"never", ""}
	}
	d := t.Sub(now)
	human := "in " + span(d)
	if d < 0 {
		human = span(-d) + " ago"
	}
	return cell{human, t.UTC().Format(time.RFC3339)}
}

// day is a date for people and a time for programs.
func day(t time.Time) cell {
	if t.IsZero() {
		return word("")
	}
	return cell{t.Format(time.DateOnly), t.UTC().Format(time.RFC3339)}
}

// span says a duration with its two largest units at most.
func span(d time.Duration) string {
	d = d.Round(time.Second)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%d days", int(d.Hours())/24)
}

// tidy makes s fit for one cell.
func tidy(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, s)
}

// table prints rows under columns. A row may be shorter than columns.
func (h *host) table(columns []string, rows [][]cell) error {
	if !h.outTTY {
		var b strings.Builder
		b.WriteString(strings.Join(columns, "\t") + "\n")
		for _, row := range rows {
			for i, c := range row {
				if i > 0 {
					b.WriteByte('\t')
				}
				b.WriteString(tidy(c.plain))
			}
			b.WriteByte('\n')
		}
		_, err := io.WriteString(h.out, b.String())
		return err
	}
	head := make([]cell, len(columns))
	for i, c := range columns {
		head[i] = text(strings.ToUpper(strings.ReplaceAll(c, "_", " ")))
	}
	return aligned(h.out, "", slices.Insert(slices.Clone(rows), 0, head))
}

// aligned prints rows with their cells one under the other, and no space at the ends of lines.
func aligned(w io.Writer, indent string, rows [][]cell) error {
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		for i, c := range row {
			if i > 0 {
				fmt.Fprint(t, "\t")
			}
			fmt.Fprint(t, tidy(c.human))
		}
		fmt.Fprintln(t)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for line := range strings.Lines(b.String()) {
		if _, err := fmt.Fprintln(w, strings.TrimRight(indent+line, " \n")); err != nil {
			return err
		}
	}
	return nil
}

// facts are what is known about one or several subjects, one fact a line.
type facts []fact

type fact struct {
	subject, field string
	value          cell
}

func (f *facts) add(subject, field string, value cell) { *f = append(*f, fact{subject, field, value}) }

// print writes facts in groups, one for each run of the same subject.
func (f facts) print(h *host) error {
	grouped := slices.ContainsFunc(f, func(a fact) bool { return a.subject != "" })
	if !h.outTTY {
		columns, rows := []string{"field", "value"}, make([][]cell, len(f))
		for i, a := range f {
			rows[i] = []cell{text(a.field), a.value}
			if grouped {
				rows[i] = slices.Insert(rows[i], 0, text(a.subject))
			}
		}
		if grouped {
			columns = slices.Insert(columns, 0, "subject")
		}
		return h.table(columns, rows)
	}
	for len(f) > 0 {
		n := slices.IndexFunc(f, func(a fact) bool { return a.subject != f[0].subject })
		if n < 0 {
			n = len(f)
		}
		indent := ""
		if f[0].subject != "" {
			indent = "  "
			fmt.Fprintln(h.out, tidy(f[0].subject))
		}
		rows := make([][]cell, n)
		for i, a := range f[:n] {
			rows[i] = []cell{text(a.field), a.value}
			if i > 0 && f[i-1].field == a.field {
				rows[i][0] = text("")
			}
		}
		if err := aligned(h.out, indent, rows); err != nil {
			return err
		}
		f = f[n:]
	}
	return nil
}

// json prints v as one indented document.
func (h *host) json(v any) error {
	e := json.NewEncoder(h.out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
