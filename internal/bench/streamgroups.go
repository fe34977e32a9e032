package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// eventGroup measures how long an event is on its way, from the upstream's write to the client's read.
func eventGroup(ctx context.Context, r *rig, name string, h2 bool) ([]result, error) {
	j := r.request(kindEvents, 1, h2)
	aim := func(proxy, ca string) job {
		out := r.atUpstream(j, proxy, ca)
		out.Body, out.Path = "", fmt.Sprintf("/events?n=%d&gap=500us", r.o.events)
		out.Discard = r.o.events / 10
		return out
	}
	tunnelled := aim(r.viaTLS.proxy, r.certs.ca)
	tunnelled.Host = r.upstream.Addr
	entries := []entry{
		{system: sysDirect, job: aim("", r.certs.ca), base: sysDirect},
		{system: sysTunnelled, process: r.viaTLS.process, job: tunnelled, base: sysDirect},
		{system: sysRelayed, process: r.viaTLS.process, job: aim(r.viaTLS.proxy, r.viaTLS.ca), base: sysDirect, targets: targets{mAdd50: atMost(100)}},
	}
	peer := peerGoproxy
	if h2 {
		peer = peerGoproxyH2
	}
	if p, ok := r.peers[peer]; ok {
		entries = append(entries, entry{system: peer, process: p.process, job: aim(p.Addr, r.certs.ca), base: sysDirect})
	}
	entries = r.wanted(entries)
	all, err := r.runs(ctx, r.o.rounds, entries)
	var out []result
	for _, e := range entries {
		s, b := all[e.system], all[sysDirect]
		if !s.measured() || !b.measured() {
			out = append(out, unmeasured(name, e.system, s))
			continue
		}
		res := result{Group: name, System: e.system}
		res.add(mLate, s.median(p50))
		res.add(mAdd50, s.median(p50)-b.median(p50))
		res.add(mAdd99, s.median(p99)-b.median(p99))
		if e.process != nil {
			res.add(mEventC, micros(s.cpu)/float64(max(s.all, 1)))
		}
		res.judge(e.targets)
		out = append(out, res)
	}
	return out, err
}

// pauseAll sets the pause between chunks. restore removes it.
func pauseAll(pause string, sims ...*part) (restore func(), err error) {
	set := func(d time.Duration) error {
		var errs []error
		for _, s := range sims {
			errs = append(errs, s.pause(d))
		}
		return errors.Join(errs...)
	}
	d, err := time.ParseDuration(pause)
	if err != nil {
		return nil, err
	}
	return func() { _ = set(0) }, set(d)
}

// idleStreamGroup opens streams that have begun and then say nothing, and weighs what each costs detour.
func idleStreamGroup(ctx context.Context, r *rig, name string) ([]result, error) {
	scripted, err := r.own(ctx, "sim-scripted", "scripted\n", "sim")
	if err != nil {
		return nil, err
	}
	defer scripted.Close()
	j := r.request(kindIdle, r.o.idle, false)
	j.Limit = 2 * time.Minute
	want := targets{mKiB: atMost(40), mOpen: atLeast(float64(r.o.idle))}
	var out []result
	for _, c := range []struct {
		system string
		aim    func(*detour) job
	}{
		{sysDetour + ", API door", func(d *detour) job { return atDoor(j, d.api, true) }},
		{sysRouted, func(d *detour) job { return routed(j, d, true) }},
	} {
		d, err := r.startDetour(ctx, fmt.Sprintf("detour-idle-%d", len(out)), scripted)
		if err != nil {
			return out, err
		}
		stalled := c.aim(d)
		stalled.Body = strings.Replace(stalled.Body, "benchmark", "benchmark [[sim:fault=stall=2]]", 1)
		res, err := r.weigh(ctx, name, c.system, d.process, stalled)
		_ = d.Close()
		if err != nil {
			return out, err
		}
		res.judge(want)
		out = append(out, res)
	}
	return out, nil
}

// weigh returns the memory that p has more while j holds things open, for each of them.
func (r *rig) weigh(ctx context.Context, group, system string, p *process, j job) (result, error) {
	res := result{Group: group, System: system}
	before, err := p.rss()
	if err != nil {
		return res, err
	}
	files, err := p.descriptors()
	if err != nil {
		return res, err
	}
	holder, rep, err := r.hold(ctx, j)
	if err != nil {
		return res, err
	}
	defer holder.Close()
	if err := sleep(ctx, time.Second); err != nil {
		return res, err
	}
	after, err := p.rss()
	if err != nil {
		return res, err
	}
	more, err := p.descriptors()
	if err != nil {
		return res, err
	}
	res.add(mOpen, float64(rep.Held))
	res.add(mKiB, float64(after-before)/1024/float64(rep.Held))
	res.add(mFiles, float64(more-files)/float64(rep.Held))
	if rep.Errors > 0 {
		res.Note = fmt.Sprintf("%d could not be opened: %s", rep.Errors, rep.Error)
	}
	return res, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
