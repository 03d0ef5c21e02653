package main

import (
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// completeServices offers the services of the compose file that are not on the command line yet.
func (a *app) completeServices(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
	quiet := *a
	quiet.stderr = io.Discard // warnings about the file are for another time
	stack, err := quiet.load(cmd.Context())
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var names []string
	for _, svc := range stack.Services {
		if strings.HasPrefix(svc.Name, begun) && !slices.Contains(args, svc.Name) {
			names = append(names, svc.Name)
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completeFlags offers, for the flags of a command and those below it, the values they may have.
func completeFlags(cmd *cobra.Command) {
	choices := map[string][]string{
		"log-level": {"debug", "info", "warn", "error"}, "log-format": {"auto", "text", "json"}, "level": {"error", "warning", "notice"},
	}
	if o := cmd.Flags().Lookup("output"); o != nil { // its help is the list of formats
		choices["output"] = strings.Split(strings.ReplaceAll(o.Usage, " or ", ", "), ", ")
	}
	for flag, words := range choices {
		if cmd.Flags().Lookup(flag) != nil || cmd.PersistentFlags().Lookup(flag) != nil {
			offer(cmd, flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
		}
	}
	for _, below := range cmd.Commands() {
		completeFlags(below)
	}
}

// offer completes the values of a flag that the command has.
func offer(cmd *cobra.Command, flag string, values cobra.CompletionFunc) {
	if err := cmd.RegisterFlagCompletionFunc(flag, values); err != nil {
		panic(err) // a flag that is not there: a mistake in this program
	}
}

// completeRevisions offers the revisions that were applied, newest first.
func (a *app) completeRevisions(cmd *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
	quiet := *a
	quiet.stderr = io.Discard
	s, err := quiet.open(cmd.Context())
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	defer s.close()
	if s.memory == nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	revisions, err := s.memory.Revisions(cmd.Context(), s.memory.key, 20)
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var ids []string
	for _, r := range revisions {
		if strings.HasPrefix(r.ID, begun) {
			ids = append(ids, r.ID+"\t"+shownTime(r.AppliedAt)+", "+r.Origin)
		}
	}
	return ids, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
}

// shownTime is a time as every command prints it.
func shownTime(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.UTC().Format("2006-01-02 15:04:05 UTC")
}
