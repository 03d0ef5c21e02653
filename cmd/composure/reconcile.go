package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"composure/controller"
	"composure/controller/act"
	"composure/controller/engine"
	"composure/controller/plan"
	"composure/controller/store"
	"composure/spec"
)

// reconcileFlags are the flags of `composure reconcile`.
type reconcileFlags struct {
	once, dryRun, prune, takeOver, noDeps bool
	timeout, interval                     time.Duration
	format                                string
	listen, tokenFile                     string
	allowHosts, stacks                    []string
}

func newReconcile(a *app) *cobra.Command {
	var f reconcileFlags
	cmd := &cobra.Command{
		Use:   "reconcile [--once] [SERVICE...]",
		Short: "Make the stack what the compose file says",
		Long: `Make the stack what the compose file says: create what is missing, change in place what can be, recreate what must
be, start what is down, and wait until everything runs, is healthy, and stays so.

A recreation keeps the old container until the new one is proven, and goes back to it when the new one fails.
With SERVICE, what shares a network of one, or depends on it with "restart: true", follows when it was made anew.
Volumes are never removed. Orphans and surplus replicas are reported, and removed only with --prune.

Exit status: 0 converged, 1 not converged (the reason is said for each service), 2 error.`,
		Example: `  composure reconcile --once
  composure reconcile --once --dry-run
  composure reconcile --once --timeout 5m api
  composure reconcile --stacks '/srv/*'`,
		RunE: func(cmd *cobra.Command, services []string) error {
			if err := output(f.format, "text", "json"); err != nil {
				return err
			}
			if f.interval < time.Second || f.timeout <= 0 {
				return fmt.Errorf("reconcile: --interval %s, --timeout %s: too short; the one is at least 1s, the other more than nothing", f.interval, f.timeout)
			}
			if len(f.stacks) > 0 && (f.once || f.dryRun) {
				return errors.New("reconcile: --stacks is for continuous mode; --once and --dry-run work on the stack of one directory")
			}
			if f.once || f.dryRun {
				if err := onlyContinuous(cmd); err != nil {
					return err
				}
			} else {
				if err := onlyOnce(cmd); err != nil {
					return err
				}
				if len(services) > 0 {
					return errors.New("reconcile: continuous mode watches the whole stack; services are named with --once")
				}
				if !cmd.Flags().Changed("log-level") {
					a.logLevel = "info"
				}
				if len(f.stacks) > 0 {
					return a.reconcileSeveral(cmd.Context(), f)
				}
				return a.reconcileContinuously(cmd.Context(), f)
			}
			return a.reconcileOnce(cmd.Context(), f, services)
		},
	}
	cmd.Flags().BoolVar(&f.once, "once", false, "make the stack what the file says, then end")
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "print the plan and touch nothing; exit status 1 when there is something to do")
	cmd.Flags().BoolVar(&f.prune, "prune", false, "remove orphans and surplus replicas (their volumes stay)")
	cmd.Flags().BoolVar(&f.takeOver, "take-over", false, "the stack was deployed from another directory and has moved here")
	cmd.Flags().BoolVar(&f.noDeps, "no-deps", false, "leave out what the named services depend on")
	cmd.Flags().DurationVar(&f.timeout, "timeout", 10*time.Minute, "give up after so long; what is in progress is ended first")
	cmd.Flags().DurationVar(&f.interval, "interval", 5*time.Minute, "continuous mode: look at everything at least this often, whatever the events say; at whether anything has changed, once a minute")
	cmd.Flags().StringArrayVar(&f.stacks, "stacks", nil, "continuous mode: look after the stacks in these project directories, in one process; a pattern such as '/srv/*'; may be given several times")
	cmd.Flags().StringVar(&f.listen, "listen", "", "continuous mode: serve the dashboard, the API and the metrics on this address, such as 127.0.0.1:9180")
	cmd.Flags().StringVar(&f.tokenFile, "token-file", "", "file with the token of the dashboard (default: COMPOSURE_TOKEN); without a token nobody can act with it, and only loopback is served")
	cmd.Flags().StringArrayVar(&f.allowHosts, "allow-host", nil, "name under which the dashboard is reached, beside addresses and localhost; may be given several times")
	cmd.Flags().StringVarP(&f.format, "output", "o", "text", "text or json")
	return cmd
}

