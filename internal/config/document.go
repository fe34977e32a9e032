package config

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/BurntSushi/toml"
)

// step is one part of the way to a value. elem is the position in a list of tables, or -1.
type step struct {
	key  string
	elem int
}

type path []step

// String renders p as a dotted TOML key; positions in lists show in brackets.
func (p path) String() string {
	var b strings.Builder
	for i, s := range p {
		if i > 0 {
			b.WriteByte('.')
		}
		b.WriteString(bareOrQuoted(s.key))
		if s.elem >= 0 {
			fmt.Fprintf(&b, "[%d]", s.elem)
		}
	}
	return b.String()
}

func (p path) equal(q path) bool     { return slices.Equal(p, q) }
func (p path) hasPrefix(q path) bool { return len(p) >= len(q) && slices.Equal(p[:len(q)], q) }

func (p path) child(key string) path {
	return append(slices.Clip(p), step{key, -1})
}

// within returns p with its last step pointing at element i.
func (p path) within(i int) path {
	q := slices.Clone(p)
	if len(q) > 0 {
		q[len(q)-1].elem = i
	}
	return q
}

type itemKind uint8

const (
	header itemKind = iota // [a] or [[a]]
	pair                   // key = value on lines of its own
	inline                 // key = value inside an inline table
)

// item is a header or a pair with its place in the source. Offsets are in bytes.
type item struct {
	kind   itemKind
	path   path
	line   int // 1-based, of the key or header
	start  int // of the key or header
	val    int // start of the value
	valEnd int // end of the value
	end    int // of the line that the item ends on, its newline included; equal to valEnd when inline
	block  int // index of the header that a pair stands under, -1 for none; for inline, of the item around it
}

// document knows where everything stands in a TOML text. It relies on the text being valid, which is for the TOML
// library to say; on other input it may fail or find nonsense, in linear time.
type document struct {
	src   []byte
	items []item
	lines map[string]int // by path
}

// maxDepth bounds dotted keys and nested values, so that no input takes quadratic time or a deep stack.
const maxDepth = 32

var (
	errScan = errors.New("the text could not be followed")
	errDeep = errors.New("is nested too deep")
)

func newDocument(src []byte) (*document, *scanError) {
	s := scanner{src: src, line: 1, count: map[string]int{}, block: -1}
	s.pos = len(src) - len(bytes.TrimPrefix(src, []byte("\xef\xbb\xbf")))
	if err := s.run(); err != nil {
		return nil, &scanError{s.line, err}
	}
	d := &document{src: src, items: s.items}
	d.index()
	return d, nil
}

// find returns the pair at p.
func (d *document) find(p path) (item, bool) {
	for _, it := range d.items {
		if it.kind != header && it.path.equal(p) {
			return it, true
		}
	}
	return item{}, false
}

// lineOf returns the line of the pair or header at p, else of the first thing below it, else 0.
func (d *document) lineOf(p path) int { return d.lines[p.String()] }

// index fills lines.
func (d *document) index() {
	d.lines = make(map[string]int, len(d.items))
	exact := make(map[string]bool, len(d.items))
	for _, it := range d.items {
		id := it.path.String()
		if !exact[id] {
			exact[id] = true
			d.lines[id] = it.line
		}
		for n := len(it.path) - 1; n > 0; n-- {
			above := it.path[:n].String()
			if _, ok := d.lines[above]; ok {
				break
			}
			d.lines[above] = it.line
		}
	}
}

type scanError struct {
	line int
	err  error
}

func (e *scanError) Error() string { return e.err.Error() }
func (e *scanError) Unwrap() error { return e.err }

type scanner struct {
	src   []byte
	pos   int
	line  int
	items []item
	count map[string]int // elements seen of each list of tables
	table path           // of the header above
	block int
	depth int // of the value being read
}

func (s *scanner) run() error {
	for {
		s.blank(true)
		if s.pos >= len(s.src) {
			return nil
		}
		var err error
		if s.src[s.pos] == '[' {
			err = s.header()
		} else {
			err = s.pair()
		}
		if err != nil {
			return err
		}
	}
}

func (s *scanner) peek() byte {
	if s.pos < len(s.src) {
		return s.src[s.pos]
	}
	return 0
}

func (s *scanner) accept(token string) bool {
	if !bytes.HasPrefix(s.src[s.pos:], []byte(token)) {
		return false
	}
	s.pos += len(token)
	return true
}

// blank skips spaces and, with lines, newlines and comments too.
func (s *scanner) blank(lines bool) {
	for s.pos < len(s.src) {
		switch c := s.src[s.pos]; {
		case c == ' ' || c == '\t':
			s.pos++
		case lines && c == '\n':
			s.line++
			s.pos++
		case lines && c == '\r':
			s.pos++
		case lines && c == '#':
			if i := bytes.IndexByte(s.src[s.pos:], '\n'); i >= 0 {
				s.pos += i
			} else {
				s.pos = len(s.src)
			}
		default:
			return
		}
	}
}

// lineEnd skips what may follow on a line and returns the offset after its newline.
func (s *scanner) lineEnd() int {
	if i := bytes.IndexByte(s.src[s.pos:], '\n'); i >= 0 {
		s.pos += i + 1
		s.line++
	} else {
		s.pos = len(s.src)
	}
	return s.pos
}

func (s *scanner) header() error {
	it := item{kind: header, start: s.pos, line: s.line, block: -1}
	s.pos++
	array := s.accept("[")
	keys, err := s.keys()
	if err != nil {
		return err
	}
	if !s.accept("]") || (array && !s.accept("]")) {
		return errScan
	}
	for i, k := range keys {
		it.path = it.path.child(k)
		id := it.path.String()
		if array && i == len(keys)-1 {
			s.count[id]++
		}
		if n := s.count[id]; n > 0 {
			it.path[i].elem = n - 1
		}
	}
	it.val, it.valEnd = s.pos, s.pos
	it.end = s.lineEnd()
	s.table, s.block = it.path, len(s.items)
	s.items = append(s.items, it)
	return nil
}

