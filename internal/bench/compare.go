package main

import (
	"context"
	"slices"
	"strings"
	"time"
)

// entry is one participant of a comparison.
type entry struct {
	system  string
	process *process // whose processor time counts, nil for none
	job     job
	base    string // the system that ratios refer to; "" for the entry itself
	targets targets
	note    string
}

// series are the runs of one entry.
type series struct {
	reports []report
	cpu     time.Duration
	all     int
	failed  error
}

// measured tells whether there is anything to report.
func (s *series) measured() bool { return s.failed == nil && len(s.reports) > 0 }

// unmeasured is the row of an entry that failed, or whose time never came.
func unmeasured(group, system string, s *series) result {
	note := "not measured: the time was up"
	if s.failed != nil {
		note = "FAILED: " + s.failed.Error()
	}
	return result{Group: group, System: system, Note: note}
}

// median of what pick makes of each run.
func (s *series) median(pick func(report) float64) float64 {
	values := make([]float64, len(s.reports))
	for i, r := range s.reports {
		values[i] = pick(r)
	}
	return median(values)
}

// wanted leaves out the entries that -system does not ask for.
func (r *rig) wanted(entries []entry) []entry {
	bases := map[string]bool{}
	for _, e := range entries {
		if strings.Contains(e.system, r.o.system) {
			bases[e.system], bases[e.base] = true, true
		}
	}
	return slices.DeleteFunc(entries, func(e entry) bool { return !bases[e.system] })
}

// runs measures all entries, one run of each in turn, as often as rounds says. An entry that fails is left out of
// further rounds.
func (r *rig) runs(ctx context.Context, rounds int, entries []entry) (map[string]*series, error) {
	all := map[string]*series{}
	for _, e := range entries {
		all[e.system] = &series{}
	}
	for range rounds {
		for _, e := range entries {
			if ctx.Err() != nil {
				return all, ctx.Err()
			}
			if s := all[e.system]; s.failed == nil {
				s.failed = r.runOnce(ctx, e, s)
			}
		}
	}
	return all, nil
}

func (r *rig) runOnce(ctx context.Context, e entry, s *series) error {
	before, err := cpuOf(e.process)
	if err != nil {
		return err
	}
	rep, err := r.load(ctx, e.job)
	if err != nil {
		return err
	}
	after, err := cpuOf(e.process)
	if err != nil {
		return err
	}
	s.reports = append(s.reports, rep)
	s.cpu += after - before
	s.all += rep.All
	if e.process != nil {
		e.process.forget()
	}
	return nil
}

func cpuOf(p *process) (time.Duration, error) {
	if p == nil {
		return 0, nil
	}
	return p.cpu()
}

// Names of metrics.
const (
	mRate    = "req/s"
	mRatio   = "× direct"
	mP50     = "p50 µs"
	mAdd50   = "+p50 µs"
	mAdd99   = "+p99 µs"
	mCPU     = "CPU µs/req"
	mErrors  = "errors"
	mFirst   = "first p50 µs"
	mAddF50  = "+first p50 µs"
	mAddF95  = "+first p95 µs"
	mPeer    = "× copilot-api"
	mLate    = "event p50 µs"
	mEventC  = "CPU µs/event"
	mSpeed   = "GiB/s"
	mRelay   = "× relay"
	mCPUGiB  = "CPU s/GiB"
	mFiles   = "fds each"
	mKiB     = "KiB each"
	mOpen    = "open"
	mMillis  = "ms"
	mMB      = "idle RSS MB"
	mMicros  = "µs"
	mAllocs  = "allocs"
	mPerPeer = "× best peer"
)

func rate(r report) float64     { return float64(r.Requests) / r.Took.Seconds() }
func p50(r report) float64      { return micros(r.P50) }
func p99(r report) float64      { return micros(r.P99) }
func first50(r report) float64  { return micros(r.First50) }
func first95(r report) float64  { return micros(r.First95) }
func failures(r report) float64 { return float64(r.Errors) }

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// requestResults turns series of requests into rows.
func requestResults(group string, entries []entry, all map[string]*series, streamed bool) []result {
	var out []result
	for _, e := range entries {
		s := all[e.system]
		if !s.measured() {
			out = append(out, unmeasured(group, e.system, s))
			continue
		}
		res := result{Group: group, System: e.system, Note: e.note}
		res.add(mRate, s.median(rate))
		b, compared := all[e.base]
		compared = compared && b.measured()
		if compared {
			res.add(mRatio, s.median(rate)/b.median(rate))
		}
		res.add(mP50, s.median(p50))
		if compared {
			res.add(mAdd50, s.median(p50)-b.median(p50))
			res.add(mAdd99, s.median(p99)-b.median(p99))
		}
		if streamed {
			res.add(mFirst, s.median(first50))
			if compared {
				res.add(mAddF50, s.median(first50)-b.median(first50))
			}
		}
		if e.process != nil && s.all > 0 {
			res.add(mCPU, micros(s.cpu)/float64(s.all))
		}
		errors := 0.0
		for _, r := range s.reports {
			errors += failures(r)
			if r.Error != "" {
				res.Note = r.Error
			}
		}
		res.add(mErrors, errors)
		res.judge(e.targets)
		out = append(out, res)
	}
	return out
}

func (r *result) add(name string, v float64) {
	r.Metrics = append(r.Metrics, metric{Name: name, Value: v})
}
