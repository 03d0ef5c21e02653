package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"composure/controller/lint"
	"composure/spec"
)

// lintFlags are the flags of `composure lint`.
type lintFlags struct {
	format, level string
	ignore        []string
	rules         bool
}

func newLint(a *app) *cobra.Command {
	var f lintFlags
	cmd := &cobra.Command{
		Use:   "lint [SERVICE...]",
		Short: "Check the compose file against the runbook's prevention measures",
		Long: `Check the compose file against the runbook's prevention measures: healthchecks, limits, restart policies, ports, tags,
secrets, volumes of databases. Every finding names its line and what to write instead. No engine is needed.

A file that cannot be deployed at all, such as one that publishes a port twice, is an error with its line.

Exit status: 0 clean, 1 findings, 2 error.`,
		Example: `  composure lint
  composure lint --level warning -o github
  composure lint --ignore image-tag,cpu-limit api
  composure lint --rules`,
		RunE: func(cmd *cobra.Command, services []string) error {
			if err := output(f.format, "text", "json", "github"); err != nil {
				return err
			}
			return a.lint(cmd.Context(), f, services)
		},
	}
	cmd.Flags().StringVarP(&f.format, "output", "o", "text", "text, json or github")
	cmd.Flags().StringVar(&f.level, "level", string(lint.Notice), "report what is at least so bad: error, warning or notice")
	cmd.Flags().StringSliceVar(&f.ignore, "ignore", nil, "rules to leave out")
	offer(cmd, "ignore", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		var codes []string
		for _, r := range lint.Rules() {
			codes = append(codes, r.Code+"\t"+r.Text)
		}
		return codes, cobra.ShellCompDirectiveNoFileComp
	})
	cmd.Flags().BoolVar(&f.rules, "rules", false, "list the rules")
	return cmd
}

func (a *app) lint(ctx context.Context, f lintFlags, services []string) error {
	skip, err := f.skipped()
	if err != nil {
		return err
	}
	if f.rules {
		return a.listRules(f.format)
	}
	stack, err := a.load(ctx)
	if err != nil {
		return err
	}
	selected, err := selectServices(stack, services, false)
	if err != nil {
		return err
	}
	found, err := lint.Check(stack, skip)
	if err != nil {
		return err
	}
	found = slices.DeleteFunc(found, func(finding lint.Finding) bool {
		return !finding.Severity.AtLeast(lint.Severity(f.level)) || (selected != nil && !selected[finding.Service])
	})
	proposals, err := lint.Propose(stack)
	if err != nil {
		return err
	}
	proposals = slices.DeleteFunc(proposals, func(p lint.Proposal) bool { return selected != nil && !selected[p.Service] })
	if err := a.printFindings(f.format, stack, found, proposals); err != nil {
		return err
	}
	if len(found) > 0 {
		return status(exitFinding)
	}
	return nil
}

// skipped checks the flags that name rules and levels.
func (f lintFlags) skipped() (map[string]bool, error) {
	if !slices.Contains(lint.Severities(), lint.Severity(f.level)) {
		return nil, fmt.Errorf("--level: %q is not a level; use error, warning or notice", f.level)
	}
	skip := map[string]bool{}
	for _, code := range f.ignore {
		if !slices.ContainsFunc(lint.Rules(), func(r lint.Rule) bool { return r.Code == code }) {
			return nil, fmt.Errorf("--ignore: no such rule: %s; `composure lint --rules` lists them", code)
		}
		skip[code] = true
	}
	return skip, nil
}

// lintRule is one rule of `lint --rules -o json` ("composure.lint-rules/v1").
type lintRule struct {
	Code     string        `json:"code"`
	Severity lint.Severity `json:"severity"`
	Text     string        `json:"text"`
	Fix      string        `json:"fix"`
}

func (a *app) listRules(format string) error {
	if format == "json" {
		rules := []lintRule{}
		for _, r := range lint.Rules() {
			rules = append(rules, lintRule{r.Code, r.Severity, r.Text, r.Fix})
		}
		return writeJSON(a.stdout, map[string]any{"schema": "composure.lint-rules/v1", "rules": rules})
	}
	for _, r := range lint.Rules() {
		if _, err := fmt.Fprintf(a.stdout, "%-26s %-8s %s\n", r.Code, r.Severity, r.Text); err != nil {
			return err
		}
	}
	return nil
}

// lintReport is `lint -o json`.
type lintReport struct {
	Schema   string        `json:"schema"`
	Stack    string        `json:"stack"`
	Findings []lintFinding `json:"findings"`
	Adds     []lintAdds    `json:"init_adds"` // what `composure init` would add to x-composure
}

