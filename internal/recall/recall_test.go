package recall_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"detour/internal/recall"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const mib = 1 << 20

func wide() recall.Limits { return recall.Limits{Bytes: 64 * mib, Answers: 1000, Age: time.Hour} }

func response(items ...string) []byte {
	return []byte(`{"id":"r", "output":[ ` + strings.Join(items, " ,") + ` ],"x":1.0}`)
}

func text(c *recall.Conversation) string { return string(bytes.Join(c.Items(), []byte("|"))) }

func TestConversationsGoOnFromEachOther(t *testing.T) {
	t.Parallel()
	s := recall.NewStore(wide(), time.Now)
	defer s.Close()
	in, out := []byte(`{"a":1}`), response(`{"id":"m1","b":2}`)
	one := recall.New(nil, in, out, true)
	in[2], out[2] = 'X', 'X' // the caller goes on with its buffers
	s.Keep(one, "r1", "alice")
	got, ok := s.Answer("alice", "r1")
	if !ok || text(got) != `{"a":1}|{"id":"m1","b":2}` {
		t.Fatalf("got %v, %t", got, ok)
	}
	two := recall.New(got, []byte(`{"c":3},{"d":4}`), response(), false)
	s.Keep(two, "r2", "alice")
	got, _ = s.Answer("alice", "r2")
	if text(got) != `{"a":1}|{"id":"m1","b":2}|{"c":3},{"d":4}|` || got.Response() != nil {
		t.Errorf("got %s with %s", text(got), got.Response())
	}
	if before, input := got.Question(); before != one || string(input) != `{"c":3},{"d":4}` {
		t.Errorf("the question is %s after %v", input, before)
	}
	if first, _ := s.Answer("alice", "r1"); string(first.Response()) != string(response(`{"id":"m1","b":2}`)) {
		t.Errorf("the response is %s", first.Response())
	}
}

func TestScopesKeepApart(t *testing.T) {
	t.Parallel()
	s := recall.NewStore(wide(), time.Now)
	defer s.Close()
	c := recall.New(nil, nil, response(`{"id":"m1"}`), true)
	s.Keep(c, "r1", "alice", "socket 1")
	for scope, want := range map[string]bool{"alice": true, "socket 1": true, "bob": false, "": false} {
		_, answer := s.Answer(scope, "r1")
		_, item := s.Item(scope, "m1")
		if answer != want || item != want {
			t.Errorf("%q: %t, %t", scope, answer, item)
		}
	}
	if s.Forget("bob", "r1") || !s.Forget("alice", "r1") || s.Forget("alice", "r1") {
		t.Error("Forget is wrong about what there was")
	}
	if _, ok := s.Item("socket 1", "m1"); !ok || s.Bytes() == 0 {
		t.Error("the other scope lost it")
	}
	s.ForgetAll("socket 1")
	s.ForgetAll("nobody")
	if n := s.Bytes(); n != 0 {
		t.Errorf("%d bytes are left", n)
	}
}

func TestItemsByID(t *testing.T) {
	t.Parallel()
	s := recall.NewStore(wide(), time.Now)
	defer s.Close()
	s.Keep(recall.New(nil, []byte(`{"id":"in"}`), response(`{"id":"rs\u005f1","x" : 1.0}`, `{"type":"message"}`, `"odd"`, `{"id":7}`), true), "r1", "a")
	if got, ok := s.Item("a", "rs_1"); !ok || string(got) != `{"id":"rs\u005f1","x" : 1.0}` {
		t.Errorf("got %s, %t", got, ok)
	}
	if _, ok := s.Item("a", "in"); ok {
		t.Error("an item of the request is known: clients have no id for it")
	}
	// The same id again: the later answer counts, and forgetting the earlier one does not take it away.
	s.Keep(recall.New(nil, nil, response(`{"id":"rs_1","later":true}`), true), "r2", "a")
	s.Forget("a", "r1")
	if got, _ := s.Item("a", "rs_1"); string(got) != `{"id":"rs_1","later":true}` {
		t.Errorf("got %s", got)
	}
	s.Forget("a", "r2")
	if _, ok := s.Item("a", "rs_1"); ok || s.Bytes() != 0 {
		t.Errorf("something is left: %d bytes", s.Bytes())
	}
}

func TestSameIDAgainReplaces(t *testing.T) {
	t.Parallel()
	s := recall.NewStore(wide(), time.Now)
	defer s.Close()
	s.Keep(recall.New(nil, []byte("1"), response(), true), "r", "a")
	once := s.Bytes()
	s.Keep(recall.New(nil, []byte("2"), response(), true), "r", "a")
	if got, _ := s.Answer("a", "r"); text(got) != "2|" || s.Bytes() != once {
		t.Errorf("got %s in %d bytes, first %d", text(got), s.Bytes(), once)
	}
}

func TestWhatWasUsedLongestAgoGoesFirst(t *testing.T) {
	t.Parallel()
	l := wide()
	l.Answers = 3
	s := recall.NewStore(l, time.Now)
	defer s.Close()
	put := func(id string) { s.Keep(recall.New(nil, nil, response(`{"id":"item-`+id+`"}`), true), id, "a") }
	put("1")
	put("2")
	put("3")
	s.Answer("a", "1")
	s.Item("a", "item-2")
	put("4")
	for id, want := range map[string]bool{"1": true, "2": true, "3": false, "4": true} {
		if _, ok := s.Answer("a", id); ok != want {
			t.Errorf("%s: %t", id, ok)
		}
	}
}

