package main

import (
	"fmt"
	"regexp"
	"unicode/utf8"

	"composure/controller/plan"
	"composure/controller/view"
)

// relativePaths shows the paths in a text that are below the working directory as people type them.
func relativePaths(text string) string { return relativeTo(workingDir(), text) }

// relativeTo leaves out a directory where a path begins with it: not in the middle of a longer one, nor in an address. One whose
// name is not in UTF-8 stays: no expression can be made of it.
func relativeTo(dir, text string) string {
	if dir == "" || dir == "/" || !utf8.ValidString(dir) {
		return text
	}
	return regexp.MustCompile(`(^|[^\pL\pN/._-])`+regexp.QuoteMeta(dir+"/")).ReplaceAllString(text, "$1")
}

// printPlan prints what a run would begin with.
func (a *app) printPlan(p plan.Plan, stack, format string) error {
	if format != "json" {
		_, err := fmt.Fprint(a.stdout, relativePaths(p.String()))
		return err
	}
	return writeJSON(a.stdout, view.PlanOf(p, stack, workingDir()))
}