type lintAdds struct {
	Service string `json:"service"`
	Key     string `json:"key"`
	Text    string `json:"text"`
	Why     string `json:"why"`
	Comment bool   `json:"comment"` // a person decides: it is added as a comment
}

type lintFinding struct {
	Rule     string        `json:"rule"`
	Severity lint.Severity `json:"severity"`
	Service  string        `json:"service"`
	File     string        `json:"file"`
	Line     int           `json:"line"`
	Text     string        `json:"text"`
	Fix      string        `json:"fix"`
}

func (a *app) printFindings(format string, stack *spec.Stack, found []lint.Finding, proposals []lint.Proposal) error {
	switch format {
	case "json":
		list := []lintFinding{}
		for _, f := range found {
			list = append(list, lintFinding{f.Rule, f.Severity, f.Service, relative(f.Pos.File), f.Pos.Line, f.Text, f.Fix})
		}
		adds := []lintAdds{}
		for _, p := range proposals {
			adds = append(adds, lintAdds{p.Service, p.Key, strings.Join(p.Lines, "\n"), p.Why, p.Choice})
		}
		return writeJSON(a.stdout, lintReport{"composure.lint/v1", stack.Name, list, adds})
	case "github":
		var b strings.Builder
		for _, f := range found {
			fmt.Fprintf(&b, "::%s file=%s,line=%d,title=%s::%s\n", f.Severity, commandProperty.Replace(relative(f.Pos.File)), max(f.Pos.Line, 1),
				commandProperty.Replace(f.Rule), commandData.Replace(printable(f.Service+": "+f.Text+"; "+f.Fix)))
		}
		_, err := io.WriteString(a.stdout, b.String()+summary(stack, found)+"\n")
		return err
	}
	_, err := io.WriteString(a.stdout, findingsText(found, terminal(a.stdout).Color)+summary(stack, found)+"\n"+additions(proposals))
	return err
}

// additions is one line about what `composure init` would write, or nothing.
func additions(proposals []lint.Proposal) string {
	var keys []string
	services := map[string][]string{}
	for _, p := range proposals {
		if services[p.Key] == nil {
			keys = append(keys, p.Key)
		}
		services[p.Key] = append(services[p.Key], p.Service)
	}
	var parts []string
	for _, key := range keys {
		parts = append(parts, key+" to "+strings.Join(services[key], ", "))
	}
	if len(parts) == 0 {
		return ""
	}
	return "`composure init` would add " + strings.Join(parts, "; ") + "\n"
}

// findingsText is the findings for people: a line each, and how to keep a rule once, under its first finding.
func findingsText(found []lint.Finding, color bool) string {
	var b strings.Builder
	said := map[string]bool{}
	for _, f := range found {
		place := spec.Position{File: relative(f.Pos.File), Line: f.Pos.Line}.String()
		fmt.Fprintf(&b, "%s: %s: %s: %s [%s]\n", place, paint(color, string(f.Severity)), f.Service, printable(f.Text), f.Rule)
		if !said[f.Rule] {
			fmt.Fprintf(&b, "    %s\n", f.Fix)
		}
		said[f.Rule] = true
	}
	return b.String()
}

func summary(stack *spec.Stack, found []lint.Finding) string {
	if len(found) == 0 {
		return fmt.Sprintf("%s: %s, nothing found", stack.Name, count(len(stack.Services), "service"))
	}
	counts := map[lint.Severity]int{}
	for _, f := range found {
		counts[f.Severity]++
	}
	var parts []string
	for _, s := range lint.Severities() {
		if counts[s] > 0 {
			parts = append(parts, count(counts[s], string(s)))
		}
	}
	return stack.Name + ": " + strings.Join(parts, ", ")
}

// The escaping of workflow commands, as GitHub's runner undoes it.
var (
	commandData     = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	commandProperty = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
)

// relative is a path as people in the working directory write it; outside of it, absolute.
func relative(path string) string {
	rel, err := filepath.Rel(workingDir(), path)
	if err != nil || path == "" || !filepath.IsLocal(rel) {
		return path
	}
	return rel
}

// writeJSON writes one document as every -o json does.
func writeJSON(w io.Writer, document any) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(document)
}

// count is a number with its noun.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// colors of words, one meaning a color in every command.
var colors = map[string]string{
	"error": "31", "failed": "31", "unhealthy": "31", "failing": "31", "missing": "31",
	"warning": "33", "pending": "33", "starting": "33", "restarting": "33", "paused": "33",
	"healthy": "32", "recovered": "32", "running": "32", "ok": "32", "notice": "36",
}

// paint colours a word by its meaning when colours are wanted.
func paint(color bool, word string) string {
	code := colors[strings.TrimSpace(word)]
	if !color || code == "" {
		return word
	}
	return "\x1b[" + code + "m" + word + "\x1b[0m"
}
