package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"detour/internal/sim"
)

// serveSim is the simulated Copilot. The first line on standard input says what kind: "http" and "https" answer from
// ready-made bytes, in clear or over TLS with HTTP/2; "scripted" is as https and obeys what requests ask of it. Each
// further line sets the pause between two chunks of a streamed answer, and is answered with an empty line.
func serveSim(ctx context.Context) error {
	in := bufio.NewScanner(os.Stdin)
	if !in.Scan() {
		return in.Err()
	}
	secure, canned := in.Text() != "http", in.Text() != "scripted"
	s, err := sim.Start(sim.Options{
		TLS: secure, HTTP2: secure, Seed: 1, Record: -1,
		Scenario: &sim.Scenario{Canned: canned, NoGzip: true},
	})
	if err != nil {
		return err
	}
	defer s.Close()
	stop := context.AfterFunc(ctx, func() { _ = os.Stdin.Close() })
	defer stop()
	h := hello{
		Addr: s.OriginAddr(), Env: s.Env(), CA: s.CAPath(), Token: s.Account("alice").Token(),
		API: s.APIURL(), Copilot: s.CopilotURL(),
	}
	if err := json.NewEncoder(os.Stdout).Encode(h); err != nil {
		return err
	}
	for in.Scan() {
		pause, err := time.ParseDuration(strings.TrimSpace(in.Text()))
		if err != nil {
			return fmt.Errorf("parse pause: %w", err)
		}
		s.Update(func(sc *sim.Scenario) { sc.ChunkDelay = pause })
		if _, err := fmt.Println(); err != nil {
			return err
		}
	}
	return nil
}
