package router

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"detour/internal/dialect/chat"
)

func testOutlet() (*outlet, *httptest.ResponseRecorder) {
	rec := httptest.NewRecorder()
	x := &exchange{w: rec, table: &table{Config: Config{Now: time.Now}}, op: operation{voice: chat.Format{}}}
	return newOutlet(x, &http.Response{StatusCode: 200, Header: http.Header{}}, (&tapped{}).ping), rec
}

// sent is what went out so far, and whether anything did.
func (o *outlet) sent(rec *httptest.ResponseRecorder) (string, bool) {
	synctest.Wait()
	o.mu.Lock()
	defer o.mu.Unlock()
	return rec.Body.String(), o.began
}

func TestSilenceIsBridgedBySignsOfLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, rec := testOutlet()
		defer o.close()
		time.Sleep(pingInterval - time.Second)
		if got, began := o.sent(rec); began {
			t.Errorf("sent %q before the time", got)
		}
		time.Sleep(2 * time.Second)
		if got, began := o.sent(rec); got != ": ping\n\n" || !began {
			t.Errorf("after %v: %q", pingInterval, got)
		}
		if o.abandon() {
			t.Error("an answer that began was given up for another attempt")
		}
		if err := o.send([]byte("data: {}\n\n")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(pingInterval - time.Second) // an event puts the next sign off
		if got, _ := o.sent(rec); !strings.HasSuffix(got, "data: {}\n\n") {
			t.Errorf("sign of life right after an event: %q", got)
		}
		time.Sleep(10 * pingInterval)
		if got, _ := o.sent(rec); strings.Count(got, ": ping") != 11 {
			t.Errorf("%d signs of life in ten silent intervals, want 11 in all", strings.Count(got, ": ping"))
		}
	})
}

func TestNothingIsWrittenAfterTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, rec := testOutlet()
		if !o.abandon() {
			t.Error("an answer that never began could not be given up")
		}
		time.Sleep(3 * pingInterval)
		o.close()
		time.Sleep(3 * pingInterval)
		if got, began := o.sent(rec); began {
			t.Errorf("wrote %q after the end", got)
		}
	})
}
