package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"composure/controller/store"
	"composure/controller/view"
	"composure/controller/web"
)

// deeds does what people ask for in the dashboard by running the commands of the same names, beside the remediator as a
// terminal would: one way to do a thing. It implements web.Actor.
type deeds struct {
	app   *app
	panel *panel
	wake  func() // has the remediator look soon
}

// command is the command of an action, and its arguments. What people wrote stands after a "=" or a "--": it is never
// taken for a flag.
func (d deeds) command(a web.Action, quiet *app) (*cobra.Command, []string) {
	reason := "--reason=" + a.Reason
	service := []string{"--"}
	if a.Service != "" {
		service = append(service, a.Service)
	}
	switch a.Kind {
	case "pause":
		return newPause(quiet), append([]string{reason}, service...)
	case "resume":
		return newResume(quiet), service
	case "release":
		return newRelease(quiet), service
	case "restart":
		return newRestart(quiet), append([]string{"--graceful", reason}, service...)
	case "restart-hard":
		return newRestart(quiet), append([]string{"--hard", reason}, service...)
	case "rollback":
		args := []string{reason}
		if a.Revision != "" {
			args = append(args, "--to="+a.Revision)
		}
		return newRollback(quiet), append(args, service...)
	}
	return newIncidents(quiet), []string{a.Kind, "--", a.Incident}
}

// run runs a command and returns what it printed.
func (d deeds) run(ctx context.Context, a web.Action, extra ...string) (string, error) {
	var out sharedBuffer
	quiet := *d.app
	quiet.stdin, quiet.stdout, quiet.stderr, quiet.observeEngine = strings.NewReader(""), &out, &out, nil
	quiet.logLevel, quiet.person = "error", a.Person
	cmd, args := d.command(a, &quiet)
	cmd.SetArgs(append(extra, args...))
	cmd.SetOut(io.Discard)
	cmd.SetErr(io.Discard)
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	err := cmd.ExecuteContext(ctx)
	if s := status(0); errors.As(err, &s) {
		err = errors.New("it did not come to that; what it said is above")
	}
	return out.String(), err
}

// Do implements web.Actor.
func (d deeds) Do(ctx context.Context, a web.Action) (string, error) {
	defer d.wake()
	return d.run(ctx, a)
}

// Preview implements web.Actor. Commands that touch the engine have a dry run of their own; the others only record
// something, and what that means for the plan is said here.
func (d deeds) Preview(ctx context.Context, a web.Action) (string, error) {
	switch a.Kind {
	case "restart", "restart-hard", "rollback":
		text, err := d.run(ctx, a, "--dry-run")
		if err != nil && text != "" {
			err = fmt.Errorf("%s: %w", strings.TrimSpace(text), err)
		}
		return text, err
	case "ack", "confirm", "resolve":
		i, err := d.panel.incident(ctx, a.Incident)
		if err != nil {
			return "", err
		}
		return fmt.Sprintf("%s of %s is %s: %s", i.Cause, subject(i.Service), i.State, i.Summary), nil
	}
	t, err := d.panel.seen()
	if err != nil {
		return "", err
	}
	if a.Service != "" && t.Pass.File.Service(a.Service) == nil {
		return "", unknownService(t.Pass.File, a.Service)
	}
	now, err := d.panel.Status(ctx)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, one := range now.Decisions {
		if one.Service == a.Service && a.Kind != "pause" && (one.Kind == store.Pause) == (a.Kind == "resume") {
			fmt.Fprintf(&b, "in force: %s by %s%s\n", one.What(), one.Owner, because(one.Reason))
		}
	}
	for _, j := range view.PlanOf(t.Pass.Plan, now.Stack, t.Pass.File.WorkingDir).Jobs {
		if a.Kind == "pause" && (a.Service == "" || j.Service == a.Service) {
			fmt.Fprintf(&b, "would be set aside: %s: %s\n", j.Subject, j.Cause)
		}
	}
	if b.Len() == 0 {
		b.WriteString("nothing is in hand; this is recorded for what comes\n")
	}
	return b.String(), nil
}

// sharedBuffer is a buffer that several goroutines may write to.
type sharedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *sharedBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *sharedBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
