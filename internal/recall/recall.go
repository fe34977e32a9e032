// Package recall remembers answers for a while, so that clients can refer to them by id instead of saying everything
// again. It is all in memory, bounded in bytes, number and age, and nothing of it is ever written down.
//
// Each answer belongs to a scope, such as one client or one connection. An id of another scope is unknown.
package recall

import (
	"container/list"
	"sync"
	"time"
)

// Limits bound what a Store remembers. What was used longest ago goes first.
type Limits struct {
	Bytes   int64         // of all texts
	Answers int           // number of answers
	Age     time.Duration // since an answer was last used
}

// Store remembers answers. It is safe for concurrent use and does no I/O.
type Store struct {
	now func() time.Time

	mu     sync.Mutex
	limits Limits
	scopes map[string]*scope
	used   list.List // of *entry, the one that was used last in front
	bytes  int64     // of all conversations that entries hold
	sweep  *time.Timer
	closed bool
}

// scope is what one client can refer to.
type scope struct {
	answers map[string]*list.Element
	items   map[string]item
}

// item is one item of an answer.
type item struct {
	text []byte
	of   *list.Element
}

// entry is an answer in a scope.
type entry struct {
	scope, id string
	c         *Conversation
	last      time.Time // when it was used
}

// NewStore makes a Store. now is the wall clock.
func NewStore(limits Limits, now func() time.Time) *Store {
	return &Store{limits: limits, now: now, scopes: map[string]*scope{}}
}

// Limit changes the limits. They hold at once.
func (s *Store) Limit(limits Limits) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limits = limits
	s.fit()
}

// Keep remembers c as the answer with the id, in each of the scopes. Memory that it does not fit into at all stays as
// it is.
func (s *Store) Keep(c *Conversation, id string, scopes ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || c.total > s.limits.Bytes {
		return
	}
	for _, name := range scopes {
		s.add(name, id, c)
	}
	s.fit()
}

// Answer returns the conversation that ends in the answer with the id.
func (s *Store) Answer(name, id string) (*Conversation, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire()
	sc := s.scopes[name]
	if sc == nil || sc.answers[id] == nil {
		return nil, false
	}
	return s.touch(sc.answers[id]).c, true
}

// Item returns the text of an item of an answer by the item's id. It must not be changed.
func (s *Store) Item(name, id string) ([]byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire()
	sc := s.scopes[name]
	if sc == nil || sc.items[id].of == nil {
		return nil, false
	}
	s.touch(sc.items[id].of)
	return sc.items[id].text, true
}

// Forget forgets one answer, and reports whether there was one.
func (s *Store) Forget(name, id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire()
	sc := s.scopes[name]
	if sc == nil || sc.answers[id] == nil {
		return false
	}
	s.remove(sc.answers[id])
	return true
}

// ForgetAll forgets a scope.
func (s *Store) ForgetAll(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sc := s.scopes[name]; sc != nil {
		for _, e := range sc.answers {
			s.remove(e)
		}
	}
}

// Close forgets everything, for good.
func (s *Store) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.limits = Limits{}
	s.fit()
}

// Bytes is how much is remembered.
func (s *Store) Bytes() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bytes
}

func (s *Store) touch(e *list.Element) *entry {
	s.used.MoveToFront(e)
	found := e.Value.(*entry)
	found.last = s.now()
	return found
}

func (s *Store) add(name, id string, c *Conversation) {
	sc := s.scopes[name]
	if sc != nil && sc.answers[id] != nil {
		s.remove(sc.answers[id])
		sc = s.scopes[name]
	}
	if sc == nil {
		sc = &scope{answers: map[string]*list.Element{}, items: map[string]item{}}
		s.scopes[name] = sc
	}
	e := s.used.PushFront(&entry{scope: name, id: id, c: c, last: s.now()})
	sc.answers[id] = e
	for _, i := range c.items {
		sc.items[i.id] = item{i.text, e}
	}
	s.hold(c)
}

// hold counts one more holder of c, and c's bytes if it is the first.
func (s *Store) hold(c *Conversation) {
	for ; c != nil; c = c.before {
		if c.kept++; c.kept > 1 {
			return
		}
		s.bytes += c.size
	}
}

// drop undoes hold.
func (s *Store) drop(c *Conversation) {
	for ; c != nil; c = c.before {
		if c.kept--; c.kept > 0 {
			return
		}
		s.bytes -= c.size
	}
}

func (s *Store) remove(e *list.Element) {
	en := s.used.Remove(e).(*entry)
	sc := s.scopes[en.scope]
	delete(sc.answers, en.id)
	for _, i := range en.c.items {
		if sc.items[i.id].of == e { // a later answer may have taken the id over
			delete(sc.items, i.id)
		}
	}
	if len(sc.answers) == 0 {
		delete(s.scopes, en.scope)
	}
	s.drop(en.c)
}

// fit forgets what is over a limit.
func (s *Store) fit() {
	s.expire()
	for s.used.Len() > s.limits.Answers || s.used.Len() > 0 && s.bytes > s.limits.Bytes {
		s.remove(s.used.Back())
	}
	s.arm()
}

// expire forgets what is too old.
func (s *Store) expire() {
	for e := s.used.Back(); e != nil && s.now().Sub(e.Value.(*entry).last) >= s.limits.Age; e = s.used.Back() {
		s.remove(e)
	}
}

// arm sees to it that answers are forgotten in time even if nobody asks any more.
func (s *Store) arm() {
	if s.sweep != nil {
		s.sweep.Stop()
		s.sweep = nil
	}
	if e := s.used.Back(); e != nil {
		wait := s.limits.Age - s.now().Sub(e.Value.(*entry).last)
		s.sweep = time.AfterFunc(max(wait, time.Minute), s.swept) // stopped by Close, by way of fit
	}
}

func (s *Store) swept() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fit()
}
