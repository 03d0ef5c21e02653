package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"composure/controller/diagnose"
	"composure/controller/incident"
	"composure/controller/observe"
	"composure/controller/view"
	"composure/spec"
)

func newDiagnose(a *app) *cobra.Command {
	var format string
	var dumps bool
	cmd := &cobra.Command{
		Use:   "diagnose [SERVICE...]",
		Short: "Walk the runbook's decision tree and name the root cause",
		Long: `Walk the runbook's decision tree: container running? healthy? port accessible? application responding? database
connected? Every step says what was checked and what was seen. Nothing is changed, unless --dump asks the named services for
a stack dump first: by the signal of x-composure.remediation.stack_dump, sent inside the container.

Without a name the services that are not well are diagnosed; a service that is named is walked through in any case.

Exit status: 0 all is well, 1 a root cause was found, 2 error or not everything could be observed.`,
		Example: "  composure diagnose\n  composure diagnose api",
		RunE: func(cmd *cobra.Command, services []string) error {
			if err := output(format, "text", "json"); err != nil {
				return err
			}
			if dumps && len(services) == 0 {
				return errors.New("--dump: name the services that are to be asked for a stack dump")
			}
			return a.diagnose(cmd.Context(), format, services, dumps)
		},
	}
	cmd.Flags().BoolVar(&dumps, "dump", false, "ask the named services for a stack dump, and show what they wrote")
	cmd.Flags().StringVarP(&format, "output", "o", "text", "text or json")
	return cmd
}

func (a *app) diagnose(ctx context.Context, format string, services []string, dumps bool) error {
	s, err := a.reach(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	asked, err := selectServices(s.stack, services, false)
	if err != nil {
		return err
	}
	if dumps {
		if err := s.dump(ctx, asked, a.stderr); err != nil {
			return err
		}
	}
	seen, err := s.examine(ctx, asked)
	if err != nil {
		return err
	}
	found, gaps := append([]diagnose.Diagnosis{}, seen.found...), append([]observe.Gap{}, seen.gaps...)
	if asked != nil {
		found = slices.DeleteFunc(found, func(d diagnose.Diagnosis) bool { return !asked[d.Service] })
	}
	if format == "json" {
		err = writeJSON(a.stdout, view.DiagnosesOf(s.stack.Name, found, gaps))
	} else {
		err = a.printDiagnoses(s.stack, found, gaps, seen.open)
	}
	switch {
	case err != nil:
		return err
	case len(gaps) > 0:
		return status(exitError)
	case slices.ContainsFunc(found, func(d diagnose.Diagnosis) bool { return d.Finding != nil && d.Reason != "" }):
		return status(exitFinding)
	}
	return nil
}

func (a *app) printDiagnoses(stack *spec.Stack, found []diagnose.Diagnosis, gaps []observe.Gap, open []incident.Incident) error {
	text := diagnose.Render(found)
	for _, i := range open {
		if i.Service == "" || slices.ContainsFunc(found, func(d diagnose.Diagnosis) bool { return d.Service == i.Service }) {
			text += fmt.Sprintf("on record since %s: %s, %s; `composure incidents show %s` tells what was done\n", shownTime(i.Detected), i.Cause, i.State, i.ID)
		}
	}
	if len(found) == 0 {
		text = fmt.Sprintf("%s: %s, all of them well\n", stack.Name, count(len(stack.Services), "service"))
	}
	for _, g := range gaps {
		text += fmt.Sprintf("could not be observed: %s: %s\n", g.Subject, printable(g.Err))
	}
	_, err := fmt.Fprint(a.stdout, text)
	return err
}

// dump asks the running containers of services for a stack dump and prints what they wrote.
func (s *session) dump(ctx context.Context, asked map[string]bool, out io.Writer) error {
	snapshot, err := observe.Collect(ctx, s.eng, s.stack)
	if err != nil {
		return err
	}
	for _, svc := range s.stack.Services {
		if !asked[svc.Name] {
			continue
		}
		signal := svc.Policy.Remediation.StackDump
		if signal == "" {
			return fmt.Errorf("%s: x-composure.remediation.stack_dump is not set; set it to the signal that the application answers with its stacks, such as USR1 or QUIT", svc.Name)
		}
		for _, c := range snapshot.Of(svc.Name) {
			if !c.Running() {
				continue
			}
			began := time.Now()
			if err := dump(s.eng, dumpWaitByHand)(ctx, c.Inspect, signal); err != nil {
				return fmt.Errorf("dump the stacks of %s: %w", c.Name, err)
			}
			text, err := s.eng.LogsSince(ctx, c.ID, began, 2000, 1<<20)
			if err != nil {
				return err
			}
			fmt.Fprintf(out, "%s, after SIG%s:\n", c.Name, strings.TrimPrefix(signal, "SIG"))
			lines := clean(observe.Shown(s.stack, c, text))
			if len(lines) == 0 {
				lines = []string{"it wrote nothing within " + dumpWaitByHand.String()}
			}
			for _, line := range lines {
				fmt.Fprintf(out, "  %s\n", line)
			}
		}
	}
	return nil
}
