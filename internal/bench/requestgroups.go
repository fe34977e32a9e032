package main

import (
	"context"
	"net"
)

// Names of participants that are no peers.
const (
	sysDirect    = "direct"
	sysRelayed   = "detour, relayed"
	sysSim       = "direct to simulated Copilot"
	sysRouted    = "detour, routed to Copilot"
	sysDetour    = "detour"
	sysTunnelled = "detour, tunnel"
	sysRelay     = "bare splice relay"
	sysHop       = "bare net/http hop"
)

// interceptedGroup compares requests through a decrypted CONNECT. Those that detour relays are compared with the
// upstream, those that it routes with the simulated Copilot.
func interceptedGroup(ctx context.Context, r *rig, name string, h2 bool, conns int, want targets) ([]result, error) {
	j := r.request(kindRequests, conns, h2)
	entries := []entry{
		{system: sysDirect, job: r.atUpstream(j, "", r.certs.ca), base: sysDirect},
		{system: sysRelayed, process: r.viaTLS.process, job: r.atUpstream(j, r.viaTLS.proxy, r.viaTLS.ca), base: sysDirect, targets: want},
	}
	peers := []string{peerGoproxy, peerMartian, peerMitmproxy}
	if h2 {
		peers = []string{peerGoproxyH2, peerMitmproxy}
	}
	for _, p := range peers {
		entries = append(entries, r.peer(p, j)...)
	}
	entries = append(entries,
		entry{system: sysSim, job: atSim(j, r.simTLS, false), base: sysSim},
		entry{system: sysRouted, process: r.viaTLS.process, job: routed(j, r.viaTLS, false), base: sysSim, targets: want},
	)
	entries = r.wanted(entries)
	all, err := r.runs(ctx, r.o.rounds, entries)
	out := requestResults(name, entries, all, false)
	best := 0.0
	for _, p := range []string{peerGoproxy, peerGoproxyH2, peerMartian} {
		if s, ok := all[p]; ok && s.measured() {
			best = max(best, s.median(rate))
		}
	}
	for i := range out {
		if s := all[out[i].System]; out[i].System == sysRelayed && s.measured() && best > 0 {
			out[i].add(mPerPeer, s.median(rate)/best)
			out[i].judge(targets{mPerPeer: atLeast(1)})
		}
	}
	return out, err
}

// peer is a peer's entry in a comparison with the upstream, or nothing if it was skipped.
func (r *rig) peer(name string, j job) []entry {
	p, ok := r.peers[name]
	if !ok {
		return nil
	}
	j = r.atUpstream(j, p.Addr, r.certs.ca)
	if name == peerMitmproxy { // resolves names itself
		_, port, _ := net.SplitHostPort(r.upstream.Addr)
		j.Host = net.JoinHostPort("localhost", port)
	}
	return []entry{{system: name, process: p.process, job: j, base: sysDirect}}
}

// freshGroup compares clients that connect anew for each request.
func freshGroup(ctx context.Context, r *rig, name string) ([]result, error) {
	j := r.request(kindFresh, 4, false)
	tunnelled := r.atUpstream(j, r.viaTLS.proxy, r.certs.ca)
	tunnelled.Host = r.upstream.Addr // not a name that detour intercepts
	bare := tunnelled
	bare.Proxy = r.relay.Addr
	entries := []entry{
		{system: sysDirect, job: r.atUpstream(j, "", r.certs.ca), base: sysDirect},
		{system: sysRelay, process: r.relay.process, job: bare, base: sysDirect},
		{system: sysTunnelled, process: r.viaTLS.process, job: tunnelled, base: sysDirect},
		{
			system: sysRelayed, process: r.viaTLS.process, job: r.atUpstream(j, r.viaTLS.proxy, r.viaTLS.ca), base: sysDirect,
			targets: targets{mRatio: atLeast(.75), mErrors: atMost(0)},
		},
	}
	for _, p := range []string{peerGoproxy, peerMartian, peerMitmproxy} {
		entries = append(entries, r.peer(p, j)...)
	}
	entries = r.wanted(entries)
	all, err := r.runs(ctx, r.o.rounds, entries)
	return requestResults(name, entries, all, false), err
}

