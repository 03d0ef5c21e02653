package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"composure/controller/store"
	"composure/controller/view"
)

func newHistory(a *app) *cobra.Command {
	var format string
	var limit int
	cmd := &cobra.Command{
		Use:   "history [SERVICE]",
		Short: "Show what was applied, what was tried and what people decided, newest first",
		Long: `Show what was applied to the stack, what was tried on it and how it ended, and what was decided (rollbacks, raised
limits, pauses), newest first. A revision that was proven stable is where "composure rollback" can go back to.`,
		Example:           "  composure history\n  composure history api --limit 50",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: a.completeServices,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := output(format, "text", "json"); err != nil {
				return err
			}
			if limit < 1 {
				return fmt.Errorf("--limit: %d is too few; use 1 or more", limit)
			}
			return a.history(cmd.Context(), format, limit, args)
		},
	}
	cmd.Flags().IntVar(&limit, "limit", 20, "how many of each")
	cmd.Flags().StringVarP(&format, "output", "o", "text", "text or json")
	return cmd
}

func (a *app) history(ctx context.Context, format string, limit int, services []string) error {
	s, err := a.openRecord(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	service := ""
	if len(services) == 1 {
		svc, err := serviceOf(s.stack, services[0])
		if err != nil {
			return err
		}
		service = svc.Name
	}
	r, err := s.memory.onRecord(ctx, service, limit)
	if err != nil {
		return err
	}
	h := view.HistoryOf(s.stack.Name, r, service, limit)
	if format == "json" {
		return writeJSON(a.stdout, h)
	}
	return printHistory(a.stdout, h)
}

// onRecord reads what a history shows of the memory, which may not exist yet.
func (m *memory) onRecord(ctx context.Context, service string, limit int) (r view.Record, err error) {
	if m == nil {
		return r, nil
	}
	if r.Revisions, err = m.Revisions(ctx, m.key, 0); err != nil {
		return r, err
	}
	if r.Attempts, err = m.Attempts(ctx, store.AttemptFilter{Stack: m.key, Service: service, Limit: limit}); err != nil {
		return r, err
	}
	r.Overrides, err = m.OverrideHistory(ctx, m.key, 0)
	return r, err
}

func printHistory(w io.Writer, h view.History) error {
	if len(h.Revisions)+len(h.Attempts)+len(h.Decisions) == 0 {
		_, err := fmt.Fprintf(w, "%s: nothing is on record yet\n", h.Stack)
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for i, r := range h.Revisions {
		if i == 0 {
			fmt.Fprintln(t, "REVISION\tAPPLIED\tBY\tSERVICE\tCONFIG\tIMAGE\tSTABLE")
		}
		for n, s := range r.Services {
			head := "\t\t"
			if n == 0 {
				head = r.ID + "\t" + shownTime(r.AppliedAt) + "\t" + r.By()
			}
			fmt.Fprintf(t, "%s\t%s\t%.12s\t%.12s\t%s\n", head, s.Service, s.ConfigHash, strings.TrimPrefix(s.ImageID, "sha256:"), shownWhen(s.StableAt))
		}
	}
	for i, at := range h.Attempts {
		if i == 0 {
			fmt.Fprintln(t, "\nATTEMPT\tAT\tKIND\tOUTCOME\tVERDICT\tBUDGET\tCAUSE")
		}
		cause := at.Cause
		if at.Error != "" {
			cause += ": " + at.Error
		}
		counts := map[bool]string{true: "counts", false: ""}[at.Counts]
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", at.Subject, shownTime(at.StartedAt), at.Kind, at.Outcome, at.Verdict, counts, printable(cause))
	}
	for i, d := range h.Decisions {
		if i == 0 {
			fmt.Fprintln(t, "\nDECISION\tAT\tKIND\tBY\tUNTIL\tREASON")
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", subject(d.Service), shownTime(d.Created), d.What(), d.Owner, untilDecided(d), printable(d.Reason))
	}
	return t.Flush()
}

// untilDecided is when a decision ends, or ended.
func untilDecided(d view.Decision) string {
	switch {
	case d.Ended != nil && d.EndedBy != "":
		return "ended " + shownTime(*d.Ended) + " by " + d.EndedBy
	case d.Until != nil:
		return shownTime(*d.Until)
	case d.Kind == store.Pause:
		return "resumed"
	}
	return "released"
}

func shownWhen(t *time.Time) string {
	if t == nil {
		return ""
	}
	return shownTime(*t)
}