func TestBytesAreBounded(t *testing.T) {
	t.Parallel()
	l := recall.Limits{Bytes: mib, Answers: 1000, Age: time.Hour}
	s := recall.NewStore(l, time.Now)
	defer s.Close()
	big := bytes.Repeat([]byte("x"), 100<<10)
	for i := range 100 {
		s.Keep(recall.New(nil, big, response(), true), fmt.Sprint(i), "a")
		if n := s.Bytes(); n > l.Bytes {
			t.Fatalf("%d bytes", n)
		}
	}
	if _, ok := s.Answer("a", "99"); !ok {
		t.Error("the newest is gone")
	}
	before := s.Bytes()
	s.Keep(recall.New(nil, bytes.Repeat(big, 11), response(), true), "huge", "a")
	if _, ok := s.Answer("a", "huge"); ok || s.Bytes() != before {
		t.Error("one that can never fit changed something")
	}
	s.Limit(recall.Limits{Bytes: mib, Answers: 2, Age: time.Hour})
	if n := s.Bytes(); n > 210<<10 {
		t.Errorf("%d bytes after the limit was lowered", n)
	}
	s.Limit(recall.Limits{})
	s.Keep(recall.New(nil, nil, response(), true), "off", "a")
	if n := s.Bytes(); n != 0 {
		t.Errorf("%d bytes although it is off", n)
	}
}

// A chain costs what it says once, however many answers of it are remembered; and what a later answer needs of an
// earlier one that was forgotten still counts.
func TestChainsAreCountedOnceAndWhole(t *testing.T) {
	t.Parallel()
	l := wide()
	l.Answers = 2
	s := recall.NewStore(l, time.Now)
	defer s.Close()
	piece := bytes.Repeat([]byte("x"), 10<<10)
	var last *recall.Conversation
	for i := range 100 {
		last = recall.New(last, piece, response(), false)
		s.Keep(last, fmt.Sprint(i), "a")
	}
	if n := s.Bytes(); n < 100*10<<10 || n > 100*11<<10 {
		t.Errorf("%d bytes for a chain of 100 pieces of 10 KiB", n)
	}
	if n := len(text(last)); n < 100*10<<10 {
		t.Errorf("the chain has %d bytes", n)
	}
	s.Forget("a", "99")
	s.Forget("a", "98")
	if n := s.Bytes(); n != 0 {
		t.Errorf("%d bytes are left", n)
	}
	// Going on from one that was forgotten meanwhile brings back what it needs.
	s.Keep(recall.New(last, nil, response(), false), "again", "a")
	if n := s.Bytes(); n < 100*10<<10 {
		t.Errorf("%d bytes", n)
	}
}

func TestForgottenInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := recall.NewStore(wide(), time.Now)
		defer s.Close()
		s.Keep(recall.New(nil, nil, response(`{"id":"m"}`), true), "old", "a")
		time.Sleep(40 * time.Minute)
		s.Keep(recall.New(nil, nil, response(), true), "new", "a")
		time.Sleep(19 * time.Minute)
		if _, ok := s.Answer("a", "old"); !ok {
			t.Fatal("gone too early")
		}
		time.Sleep(59 * time.Minute)
		if _, ok := s.Answer("a", "new"); ok {
			t.Error("not gone after an hour without use")
		}
		if _, ok := s.Item("a", "m"); !ok {
			t.Error("use did not count")
		}
		time.Sleep(61 * time.Minute) // and nobody asks
		synctest.Wait()
		if n := s.Bytes(); n != 0 {
			t.Errorf("%d bytes are still there", n)
		}
	})
}

func TestClosedRemembersNothing(t *testing.T) {
	t.Parallel()
	s := recall.NewStore(wide(), time.Now)
	s.Keep(recall.New(nil, nil, response(), true), "r", "a")
	s.Close()
	s.Close()
	s.Limit(wide())
	s.Keep(recall.New(nil, nil, response(), true), "r", "a")
	if _, ok := s.Answer("a", "r"); ok || s.Bytes() != 0 {
		t.Error("it still remembers")
	}
}

// What is counted stays right whatever happens in whatever order.
func TestBooksBalance(t *testing.T) {
	t.Parallel()
	s := recall.NewStore(recall.Limits{Bytes: 30 << 10, Answers: 20, Age: time.Hour}, time.Now)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(g), 7))
			for range 3000 {
				scope, id := fmt.Sprint(r.IntN(3)), fmt.Sprint(r.IntN(30))
				before, _ := s.Answer(scope, fmt.Sprint(r.IntN(30)))
				switch r.IntN(12) {
				case 0:
					s.Forget(scope, id)
				case 1:
					s.ForgetAll(scope)
				case 2:
					s.Item(scope, "m"+id)
				default:
					c := recall.New(before, make([]byte, r.IntN(500)), response(`{"id":"m`+id+`"}`), r.IntN(2) == 0)
					if r.IntN(3) == 0 {
						s.Keep(c, id, scope, "9")
					} else {
						s.Keep(c, id, scope)
					}
				}
				if n := s.Bytes(); n < 0 || n > 30<<10 {
					t.Errorf("%d bytes", n)
				}
			}
		})
	}
	wg.Wait()
	for _, scope := range []string{"0", "1", "2", "9"} {
		s.ForgetAll(scope)
	}
	if n := s.Bytes(); n != 0 {
		t.Errorf("%d bytes are left when all is forgotten", n)
	}
	s.Close()
}
