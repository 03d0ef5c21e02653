package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	"composure/controller"
	"composure/controller/drift"
	"composure/controller/plan"
)

func newRestart(a *app) *cobra.Command {
	var f byHandFlags
	var graceful, hard bool
	cmd := &cobra.Command{
		Use:   "restart SERVICE... [--graceful|--hard]",
		Short: "Restart services the way the runbook does, and wait for the verdict",
		Long: `Restart services the way the runbook does, one replica after another, and wait for the verdict.

--graceful gives the service its stop_grace_period, else 60 s. --hard keeps logs and state, kills, and makes the
container anew with the same volumes and the same image; when the new container fails, the old one is put back.
What the compose file says now is not deployed. The attempt counts against the service's budget. What shares a network of
the service, or depends on it with "restart: true", is restarted after it, or made anew where it has to be.

Exit status: 0 restarted and well, 1 not (the reason is said), 2 error.`,
		Example:           "  composure restart api\n  composure restart api --hard --reason \"stuck after the network change\"",
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: a.completeServices,
		RunE: func(cmd *cobra.Command, services []string) error {
			if err := output(f.format, "text", "json"); err != nil {
				return err
			}
			rung := plan.Graceful
			if hard {
				rung = plan.Hard
			}
			return a.restart(cmd.Context(), f, rung, services)
		},
	}
	cmd.Flags().BoolVar(&graceful, "graceful", false, "stop with grace, then start (this is the default)")
	cmd.Flags().BoolVar(&hard, "hard", false, "kill and make the container anew")
	cmd.MarkFlagsMutuallyExclusive("graceful", "hard")
	f.add(cmd, "restart --hard also what keeps data, in volumes (they stay) or outside of them (that is lost)")
	return cmd
}

// add adds the flags that commands by hand share.
func (f *byHandFlags) add(cmd *cobra.Command, force string) {
	cmd.Flags().StringVar(&f.reason, "reason", "", "why, for whoever reads the history")
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "print the plan and touch nothing")
	cmd.Flags().BoolVar(&f.force, "force", false, force)
	cmd.Flags().DurationVar(&f.timeout, "timeout", 10*time.Minute, "give up after so long; what is in progress is ended first")
	cmd.Flags().StringVarP(&f.format, "output", "o", "text", "text or json")
}

func (a *app) restart(ctx context.Context, f byHandFlags, rung string, services []string) (err error) {
	s, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	config, want, err := s.asked(ctx, f, rung, services)
	if err != nil {
		return err
	}
	if f.dryRun {
		return a.preview(ctx, config)
	}
	run, b, err := a.begin(ctx, s, f, "restart "+strings.Join(services, " "))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.end(ctx)) }()
	if err := b.catchUp(run, want); err != nil {
		return a.refused(err)
	}
	last, early, err := b.run(run, config)
	if err != nil {
		return a.refused(err)
	}
	done := fmt.Sprintf("%s: restarted (%s) and well", strings.Join(services, ", "), rung)
	return b.answer(ctx, last, "composure.restart/v1", done, early)
}

// asked is the run that takes a rung for some services, or why that would be wrong.
func (s *session) asked(ctx context.Context, f byHandFlags, rung string, services []string) (controller.Config, restored, error) {
	snapshot, err := s.look(ctx)
	if err != nil {
		return controller.Config{}, restored{}, err
	}
	want, err := s.restored(ctx, snapshot)
	if err != nil {
		return controller.Config{}, want, err
	}
	selected, err := selectServices(want.stack, services, false)
	if err != nil {
		return controller.Config{}, want, err
	}
	config := want.config(s, selected)
	for name := range selected {
		if rung == plan.Hard && !f.force && plan.Stateful(want.stack.Service(name)) {
			return config, want, fmt.Errorf("%s keeps data, and a hard restart kills it: --graceful lets it stop cleanly, --force kills it (its volumes stay)", name)
		}
		config.Asked[name] = plan.Asked{Rung: rung, Cause: "asked by " + s.app.operator() + because(f.reason)}
	}
	if rung == plan.Hard {
		return config, want, s.losesNothing(ctx, f, want, config)
	}
	return config, want, nil
}

// losesNothing refuses to make a container anew when that would drop what it wrote outside its volumes, or would deploy
// an edited file because nobody knows what was applied before. What shares a namespace of the container is made anew with it.
func (s *session) losesNothing(ctx context.Context, f byHandFlags, want restored, config controller.Config) error {
	seen, err := controller.New(config).Look(ctx)
	if err != nil {
		return err
	}
	anew := plan.Uprooted(want.stack, config.Services)
	for _, d := range seen.Drift.Drifts {
		if !want.known && anew[d.Service] && d.Remedy == drift.RemedyRecreate {
			return fmt.Errorf("%s differs from the file (%s) and what was last applied is not on record: a hard restart would deploy the file; `composure reconcile --once` does that", d.Service, d.Field)
		}
	}
	for _, c := range seen.Snapshot.Containers {
		if f.force || !anew[c.Service] {
			continue
		}
		written, err := s.eng.WritableSize(ctx, c.ID)
		if err != nil {
			return err
		}
		if limit := want.stack.Service(c.Service).Policy.Remediation.HardLimit; written > limit {
			return fmt.Errorf("%s wrote %s outside its volumes, which a hard restart drops: mount a volume there, use --graceful, or --force", c.Name, units.BytesSize(float64(written)))
		}
	}
	return nil
}
