package config

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"detour/internal/secret"
	"detour/internal/suggest"
)

// kind is how a setting is written in TOML.
type kind uint8

const (
	text kind = iota
	secretText
	integer
	boolean
	tristate // true, false or a string
	number
	seconds  // integer, into a time.Duration
	unixTime // integer, into a time.Time
	duration // string like "10s"
	size     // string like "64MiB", or an integer of bytes
	list
	integers
	prefixes
	table // names to strings
)

// inverted is a bool whose setting says the opposite.
type inverted bool

func (r *row) typeName() string {
	switch r.kind {
	case secretText:
		return "secret string"
	case integer, seconds, unixTime:
		return "integer"
	case boolean:
		return "boolean"
	case number:
		return "number"
	case duration:
		return "duration"
	case size:
		return "size"
	case list:
		return "list of strings"
	case integers:
		return "list of integers"
	case prefixes:
		return "list of CIDRs"
	case table:
		if r.oneOf != "" {
			return "table of " + r.oneOf
		}
		return "table of strings"
	}
	if r.oneOf != "" {
		return r.oneOf
	}
	return "string"
}

// mistake is a Problem that does not know yet where it is.
type mistake struct{ message, suggestion string }

func wrongType(want string, got any, suggestion string) *mistake {
	return &mistake{"must be " + want + ", not " + describe(got), suggestion}
}

// store checks v, as decoded from TOML, and puts it where dst points.
func (r *row) store(dst, v any) *mistake {
	switch r.kind {
	case text, secretText:
		return r.storeText(dst, v)
	case tristate:
		if b, ok := v.(bool); ok {
			v = strconv.FormatBool(b)
		}
		return r.storeText(dst, v)
	case boolean:
		return storeBool(dst, v)
	case duration:
		return r.storeDuration(dst, v)
	case size:
		return r.storeSize(dst, v)
	case list, integers, prefixes:
		elements, ok := v.([]any)
		if !ok {
			hint := "put it in square brackets"
			if _, isTables := v.([]map[string]any); isTables {
				hint = ""
			}
			return wrongType("a list", v, hint)
		}
		if wrong := r.storeList(dst, elements); len(wrong) > 0 {
			return wrong[0] // binder.value words each one
		}
		return nil
	case table:
		return r.storeTable(dst, v)
	}
	return r.storeNumber(dst, v)
}

func (r *row) storeText(dst, v any) *mistake {
	s, ok := v.(string)
	if !ok {
		return wrongType("a string", v, "put it in double quotes")
	}
	if m := r.checkString(s); m != nil {
		return m
	}
	switch dst := dst.(type) {
	case *secret.String:
		*dst = secret.New(s)
	case *string:
		*dst = s
	}
	return nil
}

// checkString checks one string of the value.
func (r *row) checkString(s string) *mistake {
	if r.oneOf != "" {
		choices := strings.Split(r.oneOf, "|")
		if slices.Contains(choices, s) {
			return nil
		}
		// An empty choice is that of leaving the setting out.
		m := &mistake{message: quote(s) + " is not one of " + strings.TrimPrefix(strings.Join(choices, ", "), ", ")}
		if n := suggest.Nearest(s, choices); n != "" {
			m.suggestion = "did you mean " + quote(n) + "?"
		}
		return m
	}
	if r.check != nil && (s != "" || r.Default != "" || r.kind != text) {
		if wrong, hint := r.check(s); wrong != "" {
			return &mistake{wrong, hint}
		}
	}
	return nil
}

func storeBool(dst, v any) *mistake {
	b, ok := v.(bool)
	if !ok {
		hint := ""
		if s, isText := v.(string); isText && (s == "true" || s == "false") {
			hint = "write " + s + " without quotes"
		}
		return wrongType("true or false", v, hint)
	}
	switch dst := dst.(type) {
	case *bool:
		*dst = b
	case *inverted:
		*dst = inverted(!b)
	}
	return nil
}

func (r *row) storeNumber(dst, v any) *mistake {
	n, isInt := v.(int64)
	f, isFloat := v.(float64)
	if isInt {
		f = float64(n)
	}
	if !isInt && (!isFloat || r.kind != number) {
		want, hint := "an integer", ""
		if r.kind == number {
			want = "a number"
		}
		if s, ok := v.(string); ok {
			if _, err := strconv.ParseFloat(s, 64); err == nil && !strings.ContainsAny(s, "xXpP_iInN") {
				hint = "write " + s + " without quotes"
			}
		}
		return wrongType(want, v, hint)
	}
	if math.IsNaN(f) || f < float64(r.min) || (r.max != 0 && f > float64(r.max)) {
		return &mistake{message: r.bounds(strconv.FormatInt(r.min, 10), strconv.FormatInt(r.max, 10))}
	}
	switch dst := dst.(type) {
	case *int:
		*dst = int(n)
	case *float64:
		*dst = f
	case *time.Duration:
		*dst = time.Duration(n) * time.Second
	case *time.Time:
		*dst = time.Unix(n, 0)
	}
	return nil
}

func (r *row) bounds(least, most string) string {
	if r.max == 0 {
		return "must be at least " + least
	}
	return "must be from " + least + " to " + most
}

