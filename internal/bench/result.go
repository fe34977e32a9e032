package main

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// result is what one participant did in one group.
type result struct {
	Group   string   `json:"group"`
	System  string   `json:"system"`
	Metrics []metric `json:"metrics"`
	Note    string   `json:"note,omitempty"`
}

// metric is one number. Names say the unit.
type metric struct {
	Name   string  `json:"name"`
	Value  float64 `json:"value"`
	Target *target `json:"target,omitempty"`
}

// target is what detour is meant to reach.
type target struct {
	AtLeast bool    `json:"at_least"` // else at most
	Value   float64 `json:"value"`
	Met     bool    `json:"met"`
}

// targets are those of one system in one group, by metric.
type targets map[string]target

func atLeast(v float64) target { return target{AtLeast: true, Value: v} }
func atMost(v float64) target  { return target{Value: v} }

// judge attaches the targets to r's metrics.
func (r *result) judge(t targets) {
	for i := range r.Metrics {
		m := &r.Metrics[i]
		want, ok := t[m.Name]
		if !ok || math.IsNaN(m.Value) {
			continue
		}
		want.Met = m.Value <= want.Value
		if want.AtLeast {
			want.Met = m.Value >= want.Value
		}
		m.Target = &want
	}
}

// verdict says all targets of r and whether they were met.
func (r *result) verdict() string {
	var parts []string
	for _, m := range r.Metrics {
		if m.Target == nil {
			continue
		}
		sign, mark := "≤", "MISSED"
		if m.Target.AtLeast {
			sign = "≥"
		}
		if m.Target.Met {
			mark = "ok"
		}
		parts = append(parts, fmt.Sprintf("%s %s %s %s", m.Name, sign, number(m.Target.Value), mark))
	}
	return strings.Join(parts, " · ")
}

// number prints v with about three digits that matter.
func number(v float64) string {
	switch a := math.Abs(v); {
	case math.IsNaN(v):
		return "-"
	case a >= 100 || a == math.Trunc(a):
		return strconv.FormatFloat(v, 'f', 0, 64)
	case a >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	default:
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
}

// median of values; NaN when there are none.
func median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	s := append([]float64(nil), values...)
	slices.Sort(s)
	if n := len(s); n%2 == 0 {
		return (s[n/2-1] + s[n/2]) / 2
	}
	return s[len(s)/2]
}
