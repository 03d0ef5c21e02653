package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"composure/controller/observe"
	"composure/controller/store"
)

func newBaseline(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "baseline",
		Short: "Capture and verify what must not shrink: row counts, endpoints, commands",
		Long: `Capture and verify what must not shrink: the checks of x-composure.integrity. The remediator captures by itself when a
service has been stable, and verifies after every action.`,
		Example: "  composure baseline capture postgres\n  composure baseline verify",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(
		newBaselineVerb(a, "capture", "Record what the integrity checks give now as the baseline",
			"Record what the integrity checks give now as the baseline, also when it is less than before.\n\nExit status: 0 captured, 2 error or a check gave nothing.", true),
		newBaselineVerb(a, "verify", "Compare the integrity checks with the baseline",
			"Compare the integrity checks with the baseline: figures must not have fallen, commands and endpoints must answer.\n\nExit status: 0 nothing fell, 1 something did, 2 error, no baseline, or a check could not be made.", false),
	)
	return cmd
}

func newBaselineVerb(a *app, verb, short, long string, capture bool) *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use: verb + " [SERVICE...]", Short: short, Long: long, ValidArgsFunction: a.completeServices,
		Example: "  composure baseline " + verb + "\n  composure baseline " + verb + " postgres",
		RunE: func(cmd *cobra.Command, services []string) error {
			if err := output(format, "text", "json"); err != nil {
				return err
			}
			return a.baseline(cmd.Context(), format, services, capture)
		},
	}
	cmd.Flags().StringVarP(&format, "output", "o", "text", "text or json")
	return cmd
}

func (a *app) baseline(ctx context.Context, format string, services []string, capture bool) error {
	s, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	selected, err := selectServices(s.stack, services, false)
	if err != nil {
		return err
	}
	if capture && s.memory == nil {
		db, err := a.openStore(ctx)
		if err != nil {
			return err
		}
		s.memory = &memory{Store: db, key: store.StackKey(s.id, s.stack.Name)}
	}
	all, err := s.baseline(ctx, selected, capture)
	if err != nil {
		return err
	}
	if len(all) == 0 {
		return fmt.Errorf("no service of %s has integrity checks; add x-composure.integrity, such as {name: orders, sql: SELECT count(*) FROM orders}", s.stack.Name)
	}
	if err := a.printChecks(format, s.stack.Name, all, capture); err != nil {
		return err
	}
	return answerOf(all, capture)
}

// baseline makes the checks of the selected services and, to capture, keeps what they give.
func (s *session) baseline(ctx context.Context, selected map[string]bool, capture bool) ([]checked, error) {
	snapshot, err := observe.Collect(ctx, s.eng, s.stack)
	if err != nil {
		return nil, err
	}
	var captured []store.Baseline
	if s.memory != nil {
		if captured, err = s.memory.Baselines(ctx, s.memory.key); err != nil {
			return nil, err
		}
	}
	examiner := s.app.examiner(s.eng)
	var all []checked
	for _, svc := range s.stack.Services {
		if (selected != nil && !selected[svc.Name]) || len(svc.Policy.Integrity) == 0 {
			continue
		}
		m := examiner.Measure(ctx, s.stack, snapshot, svc.Name)
		known, err := baselineOf(svc.Name, captured)
		if err != nil {
			return nil, err
		}
		all = append(all, compare(svc.Name, m, known)...)
		if capture {
			if err := kept(ctx, s.memory.SaveBaseline, s.memory.key, svc.Name, m, time.Now()); err != nil {
				return nil, err
			}
		}
	}
	return all, nil
}

// answerOf is the exit status: what fell counts more than what could not be asked.
func answerOf(all []checked, capture bool) error {
	has := func(states ...string) bool {
		return slices.ContainsFunc(all, func(c checked) bool { return slices.Contains(states, c.State) })
	}
	switch {
	case !capture && has(checkFell, checkBroken):
		return status(exitFinding)
	case has(checkUnknown, checkBroken), !capture && has(checkNew):
		return status(exitError)
	}
	return nil
}

func (a *app) printChecks(format, stack string, all []checked, capture bool) error {
	if format == "json" {
		return writeJSON(a.stdout, map[string]any{"schema": "composure.baseline/v1", "stack": stack, "captured": capture, "checks": all})
	}
	var text strings.Builder
	t := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "SERVICE\tCHECK\tNOW\tBASELINE\tSTATE\tDETAIL")
	for _, c := range all {
		state, detail := c.State, c.Detail
		if capture && c.Value != nil {
			state, detail = "captured", ""
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", c.Service, c.Check, figure(c.Value), figure(c.Baseline), state, printable(detail))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := io.WriteString(a.stdout, text.String())
	return err
}

// figure is a number as people read it; empty when there is none.
func figure(v *float64) string {
	if v == nil {
		return ""
	}
	return fmt.Sprintf("%.15g", *v)
}