func (s *scanner) pair() error {
	at := len(s.items)
	s.items = append(s.items, item{kind: pair, start: s.pos, line: s.line, block: s.block})
	p, err := s.keyAndValue(at, s.table)
	if err != nil {
		return err
	}
	it := &s.items[at]
	it.path = p
	it.valEnd = s.pos
	it.end = s.lineEnd()
	return nil
}

// keyAndValue reads "key = value" below base into the item at index at.
func (s *scanner) keyAndValue(at int, base path) (path, error) {
	keys, err := s.keys()
	if err != nil {
		return nil, err
	}
	p := base
	for _, k := range keys {
		p = p.child(k)
	}
	if !s.accept("=") {
		return nil, errScan
	}
	s.blank(false)
	s.items[at].val = s.pos
	return p, s.value(at, p)
}

// keys reads a dotted key and the spaces around it.
func (s *scanner) keys() ([]string, error) {
	var keys []string
	for {
		s.blank(false)
		k, err := s.key()
		if err != nil {
			return nil, err
		}
		keys = append(keys, k)
		s.blank(false)
		if !s.accept(".") {
			return keys, nil
		}
		if len(keys) == maxDepth {
			return nil, errDeep
		}
	}
}

func (s *scanner) key() (string, error) {
	start := s.pos
	switch s.peek() {
	case '"', '\'':
		if err := s.str(); err != nil {
			return "", err
		}
		return unquote(string(s.src[start:s.pos]))
	}
	for s.pos < len(s.src) && isBare(s.src[s.pos]) {
		s.pos++
	}
	if s.pos == start {
		return "", errScan
	}
	return string(s.src[start:s.pos]), nil
}

// value skips one value. at is the item that holds it, p the way to it.
func (s *scanner) value(at int, p path) error {
	if s.depth == maxDepth {
		return errDeep
	}
	s.depth++
	defer func() { s.depth-- }()
	switch s.peek() {
	case '"', '\'':
		return s.str()
	case '[':
		return s.array(at, p)
	case '{':
		return s.inlineTable(at, p)
	}
	start := s.pos
	for s.pos < len(s.src) && !strings.ContainsRune(",]}#\r\n", rune(s.src[s.pos])) {
		s.pos++
	}
	for s.pos > start && (s.src[s.pos-1] == ' ' || s.src[s.pos-1] == '\t') {
		s.pos--
	}
	if s.pos == start {
		return errScan
	}
	return nil
}

func (s *scanner) array(at int, p path) error {
	s.pos++
	for i := 0; ; i++ {
		s.blank(true)
		if s.accept("]") {
			return nil
		}
		if err := s.value(at, p.within(i)); err != nil {
			return err
		}
		s.blank(true)
		if !s.accept(",") && s.peek() != ']' {
			return errScan
		}
	}
}

func (s *scanner) inlineTable(at int, p path) error {
	s.pos++
	for {
		s.blank(true)
		if s.accept("}") {
			return nil
		}
		i := len(s.items)
		s.items = append(s.items, item{kind: inline, start: s.pos, line: s.line, block: at})
		q, err := s.keyAndValue(i, p)
		if err != nil {
			return err
		}
		it := &s.items[i]
		it.path, it.valEnd, it.end = q, s.pos, s.pos
		s.blank(true)
		if !s.accept(",") && s.peek() != '}' {
			return errScan
		}
	}
}

// str skips a string of any of the four forms.
func (s *scanner) str() error {
	quote := s.src[s.pos]
	if triple := strings.Repeat(string(quote), 3); s.accept(triple) {
		for s.pos < len(s.src) {
			switch {
			case s.accept(triple):
				for range 2 { // up to two quotes may stand before the closing three
					if s.peek() == quote && s.pos < len(s.src) {
						s.pos++
					}
				}
				return nil
			case quote == '"' && s.src[s.pos] == '\\' && s.pos+1 < len(s.src) && s.src[s.pos+1] != '\n':
				s.pos += 2
			default:
				if s.src[s.pos] == '\n' {
					s.line++
				}
				s.pos++
			}
		}
		return errScan
	}
	for s.pos++; s.pos < len(s.src); s.pos++ {
		switch c := s.src[s.pos]; {
		case c == '\\' && quote == '"':
			s.pos++
		case c == '\n':
			return errScan
		case c == quote:
			s.pos++
			return nil
		}
	}
	s.pos = min(s.pos, len(s.src))
	return errScan
}

func isBare(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-'
}

// unquote decodes one quoted TOML key or string.
func unquote(literal string) (string, error) {
	var v struct{ V string }
	if _, err := toml.Decode("V = "+literal, &v); err != nil {
		return "", errScan
	}
	return v.V, nil
}

func bareOrQuoted(key string) string {
	for i := range len(key) {
		if !isBare(key[i]) {
			return quote(key)
		}
	}
	if key == "" {
		return `""`
	}
	return key
}

// quote writes s as a TOML basic string. Bytes that are not UTF-8 become U+FFFD.
func quote(s string) string {
	b := make([]byte, 0, len(s)+2)
	b = append(b, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r == '\n':
			b = append(b, `\n`...)
		case r == '\t':
			b = append(b, `\t`...)
		case r == '\r':
			b = append(b, `\r`...)
		case r < 0x20 || r == 0x7f:
			b = append(b, `\u00`...)
			b = append(b, strconv.FormatInt(int64(r)|0x100, 16)[1:]...)
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return string(append(b, '"'))
}
