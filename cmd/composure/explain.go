package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"composure/controller/diagnose"
)

func newExplain(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "explain [CAUSE]",
		Short:   "Explain a root cause: symptoms, how to look, what is done, how to prevent it",
		Example: "  composure explain\n  composure explain memory_exhaustion",
		Args:    cobra.MaximumNArgs(1),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return causeCodes(), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				for _, c := range diagnose.Causes() {
					fmt.Fprintf(a.stdout, "%-28s %-9s %s\n", c.Code, c.Severity, c.Title)
				}
				return nil
			}
			c, known := diagnose.Explain(args[0])
			if !known {
				return fmt.Errorf("no such cause: %s; use one of %s", args[0], strings.Join(causeCodes(), ", "))
			}
			_, err := fmt.Fprint(a.stdout, explanation(c))
			return err
		},
	}
}

// explanation is a cause as people read it.
func explanation(c diagnose.Cause) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s (%s)\n\n%s\n", c.Code, c.Title, c.Severity, c.Text)
	for _, part := range causeParts(c) {
		fmt.Fprintf(&b, "\n%s:\n", part.title)
		for _, line := range part.lines {
			fmt.Fprintf(&b, "  - %s\n", line)
		}
	}
	if c.HandsOff {
		b.WriteString("\nPeople decide: an action could destroy data or evidence.\n")
	}
	if c.Runbook != "" {
		fmt.Fprintf(&b, "\nFrom the runbook: %s\n", c.Runbook)
	}
	return b.String()
}

// causePart is a list under its title.
type causePart struct {
	title string
	lines []string
}

// causeParts are the lists of a cause that are not empty.
func causeParts(c diagnose.Cause) []causePart {
	parts := []causePart{{"Symptoms", c.Symptoms}, {"How to look", c.Investigation}, {"What is done, in this order", c.Remedies}, {"Prevention", c.Prevention}}
	return slices.DeleteFunc(parts, func(p causePart) bool { return len(p.lines) == 0 })
}

func causeCodes() []string {
	var codes []string
	for _, c := range diagnose.Causes() {
		codes = append(codes, c.Code)
	}
	return codes
}
