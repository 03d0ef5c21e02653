package main

import (
	"fmt"
	"strings"

	"composure/controller/plan"
	"composure/controller/view"
)

// relativePaths shows the paths in a text that are below the working directory as people type them.
func relativePaths(text string) string {
	return strings.ReplaceAll(text, workingDir()+"/", "")
}

// printPlan prints what a run would begin with.
func (a *app) printPlan(p plan.Plan, stack, format string) error {
	if format != "json" {
		_, err := fmt.Fprint(a.stdout, relativePaths(p.String()))
		return err
	}
	return writeJSON(a.stdout, view.PlanOf(p, stack, workingDir()))
}
