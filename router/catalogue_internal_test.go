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

// slowLister lists one model for each account, for those in slow only when the context ends.
type slowLister struct{ slow string }

func (slowLister) Name() string { return "slow" }

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

func TestASlowAccountDoesNotHoldUpTheOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var accounts []*providers.Account
		for _, id := range []string{"a", "b"} {
			accounts = append(accounts, providers.NewAccount(providers.AccountConfig{ID: id, Provider: "slow"}, func(context.Context) (providers.Lease, error) {
				return providers.Lease{}, nil
			}))
		}
		c := newCatalogues(t.Context(), Config{
			Providers: providers.NewRegistry(slowLister{"b"}), Accounts: accounts, Logger: slog.New(slog.DiscardHandler),
		}, func(*providers.Account, error) {}, time.Now)
		defer c.retire()
		start := time.Now()
		if _, ok := c.get(t.Context()).find("of-a", scope{}); !ok || time.Since(start) != catalogueGrace {
			t.Errorf("the model of the account that answered: %t after %v", ok, time.Since(start))
		}
		start = time.Now()
		if _, ok := c.get(t.Context()).find("of-a", scope{}); !ok || time.Since(start) != 0 {
			t.Errorf("later: %t after %v", ok, time.Since(start))
		}
		c.whole(t.Context())
		if waited := time.Since(start); waited != catalogueTimeout-catalogueGrace {
			t.Errorf("the whole picture came after %v", waited)
		}
	})
}
