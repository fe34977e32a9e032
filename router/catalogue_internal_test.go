package router

import (
	"context"
	"log/slog"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"detour/internal/dialect"
	"detour/providers"
)

// slowLister lists one model for each account, for the one that is slow only when the context ends.
type slowLister struct{ name, slow string }

func (l slowLister) Name() string { return l.name }

func (slowLister) Open(providers.AccountConfig) (*providers.Account, error) { panic("not called") }

func (slowLister) Dialects(m providers.Model) []dialect.Endpoint { return m.Endpoints }

func (slowLister) NewRequest(context.Context, *providers.Account, *providers.Call) (*http.Request, error) {
	panic("not called")
}

func (slowLister) Check(*http.Response) error { return nil }

func (l slowLister) Models(ctx context.Context, a *providers.Account) ([]providers.Model, error) {
	if a.ID() == l.slow {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return []providers.Model{{ID: "of-" + a.ID(), Endpoints: []dialect.Endpoint{dialect.EndpointChat}}}, nil
}

func TestASlowAccountHoldsUpOnlyWhatItAloneCanTell(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		slow string
		wait time.Duration // of the first request
	}{
		"its provider is known by another account":   {"a2", catalogueGrace},
		"its models may be those of another, dearer": {"b", catalogueTimeout},
		"nobody is slow": {"", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var accounts []*providers.Account
				for _, id := range []string{"a", "a2", "b"} {
					accounts = append(accounts, providers.NewAccount(providers.AccountConfig{ID: id, Provider: id[:1]}, func(context.Context) (providers.Lease, error) {
						return providers.Lease{}, nil
					}))
				}
				c := newCatalogues(t.Context(), Config{
					Providers: providers.NewRegistry(slowLister{"a", tc.slow}, slowLister{"b", tc.slow}), Accounts: accounts, Logger: slog.New(slog.DiscardHandler),
				}, func(*providers.Account, error) {}, time.Now)
				defer c.retire()
				start := time.Now()
				second := make(chan time.Duration, 1)
				go func() { // ends with its turn; it comes while the first request waits
					time.Sleep(time.Millisecond)
					c.get(t.Context())
					second <- time.Since(start)
				}()
				if _, ok := c.get(t.Context()).find("of-a", scope{}); !ok || time.Since(start) != tc.wait {
					t.Errorf("the model of the account that answered: %t after %v, want %v", ok, time.Since(start), tc.wait)
				}
				if waited := <-second; waited != max(tc.wait, time.Millisecond) {
					t.Errorf("who came second waited %v", waited)
				}
				if c.whole(t.Context()); tc.slow != "" && time.Since(start) != catalogueTimeout {
					t.Errorf("the whole picture came after %v", time.Since(start))
				}
			})
		})
	}
}
