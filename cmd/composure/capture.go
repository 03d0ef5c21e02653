package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"

	"composure/controller/act"
	"composure/controller/engine"
	"composure/controller/observe"
	"composure/spec"
)

// capture keeps the log and the state of a container that is about to be removed, in the state directory. What is not shown of it are
// the secrets of the stack as read returns it: an edit may have added one.
func (a *app) capture(eng *engine.Engine, read func() *spec.Stack) act.Capture {
	return func(ctx context.Context, c *container.InspectResponse) (string, error) {
		stack := read()
		state, err := a.state()
		if err != nil {
			return "", err
		}
		dir := filepath.Join(state, "captured", stack.Name)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return "", fmt.Errorf("keep the log of %s: %w", c.Name, err)
		}
		text, err := eng.Logs(ctx, c.ID, 2000, 1<<20)
		if err != nil {
			return "", err
		}
		path := filepath.Join(dir, fmt.Sprintf("%s-%s.log", time.Now().UTC().Format("20060102T150405Z"), strings.TrimPrefix(c.Name, "/")))
		head := fmt.Sprintf("# %s %s image %s exit %d\n", c.Name, c.ID, c.Config.Image, c.State.ExitCode)
		return path, os.WriteFile(path, []byte(head+observe.Shown(stack, observe.Container{Inspect: c}, text)), 0o600)
	}
}

// How long a stack dump may take to appear in the log: healing does not wait for long, people do.
const (
	dumpWait       = time.Second
	dumpWaitByHand = 10 * time.Second
)

// dump sends the signal inside the container (through the engine it would mark the container as stopped by hand, and
// switch its restart policy off), and waits until the log has something new and its end stays the same. The log is
// captured afterwards.
func dump(eng *engine.Engine, wait time.Duration) func(context.Context, *container.InspectResponse, string) error {
	return func(ctx context.Context, c *container.InspectResponse, signal string) error {
		ctx, cancel := context.WithTimeout(ctx, wait+2*time.Second)
		defer cancel()
		began := time.Now()
		result, err := eng.Exec(ctx, c.ID, []string{"kill", "-s", strings.TrimPrefix(signal, "SIG"), "1"})
		if err != nil {
			return err
		}
		if result.ExitCode != 0 {
			return fmt.Errorf("kill -s %s 1 in %s: exit %d", signal, c.Name, result.ExitCode)
		}
		ticker := time.NewTicker(50 * time.Millisecond)
		defer ticker.Stop()
		last := ""
		for sent := time.Now(); time.Since(sent) < wait; <-ticker.C {
			text, err := eng.LogsSince(ctx, c.ID, began, 1, 1<<10)
			if err == nil && text != "" && text == last {
				return nil
			}
			last = text
		}
		return nil
	}
}

// endSessions ends sessions of a service's database that sit idle in a transaction. The stack is looked at anew: the way to
// the server is what it is now.
func (a *app) endSessions(eng *engine.Engine, stack *spec.Stack) func(context.Context, *spec.Service, []observe.Session) (int, error) {
	return func(ctx context.Context, svc *spec.Service, sessions []observe.Session) (int, error) {
		stack := stack.With(svc)
		snapshot, err := observe.Collect(ctx, eng, stack)
		if err != nil {
			return 0, err
		}
		return a.examiner(eng).EndSessions(ctx, stack, snapshot, svc.Name, sessions)
	}
}
