package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"composure/test/results"
)

// found is the seed that caught a bug.
type found struct {
	seed int
	rule string
	took time.Duration
	err  error
}

// findAll puts one bug after the other into a copy of Composure and runs seeds until a rule is broken. A bug that no seed
// finds is a failure of the simulation. The bugs are compiled in by an overlay of the source files that they change, so
// that the program itself holds no trace of them.
func findAll(ctx context.Context, dir string, seeds int, only string) error {
	overlay, err := plant(".", dir)
	if err != nil {
		return err
	}
	binary, err := build(ctx, dir, "-overlay", overlay)
	if err != nil {
		return err
	}
	caught := make([]found, len(bugs))
	var running sync.WaitGroup
	slots := make(chan struct{}, 2)
	for n, b := range bugs {
		if only != "" && b.name != only {
			continue
		}
		running.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			caught[n] = hunt(ctx, binary, b, seeds)
			fmt.Fprintf(os.Stderr, "%s: %s\n", b.name, caught[n])
		})
	}
	running.Wait()
	return report(caught, seeds, only)
}

func (f found) String() string {
	if f.err != nil {
		return f.err.Error()
	}
	return fmt.Sprintf("seed %d, %s", f.seed, f.rule)
}

// report prints the table and, when it is whole, keeps it.
func report(caught []found, seeds int, only string) error {
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "BUG\tWHAT COMPOSURE DOES WITH IT\tSEED\tRULE THAT IT BREAKS\tTOOK")
	var escaped []string
	last, rows := 0, []string{}
	for n, b := range bugs {
		f := caught[n]
		switch {
		case only != "" && only != b.name:
			continue
		case f.err != nil:
			escaped = append(escaped, b.name)
			fmt.Fprintf(table, "%s\t%s\t-\t%v\t%s\n", b.name, b.what, f.err, f.took.Round(time.Second))
			continue
		}
		last = max(last, f.seed)
		rows = append(rows, fmt.Sprintf("%s: seed %d, %s", b.name, f.seed, f.rule))
		fmt.Fprintf(table, "%s\t%s\t%d\t%s\t%s\n", b.name, b.what, f.seed, f.rule, f.took.Round(time.Second))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if only == "" {
		if err := results.Add("Planted bugs", "make planted", results.Figure{Name: "bugs", Value: strconv.Itoa(len(bugs))}, results.Figure{Name: "caught", Value: strconv.Itoa(len(rows))},
			results.Figure{Name: "most seeds", Value: strconv.Itoa(last)}, results.Figure{Name: "by", Value: strings.Join(rows, "; ")}); err != nil {
			return err
		}
	}
	if len(escaped) > 0 {
		return fmt.Errorf("not found within %d seeds: %s", seeds, strings.Join(escaped, ", "))
	}
	return nil
}

// violation is how a test names the seed and the rule that it breaks.
var violation = regexp.MustCompile(`seed (\d+): \S+ ([^:]+):`)

// hunt runs seeds with a bug until one breaks a rule that it does not break without the bug.
func hunt(ctx context.Context, binary string, b bug, seeds int) found {
	began, from := time.Now(), 1
	for ctx.Err() == nil && from <= seeds {
		seed, rule, err := runSeeds(ctx, binary, b.name, from, seeds)
		if err != nil {
			return found{err: err, took: time.Since(began)}
		}
		if seed == 0 {
			break
		}
		if without, _, err := runSeeds(ctx, binary, "", seed, seed); err == nil && without == 0 {
			return found{seed: seed, rule: rule, took: time.Since(began)}
		}
		from = seed + 1
	}
	return found{err: errors.Join(errors.New("ESCAPED"), ctx.Err()), took: time.Since(began)}
}

// runSeeds runs seeds until one breaks a rule; 0: none does.
func runSeeds(ctx context.Context, binary, bug string, from, to int) (seed int, rule string, err error) {
	cmd := simulation(ctx, binary, from, to, "-test.failfast")
	cmd.Env = append(cmd.Env, "PLANTED="+bug)
	out, err := cmd.CombinedOutput()
	if err == nil {
		return 0, "", nil
	}
	if m := violation.FindStringSubmatch(string(out)); m != nil {
		seed, err = strconv.Atoi(m[1])
		return seed, m[2], err
	}
	return 0, "", fmt.Errorf("the simulation itself failed: %w\n%s", err, tail(out))
}

func tail(out []byte) []byte { return out[max(0, len(out)-2000):] }
