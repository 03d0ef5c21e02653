package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"composure/controller/lint"
	"composure/spec"
)

func newInit(a *app) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Write a commented x-composure file that suits the stack",
		Long: `Write a commented x-composure file that suits the stack: probes guessed from healthchecks, images and ports, integrity
checks for PostgreSQL, and, as comments, what a person has to decide. docker compose ignores all of it. No engine is needed.

The file is compose.override.yaml, which compose reads by itself, or compose.composure.yaml where there is an override
already or where -f names the files; that one is to be named with -f too. A file that exists is never overwritten.`,
		Example: "  composure init\n  composure init --write policy.yaml\n  composure init --write - | less",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.init(cmd.Context(), file)
		},
	}
	cmd.Flags().StringVar(&file, "write", "", "the file to write; - prints it")
	return cmd
}

func (a *app) init(ctx context.Context, file string) error {
	files, err := a.read()
	if err != nil {
		return err
	}
	stack, err := a.loadFrom(ctx, files)
	if err != nil {
		return err
	}
	proposals, err := lint.Propose(stack)
	if err != nil {
		return err
	}
	text := policyFile(stack, proposals)
	if file == "-" {
		_, err := io.WriteString(a.stdout, text)
		return err
	}
	byItself := false
	if file == "" {
		file, byItself = policyPath(stack, files.Found())
	}
	if err := a.writePolicy(ctx, file, text, stack, byItself); err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "%s: written for %s. Read it, and change what you know better.\n", relative(file), count(len(stack.Services), "service"))
	if !byItself {
		fmt.Fprintf(a.stdout, "It counts when it is named, too: composure %s reconcile\n", fileFlags(stack, file))
	}
	return nil
}

// overrides are the names that compose reads by itself beside the main file (compose-go, cli.DefaultOverrideFileNames).
var overrides = []string{"compose.override.yml", "compose.override.yaml", "docker-compose.override.yml", "docker-compose.override.yaml"}

// policyPath is where the file goes, and whether compose reads it there by itself: beside files that nobody has named.
func policyPath(stack *spec.Stack, found bool) (path string, byItself bool) {
	dir := stack.WorkingDir
	byItself = found && len(stack.ConfigFiles) > 0 && filepath.Dir(stack.ConfigFiles[0]) == dir
	for _, name := range overrides {
		if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
			byItself = false
		}
	}
	if byItself {
		return filepath.Join(dir, "compose.override.yaml"), true
	}
	return filepath.Join(dir, "compose.composure.yaml"), false
}

// writePolicy writes a new file, and takes it away again when the stack cannot be loaded with it.
func (a *app) writePolicy(ctx context.Context, file, text string, stack *spec.Stack, byItself bool) error {
	out, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("%s: is there already and is not overwritten; name another file with --write, or print it with --write -", file)
	}
	if err != nil {
		return fmt.Errorf("write the policy: %w", err)
	}
	_, err = io.WriteString(out, text)
	if err = errors.Join(err, out.Close()); err == nil {
		again := *a
		again.stderr = io.Discard
		if !byItself {
			again.files = append(slices.Clone(stack.ConfigFiles), file)
		}
		_, err = again.load(ctx)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("the stack cannot be loaded with %s, which is taken away again: %w", file, err), os.Remove(file))
	}
	return nil
}

func fileFlags(stack *spec.Stack, file string) string {
	var flags []string
	for _, f := range append(slices.Clone(stack.ConfigFiles), file) {
		flags = append(flags, "-f "+relative(f))
	}
	return strings.Join(flags, " ")
}

// policyFile renders the file.
func policyFile(stack *spec.Stack, proposals []lint.Proposal) string {
	var b strings.Builder
	b.WriteString(policyHead)
	b.WriteString("services:\n")
	for _, svc := range stack.Services {
		fmt.Fprintf(&b, "  %s:\n    x-composure:\n", svc.Name)
		said := false
		for _, p := range proposals {
			if p.Service != svc.Name {
				continue
			}
			said = true
			lead := ""
			if p.Choice {
				lead = "# "
			}
			fmt.Fprintf(&b, "      # %s\n", p.Why)
			for _, line := range p.Lines {
				fmt.Fprintf(&b, "      %s%s\n", lead, line)
			}
		}
		if !said {
			b.WriteString("      # The defaults suit it.\n")
		}
	}
	return b.String()
}

const policyHead = `# Written by ` + "`composure init`" + `. Everything here is optional: without it the defaults hold, which the README lists.
# docker compose ignores x-composure.
x-composure:
  # Who is called when remediation does not help. Without a channel incidents are only recorded and reported as files.
  # notify:
  #   - type: slack
  #     url: ${SLACK_WEBHOOK_URL}
  #   - type: pagerduty
  #     routing_key: ${PAGERDUTY_ROUTING_KEY}
  #     tiers: [emergency]
  # When people are called beyond that; these are the defaults.
  # escalation: {unresolved: 30m, outage: 1h, acknowledge: 15m, recurrence: 24h}
  # Nothing is remediated in these windows (UTC).
  # maintenance:
  #   - {cron: "0 3 * * 0", duration: 1h}
  # What happens to an edited file while Composure watches: manual reports it, auto deploys it.
  # deploy: manual

`
