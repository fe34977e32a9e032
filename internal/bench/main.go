package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) > 0 {
		switch args[0] {
		case "upstream":
			return serveUpstream(ctx, args[1:])
		case "sim":
			return serveSim(ctx)
		case "relay":
			return serveRelay(ctx)
		case "hop":
			return serveHop(ctx, args[1:])
		case "load":
			return generateLoad(ctx, os.Stdin, os.Stdout)
		}
	}
	o, err := parseOptions(args)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, o.limit)
	defer cancel()
	return measure(ctx, o)
}

// options say how much to measure.
type options struct {
	detour string // the binary
	peers  string // folder of the peers' module
	cache  string // where peers are built and installed
	json   string // file for the results, "" for none
	only   string // part of a group's name
	system string // part of a participant's name

	rounds int           // runs of each participant
	span   time.Duration // of a run
	events int           // of an SSE run
	bulk   int64         // bytes of a tunnel run
	idle   int           // idle streams
	limit  time.Duration // of everything
}

func parseOptions(args []string) (options, error) {
	o := options{rounds: 5, span: 700 * time.Millisecond, events: 1000, bulk: 2 << 30, idle: 5000, limit: 8 * time.Minute}
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.StringVar(&o.detour, "detour", "bin/detour", "the detour `binary` to measure")
	f.StringVar(&o.peers, "peers", "internal/bench/peers", "`folder` of the peers' module")
	f.StringVar(&o.cache, "cache", ".cache/bench", "`folder` that peers are built and installed in")
	f.StringVar(&o.json, "json", "", "write the results to `file`, too")
	f.StringVar(&o.only, "only", "", "measure only groups whose name contains `text`")
	f.StringVar(&o.system, "system", "", "of what is compared, measure only participants whose name contains `text`, and those that they are compared with")
	quick := f.Bool("quick", false, "fewer and shorter runs: under 90 seconds, and noisier")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("unknown argument %q", f.Arg(0))
	}
	if *quick {
		o.rounds, o.span, o.events, o.bulk, o.idle, o.limit = 1, 400*time.Millisecond, 300, 1<<30, 500, 90*time.Second
	}
	return o, nil
}
