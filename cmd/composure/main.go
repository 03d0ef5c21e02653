// Command composure keeps Docker Compose stacks the way their compose file says.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/docker/cli/cli-plugins/metadata"
	"github.com/spf13/cobra"
)

// Exit statuses of the commands that answer a question with them.
const (
	exitClean   = 0 // converged, no drift
	exitFinding = 1 // drift, not converged
	exitError   = 2 // wrong usage, an error, or not everything could be observed
)

// status ends the program with an exit status and nothing more to say.
type status int

func (s status) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

func main() {
	collectGarbage(seldom)
	os.Exit(run(os.Args, os.Stdin, os.Stdout, os.Stderr))
}

// How much garbage may pile up, in percent of what is in use, before it is collected. A command ends before that matters,
// and would spend time on it with Go's own 100, and on fetching memory with much more; the remediator stays for weeks and allocates little.
const (
	seldom = 200
	steady = 25
)

// collectGarbage sets how often garbage is collected, unless the environment says it.
func collectGarbage(percent int) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(percent)
	}
}

// run is the program with its arguments, its name first, and its streams given; it returns the exit status.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) (code int) {
	defer func() {
		if p := recover(); p != nil {
			fmt.Fprintf(stderr, "composure: internal error: %v; please report it with the command and the trace below\n%s", p, debug.Stack())
			code = exitError
		}
	}()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	a := &app{stdin: stdin, stdout: stdout, stderr: stderr}
	root := newRoot(a)
	args, plugin := args[1:], asPlugin(args[0])
	if plugin {
		if len(args) > 0 && args[0] == metadata.MetadataSubcommandName {
			return exitStatus(answerMetadata(stdout), stderr)
		}
		ctx, args = whileDockerLives(ctx), a.pluginArgs(args)
		root.Annotations = map[string]string{cobra.CommandDisplayNameAnnotation: "docker " + pluginName}
	}
	root.SetArgs(args)
	return exitStatus(root.ExecuteContext(ctx), stderr)
}

// exitStatus prints what is wrong and returns the status to exit with.
func exitStatus(err error, stderr io.Writer) int {
	var s status
	switch {
	case err == nil:
		return exitClean
	case errors.As(err, &s):
		return int(s)
	}
	fmt.Fprintln(stderr, relativePaths(err.Error()))
	return exitError
}

// newRoot assembles the commands; each has a file of its own.
func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "composure",
		Short: "Keep Docker Compose stacks the way their compose file says",
		Long:  rootHelp,
		Example: `  composure lint                 # no engine is needed
  composure drift                # nothing is touched
  composure reconcile --once     # deploy
  composure reconcile            # watch and heal, until it is ended
  composure status --watch`,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return fmt.Errorf("%s: %w; see `%s --help`", cmd.CommandPath(), err, cmd.CommandPath())
	})
	a.addFlags(root.PersistentFlags())
	root.AddCommand(newReconcile(a), newDrift(a), newDiagnose(a), newExplain(a), newEndpoints(a), newLint(a), newStatus(a), newIncidents(a), newBaseline(a), newHistory(a), newRestart(a), newRollback(a), newPause(a), newResume(a), newRelease(a), newHealth(a), newInit(a), newVersion(a))
	root.InitDefaultCompletionCmd() // else it comes when the program runs, too late for its arguments to be explained
	completeFlags(root)
	explainArgs(root)
	return root
}

// explainArgs makes a wrong number of arguments, and a command that is not there, say what would be right.
func explainArgs(cmd *cobra.Command) {
	if !cmd.Runnable() { // its help would be an answer to anything, with success
		cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	}
	accepts := cmd.Args
	if !cmd.HasParent() {
		accepts = cobra.NoArgs
	}
	if accepts != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			err := accepts(cmd, args)
			switch {
			case err == nil:
				return nil
			case cmd.HasSubCommands():
				return fmt.Errorf("unknown command %q for %q; %s`%s --help` lists the commands", args[0], cmd.CommandPath(), meant(cmd, args[0]), cmd.CommandPath())
			}
			return fmt.Errorf("%s: %w; usage: %s", cmd.CommandPath(), err, cmd.UseLine())
		}
	}
	for _, below := range cmd.Commands() {
		explainArgs(below)
	}
}

// meant is the command that was probably meant, or nothing.
func meant(cmd *cobra.Command, typed string) string {
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(typed); len(near) > 0 {
		return "did you mean " + strings.Join(near, " or ") + "? "
	}
	return ""
}

const rootHelp = `Composure keeps Docker Compose stacks the way their compose file says: the file is the desired state, the engine the
observed one. It says what differs and at which line, deploys and exits 0 only when everything really runs, and, when it
is left running, heals what fails, within a budget, before it calls people.

It works on the stack of the compose file in this directory, as docker compose does.`
