package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"detour/ca"
)

// tunnels are the participants that copy bytes blindly.
func (r *rig) tunnels(j job) []entry {
	via := func(addr string) job {
		out := j
		out.Proxy, out.Dial, out.Host = addr, r.upstream.Bulk, r.upstream.Bulk
		return out
	}
	entries := []entry{
		{system: sysDirect, job: via(""), base: sysRelay},
		{system: sysRelay, process: r.relay.process, job: via(r.relay.Addr), base: sysRelay},
		{system: sysDetour, process: r.viaTLS.process, job: via(r.viaTLS.proxy), base: sysRelay},
	}
	for _, name := range []string{peerGoproxy, peerMartianTCP} {
		if p, ok := r.peers[name]; ok {
			entries = append(entries, entry{system: name, process: p.process, job: via(p.Addr), base: sysRelay})
		}
	}
	return r.wanted(entries)
}

// bulkGroup draws many bytes through one tunnel.
func bulkGroup(ctx context.Context, r *rig, name string) ([]result, error) {
	j := r.request(kindBulk, 1, false)
	j.Bytes = r.o.bulk
	entries := r.tunnels(j)
	all, err := r.runs(ctx, r.o.rounds, entries)
	speed := func(p report) float64 { return float64(p.Bytes) / (1 << 30) / p.Took.Seconds() }
	best := 0.0
	for _, e := range entries {
		if (e.system == peerGoproxy || e.system == peerMartianTCP) && all[e.system].measured() {
			best = max(best, all[e.system].median(speed))
		}
	}
	var out []result
	for _, e := range entries {
		s := all[e.system]
		if !s.measured() || !all[sysRelay].measured() {
			out = append(out, unmeasured(name, e.system, s))
			continue
		}
		res := result{Group: name, System: e.system}
		v := s.median(speed)
		res.add(mSpeed, v)
		res.add(mRelay, v/all[sysRelay].median(speed))
		if e.process != nil {
			res.add(mCPUGiB, s.cpu.Seconds()/(float64(r.o.bulk)/(1<<30)*float64(len(s.reports))))
		}
		if e.system == sysDetour {
			if best > 0 {
				res.add(mPerPeer, v/best)
			}
			res.judge(targets{mRelay: atLeast(.97), mPerPeer: atLeast(1)})
		}
		out = append(out, res)
	}
	return out, err
}

// idleTunnelGroup opens tunnels and leaves them alone.
func idleTunnelGroup(ctx context.Context, r *rig, name string) ([]result, error) {
	const open = 200
	j := r.request(kindTunnels, open, false)
	var out []result
	for _, e := range r.tunnels(j) {
		if e.process == nil {
			continue
		}
		res, err := r.weigh(ctx, name, e.system, e.process, e.job)
		if err != nil {
			return out, err
		}
		if e.system == sysDetour {
			res.judge(targets{mFiles: atMost(2), mOpen: atLeast(open)})
		}
		out = append(out, res)
	}
	return out, nil
}

// startGroup starts detour: in an empty folder, where it makes a CA, and again.
func startGroup(ctx context.Context, r *rig, name string) ([]result, error) {
	var first, again, memory []float64
	for i := range r.o.rounds {
		d, err := r.prepareDetour(fmt.Sprintf("detour-start-%d", i), r.simTLS)
		if err != nil {
			return nil, err
		}
		for _, times := range []*[]float64{&first, &again} {
			took, rss, err := r.startTime(ctx, d)
			if err != nil {
				return nil, err
			}
			*times = append(*times, float64(took)/float64(time.Millisecond))
			if times == &again {
				memory = append(memory, float64(rss)/1e6)
			}
		}
	}
	a := result{Group: name, System: "detour, first start (makes a CA)"}
	a.add(mMillis, median(first))
	b := result{Group: name, System: sysDetour}
	b.add(mMillis, median(again))
	b.add(mMB, median(memory))
	b.judge(targets{mMillis: atMost(50), mMB: atMost(40)})
	return []result{a, b}, nil
}

// leafGroup makes and finds certificates, in this process.
func leafGroup(_ context.Context, r *rig, name string) ([]result, error) {
	a, err := ca.Open(ca.Options{Dir: filepath.Join(r.dir, "leafs"), Hosts: []string{"example.test"}})
	if err != nil {
		return nil, err
	}
	const hosts, finds = 200, 200_000
	begin := time.Now()
	for i := range hosts {
		if _, err := a.Certificate(fmt.Sprintf("h%d.example.test", i)); err != nil {
			return nil, err
		}
	}
	minted := time.Since(begin)
	begin = time.Now()
	for range finds {
		if _, err := a.Certificate("h7.example.test"); err != nil {
			return nil, err
		}
	}
	cached := time.Since(begin)
	m := result{Group: name, System: "detour, minted"}
	m.add(mMicros, micros(minted)/hosts)
	m.judge(targets{mMicros: atMost(200)})
	c := result{Group: name, System: "detour, cached"}
	c.add(mMicros, micros(cached)/finds)
	c.judge(targets{mMicros: atMost(1)})
	return []result{m, c}, nil
}
