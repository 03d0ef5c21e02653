package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"composure/controller"
	"composure/controller/incident"
	"composure/controller/observe"
	"composure/controller/plan"
	"composure/controller/store"
	"composure/controller/view"
	"composure/spec"
)

func newStatus(a *app) *cobra.Command {
	var format string
	var watch bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show how every service is, what is held and why, and what happens next",
		Long: `Show how every service is: state, health, drift, memory, response times, the budget that is left, open incidents, what
is held and why, what happens next and when, what was decided by hand, and who watches the stack.`,
		Example: "  composure status\n  composure status --watch",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := output(format, "text", "json"); err != nil {
				return err
			}
			return a.status(cmd.Context(), format, watch)
		},
	}
	cmd.Flags().BoolVar(&watch, "watch", false, "go on showing it, every 2 s, until q or ctrl-c")
	cmd.Flags().StringVarP(&format, "output", "o", "text", "text or json")
	return cmd
}

func (a *app) status(ctx context.Context, format string, watch bool) error {
	s, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	if watch {
		return a.watch(ctx, s, format)
	}
	now, err := s.status(ctx)
	if err != nil {
		return err
	}
	return a.printStatus(now, format)
}

func (a *app) printStatus(now view.Status, format string) error {
	if format == "json" {
		return writeJSON(a.stdout, now)
	}
	look := terminal(a.stdout)
	_, err := fmt.Fprint(a.stdout, statusText(now, look.Color, time.Now()))
	return err
}

// status looks at the stack once: how it differs from the file, and what would be done to restore it.
func (s *session) status(ctx context.Context) (view.Status, error) {
	memory, err := remembered(ctx, s.memory, s.stack)
	if err != nil {
		return view.Status{}, err
	}
	applied, err := s.memory.applied(ctx, s.stack)
	if err != nil {
		return view.Status{}, err
	}
	seen, err := controller.New(controller.Config{
		Source: s.eng, Stack: s.stack, Applied: applied, Overrides: asDrift(s.stack, memory.Overrides), Logger: s.log,
	}).Look(ctx)
	if err != nil {
		return view.Status{}, err
	}
	want, err := s.restored(ctx, seen.Snapshot)
	if err != nil {
		return view.Status{}, err
	}
	config := want.config(s, nil)
	config.History, config.Paused, config.Tries = memory.Attempts, paused(memory.Overrides), 3
	next, err := controller.New(config).Look(ctx)
	if err != nil {
		return view.Status{}, err
	}
	sampler := observe.NewMemorySampler(s.eng)
	sampler.Sample(ctx, seen.Snapshot)
	return view.StatusOf(view.Input{
		Stack: s.stack, Snapshot: seen.Snapshot, Judged: seen.Judged, Drift: seen.Drift, Plan: next.Plan, Figures: sampler.Samples(), Memory: memory,
	}), nil
}

// remembered reads what a status shows of the memory, which may not exist yet.
func remembered(ctx context.Context, m *memory, stack *spec.Stack) (v view.Memory, err error) {
	if m == nil {
		return v, nil
	}
	v.Open, v.Samples = map[string]incident.Incident{}, map[string][]store.Sample{}
	now := time.Now()
	if v.Overrides, err = m.Overrides(ctx, m.key, now); err != nil {
		return v, err
	}
	if v.Attempts, err = m.attemptsSinceStable(ctx); err != nil {
		return v, err
	}
	all, err := m.incidents(ctx)
	for _, i := range all {
		if i.State != incident.Resolved {
			v.Open[i.Service] = i
		}
	}
	for _, svc := range stack.Services {
		if err == nil {
			v.Samples[svc.Name], err = m.Samples(ctx, m.key, svc.Name, now.Add(-view.Span))
		}
	}
	if err != nil {
		return v, err
	}
	holding, err := m.Holder(ctx, m.key)
	if errors.Is(err, store.ErrNotFound) {
		return v, nil
	}
	v.Holder = fmt.Sprintf("%s, pid %d on %s, since %s", holding.Owner.Command, holding.Owner.PID, holding.Owner.Host, shownTime(holding.Since))
	return v, err
}

// paused is why services are left alone, "" for the stack.
func paused(overrides []store.Override) map[string]string {
	why := map[string]string{}
	for _, o := range overrides {
		if o.Kind == store.Pause {
			why[o.Service] = pausedBy(o)
		}
	}
	return why
}

func pausedBy(o store.Override) string {
	return fmt.Sprintf("paused by %s%s%s", o.Owner, because(o.Reason), until(o.Until))
}

// attemptsSinceStable are what counts against the budgets.
func (m *memory) attemptsSinceStable(ctx context.Context) ([]plan.Attempt, error) {
	rows, err := m.Attempts(ctx, store.AttemptFilter{Stack: m.key})
	if err != nil {
		return nil, err
	}
	states, err := m.States(ctx, m.key)
	if err != nil {
		return nil, err
	}
	stable := map[string]time.Time{}
	for _, s := range states {
		var state serviceState
		if err := json.Unmarshal(s.Document, &state); err != nil {
			return nil, fmt.Errorf("read the state of %s: %w", s.Service, err)
		}
		stable[s.Service] = state.StableAt
	}
	var attempts []plan.Attempt
	for _, row := range rows {
		if row.StartedAt.After(stable[row.Service]) {
			attempts = append(attempts, asAttempt(row))
		}
	}
	return attempts, nil
}