func (r *row) storeDuration(dst, v any) *mistake {
	s, ok := v.(string)
	if !ok {
		return wrongType("a duration", v, `write it with a unit and in quotes, as in "10s" or "1h30m"`)
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return &mistake{quote(s) + " is not a duration", `write it with a unit, as in "10s" or "1h30m"`}
	}
	if d < time.Duration(r.min) || (r.max != 0 && d > time.Duration(r.max)) {
		return &mistake{message: r.bounds(time.Duration(r.min).String(), time.Duration(r.max).String())}
	}
	*dst.(*time.Duration) = d
	return nil
}

func (r *row) storeSize(dst, v any) *mistake {
	var n int64
	switch v := v.(type) {
	case int64:
		n = v
	case string:
		var ok bool
		if n, ok = parseSize(v); !ok {
			return &mistake{quote(v) + " is not a size", `write it as "64MiB", "500KB" or a number of bytes`}
		}
	default:
		return wrongType("a size", v, `write it as "64MiB"`)
	}
	if n < r.min || (r.max != 0 && n > r.max) {
		return &mistake{message: r.bounds(formatSize(r.min), formatSize(r.max))}
	}
	*dst.(*int64) = n
	return nil
}

// storeList checks the elements of a list and stores it if all are right. It returns every mistake.
func (r *row) storeList(dst any, elements []any) (wrong []*mistake) {
	var (
		stringsOut  []string
		intsOut     []int
		prefixesOut []netip.Prefix
	)
	for i, e := range elements {
		var m *mistake
		switch r.kind {
		case integers:
			var n int
			one := row{kind: integer, min: r.min, max: r.max}
			m = one.storeNumber(&n, e)
			intsOut = append(intsOut, n)
		case prefixes:
			var p netip.Prefix
			p, m = parsePrefix(e)
			prefixesOut = append(prefixesOut, p)
		default:
			var s string
			m = r.storeText(&s, e)
			stringsOut = append(stringsOut, s)
		}
		if m != nil {
			m.message = fmt.Sprintf("entry %d: %s", i+1, m.message)
			wrong = append(wrong, m)
		}
	}
	if len(wrong) > 0 {
		return wrong
	}
	switch dst := dst.(type) {
	case *[]string:
		*dst = stringsOut
	case *[]int:
		*dst = intsOut
	case *[]netip.Prefix:
		*dst = prefixesOut
	}
	return nil
}

func parsePrefix(v any) (netip.Prefix, *mistake) {
	s, ok := v.(string)
	if !ok {
		return netip.Prefix{}, wrongType("a string", v, "put it in double quotes")
	}
	p, err := netip.ParsePrefix(s)
	if err == nil {
		return p.Masked(), nil
	}
	m := &mistake{quote(s) + " is not an address range", `write it as "10.0.0.0/8"`}
	if a, err := netip.ParseAddr(s); err == nil {
		m.suggestion = "write " + quote(netip.PrefixFrom(a, a.BitLen()).String())
	}
	return netip.Prefix{}, m
}

func (r *row) storeTable(dst, v any) *mistake {
	m, ok := v.(map[string]any)
	if !ok {
		return wrongType("a table of names and strings", v, "")
	}
	out := make(map[string]string, len(m))
	var bad *mistake
	for name, v := range m {
		if wrong := r.entry(name, v); wrong != nil {
			bad = wrong // binder.value words each one
		} else {
			out[name] = v.(string)
		}
	}
	*dst.(*map[string]string) = out
	return bad
}

// entry checks one name and value of a table.
func (r *row) entry(name string, v any) *mistake {
	if r.checkKey != nil {
		if wrong, hint := r.checkKey(name); wrong != "" {
			return &mistake{"as a name: " + wrong, hint}
		}
	}
	if sub, ok := v.(map[string]any); ok {
		for len(sub) == 1 { // a.b.c = "x" is a table in a table
			for inner, v := range sub {
				name += "." + inner
				sub, _ = v.(map[string]any)
			}
		}
		return &mistake{"must be a string, not a table", "a name with a dot needs quotes: " + quote(name)}
	}
	var s string
	one := *r
	one.kind = text
	return one.storeText(&s, v)
}

func describe(v any) string {
	switch v.(type) {
	case string:
		return "a string"
	case int64:
		return "an integer"
	case float64:
		return "a fraction"
	case bool:
		return "a boolean"
	case time.Time:
		return "a date"
	case []any:
		return "a list"
	case map[string]any:
		return "a table"
	case []map[string]any:
		return "a list of tables"
	}
	return "something else"
}

// sizeUnits goes from the largest to the smallest, so that formatSize finds the shortest form first.
func sizeUnits() []struct {
	name  string
	bytes int64
} {
	return []struct {
		name  string
		bytes int64
	}{
		{"GiB", 1 << 30}, {"GB", 1e9}, {"MiB", 1 << 20}, {"MB", 1e6}, {"KiB", 1 << 10}, {"KB", 1e3}, {"kB", 1e3}, {"B", 1}, {"", 1},
	}
}

func parseSize(s string) (int64, bool) {
	for _, u := range sizeUnits() {
		digits, ok := strings.CutSuffix(s, u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(strings.TrimRight(digits, " "), 10, 62)
		if err != nil || n > math.MaxInt64/uint64(u.bytes) {
			return 0, false
		}
		return int64(n) * u.bytes, true
	}
	return 0, false
}

func formatSize(n int64) string {
	for _, u := range sizeUnits() {
		if strings.HasSuffix(u.name, "iB") && n >= u.bytes && n%u.bytes == 0 {
			return strconv.FormatInt(n/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(n, 10)
}
