package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"composure/controller/store"
)

func newPause(a *app) *cobra.Command {
	var reason string
	var length time.Duration
	cmd := &cobra.Command{
		Use:     "pause [SERVICE...]",
		Short:   "Keep the remediator's hands off the stack, or off some of its services",
		Long:    "Keep the remediator's hands off the stack, or off some of its services. It goes on watching and recording. Deployments by\n`composure reconcile --once` leave alone what is paused, too, and say so; restart and rollback do what you ask.",
		Example: "  composure pause --for 2h --reason \"database migration\"\n  composure pause api",
		RunE: func(cmd *cobra.Command, services []string) error {
			if cmd.Flags().Changed("for") && length <= 0 {
				return fmt.Errorf("pause: --for %s: must be more than nothing; without it the pause lasts until `composure resume`", length)
			}
			until := time.Time{}
			if length > 0 {
				until = time.Now().Add(length)
			}
			return a.eachOverride(cmd.Context(), services, func(ctx context.Context, m *memory, service string) error {
				err := m.SetOverride(ctx, store.Override{
					Stack: m.key, Service: service, Kind: store.Pause, Owner: a.operator(), Reason: reason, Created: time.Now(), Until: until,
				})
				if err != nil { // nobody relies on a pause that is not on record, or is left with one unawares: only the answer may be lost
					return fmt.Errorf("%w; %s may be paused all the same: see `composure status`", err, subject(service))
				}
				fmt.Fprintf(a.stdout, "%s: paused%s\n", subject(service), untilText(until, service))
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for whoever finds it paused")
	cmd.Flags().DurationVar(&length, "for", 0, "for how long; without it until `composure resume`")
	return cmd
}

func newResume(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "resume [SERVICE...]",
		Short:   "End a pause",
		Example: "  composure resume\n  composure resume api",
		RunE: func(cmd *cobra.Command, services []string) error {
			return a.eachOverride(cmd.Context(), services, func(ctx context.Context, m *memory, service string) error {
				return a.endOverride(ctx, m, service, store.Pause, "resumed")
			})
		},
	}
}

func newRelease(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "release SERVICE...",
		Short:   "End a rollback, a raised memory limit or a rebuilt image: what was last applied counts again",
		Example: "  composure release api\n  composure release api web",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, services []string) error {
			return a.eachOverride(cmd.Context(), services, func(ctx context.Context, m *memory, service string) error {
				rollback := a.endOverride(ctx, m, service, overrideRollback, "the rollback is released")
				memory := a.endOverride(ctx, m, service, overrideMemory, "the raised memory limit is released")
				rebuilt := a.endOverride(ctx, m, service, overrideRebuild, "the image that was rebuilt is released")
				if errors.Is(rollback, store.ErrNotFound) && errors.Is(memory, store.ErrNotFound) && errors.Is(rebuilt, store.ErrNotFound) {
					return fmt.Errorf("%s has no override; `composure status` shows them", service)
				}
				return errors.Join(ignoreMissing(rollback), ignoreMissing(memory), ignoreMissing(rebuilt))
			})
		},
	}
}

// eachOverride opens the memory for a record that needs no lease, and calls do for each service, "" for the stack.
func (a *app) eachOverride(ctx context.Context, services []string, do func(context.Context, *memory, string) error) error {
	s, err := a.openRecord(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	if _, err := selectServices(s.stack, services, false); err != nil {
		return err
	}
	if s.memory == nil {
		db, err := a.openStore(ctx)
		if err != nil {
			return err
		}
		s.memory = &memory{Store: db, key: store.StackKey(s.id, s.stack.Name)}
	}
	if len(services) == 0 {
		services = []string{""}
	}
	for _, service := range services {
		if err := do(ctx, s.memory, service); err != nil {
			return err
		}
	}
	return nil
}

// endOverride ends an override and says so.
func (a *app) endOverride(ctx context.Context, m *memory, service, kind, done string) error {
	err := m.EndOverride(ctx, m.key, service, kind, "", a.operator(), time.Now())
	if err == nil {
		fmt.Fprintf(a.stdout, "%s: %s\n", subject(service), done)
	}
	if errors.Is(err, store.ErrNotFound) && kind == store.Pause {
		return fmt.Errorf("%s is not paused", subject(service))
	}
	return err
}

func ignoreMissing(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}

func subject(service string) string {
	if service == "" {
		return "the stack"
	}
	return service
}

func untilText(t time.Time, service string) string {
	if t.IsZero() {
		return ", until `" + strings.TrimSpace("composure resume "+service) + "`"
	}
	return ", until " + t.UTC().Format("2006-01-02 15:04 UTC")
}

// operator is who gives a command: the person at the dashboard, else the user, behind sudo the one who called it.
func (a *app) operator() string {
	if a.person != "" {
		return a.person
	}
	if name := os.Getenv("SUDO_USER"); name != "" {
		return name
	}
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return "unknown"
}
