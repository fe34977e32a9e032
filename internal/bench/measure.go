package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"
)

// measure runs all groups and prints each as soon as it is done.
func measure(ctx context.Context, o options) error {
	if runtime.GOOS != "linux" {
		return fmt.Errorf("processor time and memory are read from /proc, which %s does not have", runtime.GOOS)
	}
	begin := time.Now()
	r, err := newRig(ctx, o, os.Stderr)
	if err != nil {
		return err
	}
	defer r.Close()
	res := outcome{
		Detour:  r.version(ctx),
		Machine: fmt.Sprintf("%d processors, %s, %s", runtime.NumCPU(), processor(), runtime.Version()),
		Skipped: r.skipped, Failed: map[string]string{},
	}
	fmt.Printf("%s\n%s; all processes share it, everything on 127.0.0.1; medians of %d interleaved runs\n%s\n\n",
		res.Detour, res.Machine, o.rounds,
		"copilot-api runs unchanged; a module that Node loads first turns its hosts to the simulated Copilot")
	for _, g := range groups() {
		if !strings.Contains(g.name, o.only) {
			continue
		}
		if ctx.Err() != nil {
			res.Failed[g.name] = "the time was up"
			continue
		}
		start := time.Now()
		results, err := g.run(ctx, r, g.name)
		fmt.Fprintf(os.Stderr, "%s: %.0f s\n", g.name, time.Since(start).Seconds())
		if err != nil {
			res.Failed[g.name] = err.Error()
			fmt.Printf("FAILED: %s: %v\n", g.name, err)
		}
		printGroup(os.Stdout, results)
		res.Results = append(res.Results, results...)
	}
	for peer, why := range r.skipped {
		fmt.Printf("SKIPPED: %s: %s\n", peer, why)
	}
	for name, why := range res.Failed {
		fmt.Printf("NOT MEASURED: %s: %s\n", name, why)
	}
	met, missed := res.missed()
	res.Seconds = time.Since(begin).Seconds()
	fmt.Printf("%d targets met, %d missed, %.0f s\n", met, missed, res.Seconds)
	if o.json == "" {
		return nil
	}
	return res.write(o.json)
}

// processor is the model name, in general words where the system tells none.
func processor() string {
	b, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for line := range strings.Lines(string(b)) {
		if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == "model name" {
			return strings.TrimSpace(v)
		}
	}
	return runtime.GOARCH
}
