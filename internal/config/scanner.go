package config

import (
	"bytes"
	"errors"
	"strings"
)

// maxDepth bounds dotted keys and nested values, so that no input takes quadratic time or a deep stack.
const maxDepth = 32

var (
	errScan = errors.New("the text could not be followed")
	errDeep = errors.New("is nested too deep")
)

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
