package main

import (
	"context"
	"fmt"
	"sort"
	"strings"

	"github.com/spf13/cobra"

	"composure/controller"
	"composure/controller/drift"
	"composure/controller/plan"
	"composure/spec"
)

func newDrift(a *app) *cobra.Command {
	var format string
	var schema bool
	cmd := &cobra.Command{
		Use:   "drift [SERVICE...]",
		Short: "Report what differs from the compose file, field by field",
		Long: `Report what differs from the compose file: the field, the line of the file, whether the file was edited or the
container changed by hand, and what a deployment would do about it. Nothing is touched.

Exit status: 0 clean, 1 drift, 2 error or not everything could be observed.`,
		Example: `  composure drift
  composure drift -f compose.yaml -f compose.prod.yaml -o markdown api
  DOCKER_HOST=ssh://deploy@host composure drift -o github`,
		RunE: func(cmd *cobra.Command, services []string) error {
			if schema {
				_, err := fmt.Fprint(a.stdout, drift.JSONSchema())
				return err
			}
			if err := output(format, drift.Formats()...); err != nil {
				return err
			}
			return a.drift(cmd.Context(), format, services)
		},
	}
	cmd.Flags().StringVarP(&format, "output", "o", "text", "text, json, markdown, github, junit or sarif")
	cmd.Flags().BoolVar(&schema, "schema", false, "print the JSON schema of -o json")
	return cmd
}

// drift is the line load → observe → drift, cut short there.
func (a *app) drift(ctx context.Context, format string, services []string) error {
	log, err := a.logger()
	if err != nil {
		return err
	}
	m, err := a.meet(ctx, log)
	if err != nil {
		return err
	}
	defer m.close()
	stack := m.stack
	selected, err := selectServices(stack, services, false)
	if err != nil {
		return err
	}
	seen, err := controller.New(controller.Config{Source: m.eng, Stack: stack, Begun: m.look, Logger: log}).Look(ctx)
	if err != nil {
		return err
	}
	report := seen.Drift
	if report.Differs() || report.Edited { // whose doing it is, and what is meant to differ, matters only now
		known, err := a.recall(ctx, m.about.ID, stack)
		if err != nil {
			log.Warn("what was last applied is not known; origins are told by the config hash alone", "error", err)
		}
		known.Snapshot = seen.Snapshot
		report = drift.Compute(known)
	}
	report = report.Of(selected)
	for _, why := range plan.StackHolds(stack, seen.Snapshot, false) {
		fmt.Fprintln(a.stderr, "warning: a deployment would be held:", relativePaths(why))
	}
	look := terminal(a.stdout)
	text, err := drift.Render(format, report, drift.RenderOptions{
		Color: look.Color, Width: look.Width, Root: workingDir(), File: stack.ConfigFiles[0], At: seen.Snapshot.At, Version: version,
	})
	if err != nil {
		return err
	}
	if _, err := fmt.Fprint(a.stdout, text); err != nil {
		return err
	}
	switch {
	case len(report.Gaps) > 0:
		return status(exitError)
	case report.Differs():
		return status(exitFinding)
	}
	return nil
}

// selectServices checks names of services; nil stands for all. With deps, what they depend on is selected too.
func selectServices(stack *spec.Stack, names []string, deps bool) (map[string]bool, error) {
	if len(names) == 0 {
		return nil, nil
	}
	selected := map[string]bool{}
	var add func(name string) error
	add = func(name string) error {
		svc := stack.Service(name)
		if svc == nil {
			return fmt.Errorf("no such service: %s; the stack %s has %s", name, stack.Name, serviceNames(stack))
		}
		if selected[name] {
			return nil
		}
		selected[name] = true
		for _, d := range svc.DependsOn {
			if deps && stack.Service(d.Service) != nil {
				if err := add(d.Service); err != nil {
					return err
				}
			}
		}
		return nil
	}
	for _, name := range names {
		if err := add(name); err != nil {
			return nil, err
		}
	}
	return selected, nil
}

func serviceNames(stack *spec.Stack) string {
	names := make([]string, len(stack.Services))
	for i, svc := range stack.Services {
		names[i] = svc.Name
	}
	sort.Strings(names)
	return strings.Join(names, ", ")
}