// doorGroup compares base URLs: the simulated Copilot's own, detour's API door, a bare hop's and copilot-api's, all
// plain HTTP/1.1.
// A last pair has the simulated Copilot behind TLS and HTTP/2, as the real one is.
func doorGroup(ctx context.Context, r *rig, name string, stream bool, conns int) ([]result, error) {
	j := r.request(kindRequests, conns, false)
	want := targets{mAdd50: atMost(60), mErrors: atMost(0)}
	if conns > 1 {
		want = targets{mRatio: atLeast(.6), mPeer: atLeast(12), mErrors: atMost(0)}
	} else if stream {
		want[mAddF50] = atMost(200)
	}
	entries := []entry{
		{system: sysSim, job: atSim(j, r.simPlain, stream), base: sysSim},
		{system: sysDetour, process: r.viaPlain.process, job: atDoor(j, r.viaPlain.api, stream), base: sysSim},
	}
	entries = append(entries, entry{system: sysHop, process: r.hop.process, job: atDoor(j, r.hop.Addr, stream), base: sysSim})
	if p, ok := r.peers[peerCopilotAPI]; ok {
		entries = append(entries, entry{system: peerCopilotAPI, process: p.process, job: atDoor(j, p.Addr, stream), base: sysSim})
	}
	overTLS := j
	overTLS.H2 = true
	entries = append(entries,
		entry{system: sysSim + ", https h2", job: atSim(overTLS, r.simTLS, stream), base: sysSim + ", https h2"},
		entry{system: sysDetour + ", upstream https h2", process: r.viaTLS.process, job: atDoor(j, r.viaTLS.api, stream), base: sysSim + ", https h2"},
	)
	entries = r.wanted(entries)
	all, err := r.runs(ctx, r.o.rounds, entries)
	out := requestResults(name, entries, all, stream)
	s, ok := all[peerCopilotAPI]
	for i := range out {
		if out[i].System != sysDetour {
			continue
		}
		if ok && s.measured() && all[sysDetour].measured() {
			out[i].add(mPeer, all[sysDetour].median(rate)/s.median(rate))
		}
		out[i].judge(want)
	}
	return out, err
}

// pacedGroup measures how much later the first byte comes when many streams begin together.
func pacedGroup(ctx context.Context, r *rig, name string) ([]result, error) {
	const streams, pause = 50, "50ms"
	j := r.request(kindPaced, streams, false)
	j.Waves = 3
	want := targets{mAddF50: atMost(500), mAddF95: atMost(3000), mErrors: atMost(0)}
	entries := []entry{
		{system: sysSim, job: atSim(j, r.simPlain, true), base: sysSim},
		{system: sysDetour + ", API door", process: r.viaPlain.process, job: atDoor(j, r.viaPlain.api, true), base: sysSim, targets: want},
		{system: sysSim + ", https", job: atSim(j, r.simTLS, true), base: sysSim + ", https"},
		{system: sysRouted, process: r.viaTLS.process, job: routed(j, r.viaTLS, true), base: sysSim + ", https", targets: want},
	}
	restore, err := pauseAll(pause, r.simPlain, r.simTLS)
	if err != nil {
		return nil, err
	}
	entries = r.wanted(entries)
	all, err := r.runs(ctx, min(r.o.rounds, 3), entries)
	restore()
	var out []result
	for _, e := range entries {
		s, b := all[e.system], all[e.base]
		if !s.measured() || !b.measured() {
			out = append(out, unmeasured(name, e.system, s))
			continue
		}
		res := result{Group: name, System: e.system}
		res.add(mFirst, s.median(first50))
		res.add(mAddF50, s.median(first50)-b.median(first50))
		res.add(mAddF95, s.median(first95)-b.median(first95))
		res.add(mErrors, s.median(failures))
		res.judge(e.targets)
		out = append(out, res)
	}
	return out, err
}