// onlyOnce refuses the flags that say something about a single run: ignored, they would promise what is not done.
func onlyOnce(cmd *cobra.Command) error {
	for flag, instead := range map[string]string{
		"prune": "in continuous mode `x-composure: {prune: remove}` in the compose file says so", "no-deps": "continuous mode watches the whole stack",
		"take-over": "take the stack over with `composure reconcile --once --take-over` first", "timeout": "continuous mode does not end by itself",
		"output": "continuous mode writes a log; --log-format json is for programs",
	} {
		if cmd.Flags().Changed(flag) {
			return fmt.Errorf("reconcile: --%s goes with --once or --dry-run; %s", flag, instead)
		}
	}
	return nil
}

// onlyContinuous refuses the flags that say something about a remediator.
func onlyContinuous(cmd *cobra.Command) error {
	for _, flag := range []string{"listen", "token-file", "allow-host", "interval"} {
		if cmd.Flags().Changed(flag) {
			return fmt.Errorf("reconcile: --%s is for continuous mode: with --once or --dry-run nothing is served, and there is one run", flag)
		}
	}
	return nil
}

// reconcileOnce is the deployment verb.
func (a *app) reconcileOnce(ctx context.Context, f reconcileFlags, services []string) error {
	log, err := a.logger()
	if err != nil {
		return err
	}
	m, err := a.meet(ctx, log)
	if err != nil {
		return err
	}
	defer m.close()
	selected, err := selectServices(m.stack, services, !f.noDeps)
	if err != nil {
		return err
	}
	config := controller.Config{
		Source: m.eng, Stack: m.stack, Begun: m.look, Logger: log, Deploy: true, Tries: 1, Services: selected, TakeOver: f.takeOver,
		Prune: f.prune || m.stack.Policy.Prune == "remove",
	}
	if f.dryRun {
		return a.dryRun(ctx, config, m.about.ID, f.format)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, f.timeout, fmt.Errorf("the time of --timeout %s is over", f.timeout))
	defer cancel()
	return a.deploy(ctx, config, m.eng, m.about.ID, f.format)
}

// dryRun prints the plan that a run would begin with.
func (a *app) dryRun(ctx context.Context, config controller.Config, engineID, format string) error {
	memory, err := a.peekMemory(ctx, engineID, config.Stack)
	if err != nil {
		return err
	}
	if memory != nil {
		defer memory.Close()
	}
	if config.Paused, err = memory.paused(ctx); err != nil {
		return err
	}
	file := config.Stack
	config.Recall = func(ctx context.Context) (*spec.Stack, error) { return memory.applied(ctx, file) }
	if config.Stack, err = memory.overridden(ctx, file, overrideRebuild); err != nil {
		return err
	}
	seen, err := controller.New(config).Look(ctx)
	if err != nil {
		return err
	}
	if err := a.printPlan(seen.Plan, config.Stack.Name, format); err != nil {
		return err
	}
	if !seen.Plan.Settled() {
		return status(exitFinding)
	}
	return nil
}

// deploy runs passes until the stack is converged or cannot be.
func (a *app) deploy(ctx context.Context, config controller.Config, eng *engine.Engine, engineID, format string) (err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	memory, err := a.openMemory(ctx, engineID, config.Stack, "reconcile --once", func(err error) { cancel(err) })
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, memory.close(ctx)) }()
	memory.log = config.Logger
	file := config.Stack
	if config.Paused, err = memory.paused(ctx); err != nil {
		return err
	}
	config.Recall = func(ctx context.Context) (*spec.Stack, error) { return memory.applied(ctx, file) }
	if config.Stack, err = memory.overridden(ctx, file, overrideRebuild); err != nil {
		return err
	}
	show := newProgress(a, format)
	memory.made = a.images(eng)
	config.Ledger = memory
	config.Actor = &act.Actor{
		Engine: eng, Images: memory.made, Capture: a.capture(eng, func() *spec.Stack { return config.Stack }), Dump: dump(eng, dumpWait),
		Before: func(j plan.Job, s plan.Step) { crashPoint(s); show.before(j, s) }, After: show.after, Report: show.report,
	}
	config.Events = eng
	config.OnPass = show.pass
	last, err := controller.New(config).Once(ctx)
	show.end()
	if held := (*store.LeasedError)(nil); errors.As(err, &held) {
		fmt.Fprintln(a.stderr, held)
		return status(exitFinding)
	}
	interrupted := ctx.Err() != nil && err != nil && last.Snapshot != nil // else even the last look has failed, and there is nothing to conclude
	if err != nil && !interrupted {
		return err
	}
	if last.Plan.Settled() {
		if err := memory.record(context.WithoutCancel(ctx), file, last, config.Services, "reconcile --once"); err != nil {
			return fmt.Errorf("the stack is converged, but that could not be recorded: %w", err)
		}
	}
	return a.conclude(ctx, last, eng, format, err)
}
