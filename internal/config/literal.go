package config

import (
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/BurntSushi/toml"
)

func itoa(n int) string { return strconv.Itoa(n) }

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// dotted splits the name of a row.
func dotted(name string) path {
	var p path
	for k := range strings.SplitSeq(name, ".") {
		p = p.child(k)
	}
	return p
}

// literal turns what a person typed for the setting into a TOML value on one line. What does not fit the kind becomes
// a string, so that storing it reports the mistake.
func (r *row) literal(typed string) string {
	switch r.kind {
	case boolean, tristate:
		if typed == "true" || typed == "false" {
			return typed
		}
	case integer, seconds, unixTime, number:
		if n, err := strconv.ParseInt(typed, 10, 64); err == nil {
			return strconv.FormatInt(n, 10)
		}
		if f, err := strconv.ParseFloat(typed, 64); err == nil && r.kind == number {
			return render(f)
		}
	case list, prefixes, integers:
		return r.listLiteral(typed)
	case table:
		if v, err := literalValue(typed); err == nil {
			if m, ok := v.(map[string]any); ok {
				return render(m)
			}
		}
	}
	return quote(typed)
}

// listLiteral takes a TOML list, or one element.
func (r *row) listLiteral(typed string) string {
	if typed == "" {
		return "[]"
	}
	if strings.HasPrefix(typed, "[") {
		if v, err := literalValue(typed); err == nil {
			if l, ok := v.([]any); ok {
				return render(l)
			}
		}
	}
	return "[" + r.elementLiteral(typed) + "]"
}

func (r *row) elementLiteral(typed string) string {
	if r.kind == integers {
		if n, err := strconv.ParseInt(typed, 10, 64); err == nil {
			return strconv.FormatInt(n, 10)
		}
	}
	return quote(typed)
}

// literalValue decodes one TOML value.
func literalValue(literal string) (any, error) {
	if len(literal) > maxFile {
		return nil, errors.New("value too long")
	}
	m := map[string]any{}
	if _, err := toml.Decode("v = "+literal, &m); err != nil {
		return nil, err
	}
	if len(m) != 1 {
		return nil, errors.New("more than one value")
	}
	return m["v"], nil
}

// render writes a decoded value as TOML on one line.
func render(v any) string {
	switch v := v.(type) {
	case string:
		return quote(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case bool:
		return strconv.FormatBool(v)
	case float64:
		s := strconv.FormatFloat(v, 'f', -1, 64)
		if !strings.ContainsAny(s, ".nN") { // inf and nan are spelled alike in TOML
			s += ".0"
		}
		return strings.TrimPrefix(strings.ToLower(s), "+")
	case time.Time:
		return v.Format(time.RFC3339Nano)
	case []any:
		parts := make([]string, len(v))
		for i, e := range v {
			parts[i] = render(e)
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case []map[string]any:
		parts := make([]string, len(v))
		for i, e := range v {
			parts[i] = render(e)
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case map[string]any:
		var parts []string
		for _, k := range sortedKeys(v) {
			parts = append(parts, bareOrQuoted(k)+" = "+render(v[k]))
		}
		if len(parts) == 0 {
			return "{}"
		}
		return "{ " + strings.Join(parts, ", ") + " }"
	}
	return `""`
}

// plain writes a decoded value for people: strings bare, everything else as TOML.
func plain(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return render(v)
}
