package ledger_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"detour/internal/ledger"
	"detour/internal/llm"
	"detour/internal/record"
)

// killedEnv names the ledger that the test binary fills until it is killed.
const killedEnv = "DETOUR_TEST_FILL_LEDGER"

func TestMain(m *testing.M) {
	if path := os.Getenv(killedEnv); path != "" {
		fill(path)
	}
	goleak.VerifyTestMain(m)
}

// fill records as fast as it can, and prints how many rows are in the file.
func fill(path string) {
	l, err := ledger.Open(context.Background(), ledger.Options{Path: path, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	for {
		for range 500 {
			l.Record(exchange("work", time.Now()))
		}
		fmt.Println(l.Stats().Written)
		time.Sleep(10 * time.Millisecond)
	}
}

// output is where a logger writes.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

func logger(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }

func open(t *testing.T, o ledger.Options) *ledger.Ledger {
	t.Helper()
	if o.Path == "" {
		o.Path = filepath.Join(t.TempDir(), "data", "usage.db")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	l, err := ledger.Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return l
}

// sums reads what is in the file.
func sums(t *testing.T, path string, q ledger.Query) []ledger.Sum {
	t.Helper()
	r, err := ledger.OpenReader(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got, err := r.Usage(context.Background(), q)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func requests(t *testing.T, path string) int64 {
	t.Helper()
	got := sums(t, path, ledger.Query{})
	if len(got) == 0 {
		return 0
	}
	return got[0].Requests
}

func exchange(account string, at time.Time) *record.Exchange {
	return &record.Exchange{
		ID: "x-1", Start: at, Door: "api", Client: "laptop", Method: "POST", Path: "/v1/chat/completions", Endpoint: "chat", Dialect: "chat",
		Upstream: "responses", Mode: "route", Proto: "HTTP/1.1", RequestedModel: "gpt", Model: "gpt-5", Provider: "github-copilot", Account: account,
		Initiator: llm.InitiatorUser, Stream: true, Status: 200, FirstByte: time.Millisecond, Total: time.Second,
		Usage:   llm.Usage{Input: 10, CacheRead: 5, CacheWrite: 2, Output: 7, Reasoning: 3, Reported: true},
		Premium: 1.5, Allowance: llm.Allowance{Used: 100.5, Left: 199.5, Known: true},
		Attempts: []record.Attempt{{Account: account, Model: "gpt-5", Took: time.Second}},
	}
}
