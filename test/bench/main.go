// Command bench prints the figures that matter as one table: each as a ratio to what it is compared with, both measured
// in the same run, in turn, because absolute times of a shared machine mean little. It needs a Docker Engine and the
// images of hack/images.sh; docker compose is measured when hack/peers.sh has built it.
//
//	go run ./test/bench [-services 100] [-cold 50] [-rounds 7] [-stacks 500] [-only steady|cold|outage|heal|viewers|scale]
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
)

var (
	services = flag.Int("services", 100, "running services of the no-op and observation figures")
	cold     = flag.Int("cold", 50, "services of the cold start")
	only     = flag.String("only", "", "measure one group of figures only: steady, cold, outage, heal, viewers or scale")
	stacks   = flag.Int("stacks", 500, "stacks that the figures of scale go up to")
	as       = flag.String("simulate", "", "be the simulated engine of a directory of stacks, for the figures of scale")
	rounds   = flag.Int("rounds", 7, "measurements of each figure; the median is printed")
)

func main() {
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	work := run
	if *as != "" {
		work = func(ctx context.Context) error { return simulate(ctx, *as) }
	}
	if err := work(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "composure-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.Setenv("RUNTIME_DIRECTORY", dir); err != nil { // else what a run that is killed leaves behind is this host's
		return err
	}
	b := &bench{dir: dir, binary: filepath.Join(dir, "composure"), peers: peers()}
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", b.binary, "composure/cmd/composure").CombinedOutput(); err != nil {
		return fmt.Errorf("build: %w\n%s", err, out)
	}
	if b.api, err = connect(); err != nil {
		return err
	}
	defer b.cleanUp()
	defer b.print()
	for _, figure := range []struct {
		name    string
		measure func(context.Context) error
	}{{"steady", b.steady}, {"cold", b.coldStart}, {"outage", b.outage}, {"heal", b.heal}, {"viewers", b.viewers}, {"scale", b.scale}} {
		if *only != "" && *only != figure.name {
			continue
		}
		if err := figure.measure(ctx); err != nil {
			return fmt.Errorf("%s: %w", figure.name, err)
		}
	}
	return nil
}

// steady are the figures of a stack of many containers to which nothing happens.
func (b *bench) steady(ctx context.Context) error {
	for _, measure := range []func(context.Context) error{b.observation, b.noOp, b.idle} {
		if err := measure(ctx); err != nil {
			return err
		}
	}
	return b.remove(ctx, project+"-steady")
}

// peers are the builds of docker compose that are there, by version.
func peers() map[string]string {
	cache := os.Getenv("XDG_CACHE_HOME")
	if cache == "" {
		cache = filepath.Join(os.Getenv("HOME"), ".cache")
	}
	found := map[string]string{}
	for _, version := range []string{"2.40.3", "5.6.0"} {
		path := filepath.Join(cache, "composure", "bin", "docker-compose-v"+version)
		if _, err := os.Stat(path); err == nil {
			found["docker compose "+version] = path
		}
	}
	return found
}
