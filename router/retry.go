package router

import (
	"cmp"
	"context"
	"errors"
	"math"
	"time"

	"detour/providers"
)

// rounds counts how often an exchange went over all accounts again, and how long it slept for it.
type rounds struct {
	Retry
	done  int
	slept time.Duration
}

// again decides whether, with every account tried, a failure that passes is worth another round, and sleeps before
// it. Failures that only a person can mend are not. A rate limit is waited out for as long as the time for it lasts.
func (r *rounds) again(ctx context.Context, e *providers.Error) bool {
	most := r.Connection
	switch e.Kind {
	case providers.KindNetwork, providers.KindServer, providers.KindIncomplete, providers.KindOverloaded:
	case providers.KindRateLimit:
		if e.Lasting {
			return false
		}
		most = maxRounds
	default:
		return false
	}
	wait := cmp.Or(e.RetryAfter, time.Duration(float64(r.InitialBackoff)*math.Pow(r.Multiplier, float64(r.done))))
	return r.done < most && r.sleep(ctx, wait)
}

// maxRounds bounds the retries of a rate limit whose upstream asks to come back at once.
const maxRounds = 10

// outlast sleeps until an account is back from a rate limit, if that is soon enough.
func (r *rounds) outlast(ctx context.Context, err error, now time.Time) bool {
	e, ok := errors.AsType[*NoAccountError](err)
	return ok && e.Kind == providers.KindRateLimit && r.done < maxRounds && r.sleep(ctx, max(e.Until.Sub(now), time.Millisecond))
}

// sleep waits if the bounds allow it. It returns false when they do not, or when ctx ended.
func (r *rounds) sleep(ctx context.Context, wait time.Duration) bool {
	if wait > r.MaxSingleWait || r.slept+wait > r.MaxWait {
		return false
	}
	r.done++
	r.slept += wait
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
