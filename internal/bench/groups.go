package main

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// group is one table of the output.
type group struct {
	name string
	run  func(ctx context.Context, r *rig, name string) ([]result, error)
}

// groups are the rows of detour's targets, in their order.
func groups() []group {
	return []group{
		{"blind tunnel, one stream", bulkGroup},
		{"idle tunnels", idleTunnelGroup},
		{"intercepted request, HTTP/1.1, 1 connection", func(ctx context.Context, r *rig, name string) ([]result, error) {
			return interceptedGroup(ctx, r, name, false, 1, targets{mRatio: atLeast(.50), mAdd50: atMost(150), mCPU: atMost(150), mErrors: atMost(0)})
		}},
		{"intercepted request, HTTP/1.1, 16 connections", func(ctx context.Context, r *rig, name string) ([]result, error) {
			return interceptedGroup(ctx, r, name, false, 16, targets{mRatio: atLeast(.45), mAdd50: atMost(600), mCPU: atMost(55), mErrors: atMost(0)})
		}},
		{"intercepted request, HTTP/2, 16 connections", func(ctx context.Context, r *rig, name string) ([]result, error) {
			return interceptedGroup(ctx, r, name, true, 16, targets{mRatio: atLeast(.50), mAdd50: atMost(900), mCPU: atMost(85), mErrors: atMost(0)})
		}},
		{"fresh CONNECT and TLS for each request, 4 at once", freshGroup},
		{"event of a stream, HTTP/1.1", func(ctx context.Context, r *rig, name string) ([]result, error) {
			return eventGroup(ctx, r, name, false)
		}},
		{"event of a stream, HTTP/2", func(ctx context.Context, r *rig, name string) ([]result, error) {
			return eventGroup(ctx, r, name, true)
		}},
		{"API door, whole answer, 1 connection", func(ctx context.Context, r *rig, name string) ([]result, error) {
			return doorGroup(ctx, r, name, false, 1)
		}},
		{"API door, whole answer, 16 connections", func(ctx context.Context, r *rig, name string) ([]result, error) {
			return doorGroup(ctx, r, name, false, 16)
		}},
		{"API door, streamed answer, 1 connection", func(ctx context.Context, r *rig, name string) ([]result, error) {
			return doorGroup(ctx, r, name, true, 1)
		}},
		{"API door, streamed answer, 16 connections", func(ctx context.Context, r *rig, name string) ([]result, error) {
			return doorGroup(ctx, r, name, true, 16)
		}},
		{"API door, streamed and translated, 1 connection", func(ctx context.Context, r *rig, name string) ([]result, error) {
			return translatedDoorGroup(ctx, r, name, 1)
		}},
		{"API door, streamed and translated, 16 connections", func(ctx context.Context, r *rig, name string) ([]result, error) {
			return translatedDoorGroup(ctx, r, name, 16)
		}},
		{"large request, decoded and encoded", requestTranslationGroup},
		{"text delta, decoded and encoded", deltaTranslationGroup},
		{"50 streams at once, an event each 50 ms", pacedGroup},
		{"idle streams", idleStreamGroup},
		{"start to listening", startGroup},
		{"certificate for a host", leafGroup},
	}
}

// ask is a chat request of about 1 KiB.
func ask(stream bool) string {
	return fmt.Sprintf(`{"model":"gpt-4o","stream":%t,"messages":[{"role":"system","content":%q},{"role":"user","content":"benchmark"}]}`,
		stream, strings.Repeat("You are terse. ", 60))
}

// marker is how the text of a simulated answer begins. Detour holds back the head of an answer until there is some
// answer, because it may still go to another account, so that a stream's first byte proper says nothing.
const marker = "simulated "

// request is a job of the run's length.
func (r *rig) request(k kind, conns int, h2 bool) job {
	return job{Kind: k, Conns: conns, H2: h2, Warmup: r.o.span / 3, Span: r.o.span, Limit: r.o.span*2 + 20*time.Second}
}

// atUpstream directs a job to the intercepted name, at the upstream itself or through a proxy.
func (r *rig) atUpstream(j job, proxy, ca string) job {
	j.Scheme, j.Host, j.Path, j.Proxy, j.Dial, j.CA = "https", interceptedHost, "/v1/bench", proxy, r.upstream.Addr, ca
	j.Body = ask(false)
	return j
}

// atSim directs a job to the simulated Copilot itself.
func atSim(j job, sim *part, stream bool) job {
	j.Scheme, j.Host, _ = strings.Cut(sim.Copilot, "://")
	j.Path, j.Dial, j.CA, j.Body = "/chat/completions", j.Host, sim.CA, ask(stream)
	j.Header, j.Marker = map[string]string{"Authorization": "Bearer " + sim.Token}, marker
	return j
}

// routed directs a job to the intercepted name by way of detour, which serves it from the simulated Copilot.
func routed(j job, d *detour, stream bool) job {
	j.Scheme, j.Host, j.Path, j.Proxy, j.CA, j.Body = "https", interceptedHost, "/v1/chat/completions", d.proxy, d.ca, ask(stream)
	j.Marker = marker
	return j
}

// atDoor directs a job to an API door: detour's or copilot-api's.
func atDoor(j job, addr string, stream bool) job {
	j.Scheme, j.Host, j.Path, j.Dial, j.Body = "http", addr, "/v1/chat/completions", addr, ask(stream)
	j.Marker = marker
	return j
}
