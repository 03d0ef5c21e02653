package store

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path"
	"strconv"
	"strings"
	"testing"
	"time"

	"composure/test/results"
)

// child is what this test binary does when it runs as a second process. It prints a line for what is acknowledged.
func child(mode string) error {
	var o Options
	if err := json.Unmarshal([]byte(os.Getenv("STORE_TEST_OPTIONS")), &o); err != nil {
		return err
	}
	ctx := context.Background()
	s, err := Open(ctx, o)
	if err != nil {
		return err
	}
	switch mode {
	case "open":
		fmt.Println("open")
		return s.Close()
	case "hold": // takes the lease and dies with it
		if _, err := s.Acquire(ctx, stack, ThisProcess("hold"), time.Hour); err != nil {
			return err
		}
		fmt.Println("held")
		select {}
	case "contend":
		return contend(ctx, s)
	case "write":
		return writeForEver(ctx, s)
	}
	return fmt.Errorf("unknown mode %q", mode)
}

// contend takes the lease again and again, and does under it what goes wrong when two do it at once: read, then write.
func contend(ctx context.Context, s *Store) error {
	for done := 0; done < 20; {
		l, err := s.Acquire(ctx, stack, ThisProcess("contend"), time.Minute)
		if errors.Is(err, ErrLeased) {
			time.Sleep(time.Duration(rand.IntN(2000)) * time.Microsecond)
			continue
		}
		if err != nil {
			return err
		}
		open, err := s.OpenAttempts(ctx, stack)
		if err != nil {
			return err
		}
		if err := s.Begin(ctx, l, Attempt{ID: NewID(), Stack: stack, Rung: len(open) + 1, StartedAt: time.Now()}); err != nil {
			return err
		}
		if err := l.Release(ctx); err != nil {
			return err
		}
		done++
	}
	return s.Close()
}

// writeForEver records attempts and prints the id of each that the store has acknowledged.
func writeForEver(ctx context.Context, s *Store) error {
	l, err := s.Acquire(ctx, stack, ThisProcess("write"), time.Hour)
	if err != nil {
		return err
	}
	for {
		id := NewID()
		if err := s.Begin(ctx, l, Attempt{ID: id, Stack: stack, StartedAt: at, Payload: json.RawMessage(`{"step":1}`)}); err != nil {
			return err
		}
		if err := s.Finish(ctx, l, id, "done", "", at); err != nil {
			return err
		}
		fmt.Println(id)
	}
}

// process is this test binary as another process; it is killed when the test ends.
type process struct {
	*exec.Cmd
	lines *bufio.Scanner
}

func (p place) run(t *testing.T, mode string) process {
	t.Helper()
	options, err := json.Marshal(map[string]string{"StateDir": p.StateDir, "URL": p.URL})
	must(t, err)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "STORE_TEST_CHILD="+mode, "STORE_TEST_OPTIONS="+string(options))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return process{cmd, bufio.NewScanner(out)}
}

// finish waits for a process that ends by itself.
func (c process) finish(t *testing.T) {
	t.Helper()
	for c.lines.Scan() {
		continue
	}
	must(t, c.Wait())
}

func testMigrateAtOnce(t *testing.T, p place) {
	var all []process
	for range 6 {
		all = append(all, p.run(t, "open"))
	}
	for _, c := range all {
		c.finish(t)
	}
	p.open(t)
}

func testLeaseOfDeadProcess(t *testing.T, p place) {
	s := p.open(t)
	holder := p.run(t, "hold")
	if !holder.lines.Scan() {
		t.Fatal("the lease was not taken")
	}
	held, err := s.Holder(t.Context(), stack)
	must(t, err)
	equal(t, holder.Process.Pid, held.Owner.PID)
	_, err = s.Acquire(t.Context(), stack, ThisProcess("reconcile"), time.Hour)
	is(t, err, ErrLeased)

	must(t, holder.Process.Kill()) // and not waited for: a dead process counts as dead before its parent has looked
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	l, err := s.Acquire(ctx, stack, ThisProcess("reconcile"), time.Hour)
	for errors.Is(err, ErrLeased) { // the kernel takes a moment
		l, err = s.Acquire(ctx, stack, ThisProcess("reconcile"), time.Hour)
	}
	must(t, err)
	if l.Fence <= 1 {
		t.Errorf("fence %d", l.Fence)
	}
}

func testLeaseContended(t *testing.T, p place) {
	s := p.open(t)
	a, b := p.run(t, "contend"), p.run(t, "contend")
	a.finish(t)
	b.finish(t)
	all, err := s.OpenAttempts(t.Context(), stack)
	must(t, err)
	equal(t, 40, len(all))
	seen := map[int]bool{}
	for _, a := range all {
		if seen[a.Rung] {
			t.Fatalf("two processes were in the lease at once: both wrote %d", a.Rung)
		}
		seen[a.Rung] = true
	}
}

// testKill ends a writer with SIGKILL at a random point, over and over: what it acknowledged is there.
// STORE_TEST_KILLS sets how often.
func testKill(t *testing.T, p place) {
	kills, long := 20, false
	if n, err := strconv.Atoi(os.Getenv("STORE_TEST_KILLS")); err == nil {
		kills, long = n, true
	}
	acknowledged, total := map[string]bool{}, 0
	for range kills {
		writer := p.run(t, "write")
		for range rand.IntN(40) {
			if !writer.lines.Scan() {
				t.Fatal("the writer ended by itself")
			}
			acknowledged[writer.lines.Text()] = true
		}
		must(t, writer.Process.Kill())
		for writer.lines.Scan() { // what it still managed to say
			acknowledged[writer.lines.Text()] = true
		}
		_ = writer.Wait()
	}
	total = len(acknowledged)
	all, err := p.open(t).Attempts(t.Context(), AttemptFilter{Stack: stack})
	must(t, err)
	for _, a := range all {
		if a.Outcome == "done" {
			delete(acknowledged, a.ID)
		}
	}
	if len(acknowledged) > 0 {
		t.Errorf("%d acknowledged attempts are lost after %d kills", len(acknowledged), kills)
	}
	if long {
		must(t, results.Add("Store under kill -9", "make limits", results.Figure{Name: "store", Value: path.Dir(strings.TrimPrefix(t.Name(), "TestStore/"))},
			results.Figure{Name: "kills", Value: fmt.Sprint(kills)}, results.Figure{Name: "acknowledged rows", Value: fmt.Sprint(total)},
			results.Figure{Name: "lost", Value: fmt.Sprint(len(acknowledged))}))
	}
}
