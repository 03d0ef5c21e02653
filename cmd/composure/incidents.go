package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"composure/controller/incident"
	"composure/controller/notify"
	"composure/controller/store"
	"composure/controller/view"
)

func newIncidents(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "incidents",
		Short: "List, show and take over incidents",
		Long: `List, show and take over incidents. An id may be shortened to its end, such as 031502.

A remediator that runs takes up an acknowledgement, a confirmation or a resolution with its next look.`,
		Example: "  composure incidents list\n  composure incidents report 031502 > incident.md\n  composure incidents ack 031502",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newIncidentsList(a), newIncidentsShow(a), newIncidentsReport(a))
	for _, v := range []peoplesChange{
		{"ack", "Take an incident over: nobody is reminded of it again", "acknowledged", incident.Ack},
		{"confirm", "Confirm that customers saw the incident, which calls the emergency tier", "customer-facing impact confirmed", incident.Confirm},
		{"resolve", "Close an incident by hand; if its cause is still there, another one is opened", "resolved", incident.Resolve},
	} {
		cmd.AddCommand(newIncidentsChange(a, v))
	}
	return cmd
}

func newIncidentsList(a *app) *cobra.Command {
	var format string
	var limit int
	cmd := &cobra.Command{
		Use: "list [SERVICE]", Short: "List incidents, the open ones first, then newest first", Args: cobra.MaximumNArgs(1),
		Example: "  composure incidents list\n  composure incidents list api --limit 5 -o json", ValidArgsFunction: a.completeServices,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := output(format, "text", "json"); err != nil {
				return err
			}
			if limit < 1 {
				return fmt.Errorf("--limit: %d is too few; use 1 or more", limit)
			}
			return a.withIncidents(cmd.Context(), func(s *session, all []incident.Incident) error {
				if len(args) == 1 {
					all = slices.DeleteFunc(all, func(i incident.Incident) bool { return i.Service != args[0] })
				}
				if len(args) == 1 && len(all) == 0 { // one that the file no longer has may have had incidents
					if _, err := serviceOf(s.stack, args[0]); err != nil {
						return err
					}
				}
				shown := view.IncidentsOf(s.stack.Name, all, limit)
				if format == "json" {
					return writeJSON(a.stdout, shown)
				}
				return printIncidents(a.stdout, shown)
			})
		},
	}
	cmd.Flags().IntVar(&limit, "limit", 20, "how many")
	cmd.Flags().StringVarP(&format, "output", "o", "text", "text or json")
	return cmd
}

func newIncidentsShow(a *app) *cobra.Command {
	var format string
	var evidence bool
	cmd := &cobra.Command{
		Use: "show ID", Short: "Show one incident: its timeline, the decision tree as walked, the evidence", Args: cobra.ExactArgs(1),
		Example: "  composure incidents show 031502\n  composure incidents show 031502 --evidence", ValidArgsFunction: a.completeIncidents,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := output(format, "text", "json"); err != nil {
				return err
			}
			return a.withIncident(cmd.Context(), args[0], func(s *session, i incident.Incident) error {
				kept, err := s.memory.EvidenceOf(cmd.Context(), i.ID)
				if err != nil {
					return err
				}
				pieces, err := s.memory.pieces(cmd.Context(), kept, evidence)
				if err != nil {
					return err
				}
				if format == "json" {
					return writeJSON(a.stdout, view.IncidentOf(i, pieces))
				}
				return printIncident(a.stdout, i, pieces)
			})
		},
	}
	cmd.Flags().BoolVar(&evidence, "evidence", false, "print the evidence too")
	cmd.Flags().StringVarP(&format, "output", "o", "text", "text or json")
	return cmd
}

func newIncidentsReport(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "report ID", Short: "Print the incident report as Markdown", Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeIncidents,
		Long:    "Print the incident report as Markdown: timeline, root cause, impact, actions, prevention, follow-ups. The remediator writes\nit by itself to incidents/<id>.md in the state directory when an incident is mitigated, escalated or resolved.",
		Example: "  composure incidents report 031502 > incident.md",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withIncident(cmd.Context(), args[0], func(s *session, i incident.Incident) error {
				kept, err := s.memory.EvidenceOf(cmd.Context(), i.ID)
				if err != nil {
					return err
				}
				_, err = io.WriteString(a.stdout, reportOf(i, s.stack, kept, time.Now()))
				return err
			})
		},
	}
}

// peoplesChange is something that people do to an incident.
type peoplesChange struct {
	verb, short, done string
	apply             func(i incident.Incident, by string, at time.Time) incident.Change
}

func newIncidentsChange(a *app, v peoplesChange) *cobra.Command {
	return &cobra.Command{
		Use: v.verb + " ID", Short: v.short, Args: cobra.ExactArgs(1), Example: "  composure incidents " + v.verb + " 031502", ValidArgsFunction: a.completeIncidents,
		RunE: func(cmd *cobra.Command, args []string) error {
			for tries := 1; ; tries++ {
				err := a.withIncident(cmd.Context(), args[0], func(s *session, i incident.Incident) error { return a.change(cmd.Context(), s, i, v) })
				if !errors.Is(err, store.ErrChanged) || tries == mostTries {
					return err
				}
			}
		},
	}
}

// mostTries bounds how often a change is made anew because the remediator has written to the incident meanwhile.
const mostTries = 5

// change makes a change that people asked for, and says so.
func (a *app) change(ctx context.Context, s *session, i incident.Incident, v peoplesChange) error {
	change := v.apply(i, a.operator(), time.Now())
	if len(change.Changed) == 0 {
		_, err := fmt.Fprintf(a.stdout, "%s: it is %s, nothing changes\n", i.ID, i.State)
		return err
	}
	if err := a.keepChange(ctx, s, change); err != nil {
		return err
	}
	_, err := fmt.Fprintf(a.stdout, "%s: %s by %s\n", i.ID, v.done, a.operator())
	return err
}

// keepChange records what people did, and what others are to be told of it.
func (a *app) keepChange(ctx context.Context, s *session, change incident.Change) error {
	channels, err := notify.Channels(s.stack.Policy.Notify)
	if err != nil {
		return err
	}
	for _, i := range change.Changed {
		row, err := incidentRow(s.memory.key, i)
		if err != nil {
			return err
		}
		if err := s.memory.SaveIncident(ctx, row); err != nil {
			return err
		}
	}
	for _, n := range change.Announce {
		payload, err := notify.Payload(n)
		if err != nil {
			return fmt.Errorf("encode the announcement: %w", err)
		}
		if _, err := s.memory.Enqueue(ctx, store.Notification{
			ID: n.Key, Stack: s.memory.key, Incident: n.Incident, Tier: string(n.Tier), Kind: n.Kind, Payload: payload, Created: n.At, Channels: notify.Names(channels, n.Tier),
		}); err != nil {
			return err
		}
	}
	return a.rewriteReports(ctx, s, change.Changed)
}

// rewriteReports keeps the documents in the incident directory up to date.
func (a *app) rewriteReports(ctx context.Context, s *session, changed []incident.Incident) error {
	dir, err := a.state()
	if err != nil {
		return err
	}
	for _, i := range changed {
		if !worthReport(i) {
			continue
		}
		kept, err := s.memory.EvidenceOf(ctx, i.ID)
		if err != nil {
			return err
		}
		if _, err := writeReport(dir, i.ID, reportOf(i, s.stack, kept, time.Now())); err != nil {
			return err
		}
	}
	return nil
}

// withIncidents reads the incidents of the stack: the open ones first, then newest first.
func (a *app) withIncidents(ctx context.Context, do func(*session, []incident.Incident) error) error {
	s, err := a.openRecord(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	all, err := s.memory.incidents(ctx)
	if err != nil {
		return err
	}
	return do(s, all)
}

// incidents are those of the stack: the open ones first, then newest first. Never nil.
func (m *memory) incidents(ctx context.Context) ([]incident.Incident, error) {
	all := []incident.Incident{}
	if m == nil {
		return all, nil
	}
	rows, err := m.Incidents(ctx, store.IncidentFilter{Stack: m.key})
	if err != nil {
		return nil, err
	}
	for _, row := range slices.Backward(rows) {
		i, err := asIncident(row)
		if err != nil {
			return nil, err
		}
		all = append(all, i)
	}
	slices.SortStableFunc(all, func(x, y incident.Incident) int { return over(x) - over(y) })
	return all, nil
}

// over is 1 for an incident that is resolved, else 0.
func over(i incident.Incident) int {
	if i.State == incident.Resolved {
		return 1
	}
	return 0
}

// withIncident finds the one incident that an id, or the end of one, names.
func (a *app) withIncident(ctx context.Context, id string, do func(*session, incident.Incident) error) error {
	return a.withIncidents(ctx, func(s *session, all []incident.Incident) error {
		found, err := named(all, id)
		if err != nil {
			return err
		}
		return do(s, found)
	})
}

// errNoIncident says that no incident has such an id.
var errNoIncident = errors.New("no such incident")

// named is the one incident that an id, or the end of one, names.
func named(all []incident.Incident, id string) (incident.Incident, error) {
	var found []incident.Incident
	for _, i := range all {
		if i.ID == id {
			return i, nil
		}
		if id != "" && strings.HasSuffix(i.ID, id) {
			found = append(found, i)
		}
	}
	switch len(found) {
	case 0:
		return incident.Incident{}, fmt.Errorf("%w: %s; `composure incidents list` shows them", errNoIncident, id)
	case 1:
		return found[0], nil
	}
	return incident.Incident{}, fmt.Errorf("%d incidents end in %s; `composure incidents list` shows them", len(found), id)
}

// completeIncidents offers the ids of incidents.
func (a *app) completeIncidents(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
	var ids []string
	quiet := *a
	quiet.stderr = io.Discard
	err := quiet.withIncidents(cmd.Context(), func(_ *session, all []incident.Incident) error {
		for _, i := range all {
			if len(args) == 0 && strings.HasPrefix(i.ID, begun) {
				ids = append(ids, i.ID+"\t"+string(i.State)+" "+i.Service+" "+i.Cause)
			}
		}
		return nil
	})
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return ids, cobra.ShellCompDirectiveNoFileComp
}

func printIncidents(w io.Writer, shown view.Incidents) error {
	if len(shown.Incidents) == 0 {
		_, err := fmt.Fprintf(w, "%s: no incidents\n", shown.Stack)
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "INCIDENT\tSTATE\tSEVERITY\tSERVICE\tCAUSE\tDETECTED\tLASTED\tSUMMARY")
	for _, i := range shown.Incidents {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", i.ID, i.State, i.Severity, subject(i.Service), i.Cause, shownTime(i.Detected), lasted(i), printable(i.Summary))
	}
	return t.Flush()
}

// lasted is how long users were without the service, until it was well again.
func lasted(i incident.Incident) string {
	text := view.Lasted(i, time.Now()).Round(time.Second).String()
	if i.MitigatedAt.IsZero() && i.State != incident.Resolved {
		text += " so far"
	}
	return text
}

// pieces are the evidence of an incident, with the data when they are asked for.
func (m *memory) pieces(ctx context.Context, kept []store.Evidence, data bool) ([]view.Piece, error) {
	shown := []view.Piece{}
	for _, e := range kept {
		piece := view.PieceOf(e)
		if data {
			full, err := m.Evidence(ctx, e.ID)
			if err != nil && !errors.Is(err, store.ErrNotFound) { // it may just have been pruned
				return nil, err
			}
			piece.Data = string(full.Data)
		}
		shown = append(shown, piece)
	}
	return shown, nil
}

func printIncident(w io.Writer, i incident.Incident, evidence []view.Piece) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s, %s, severity %s\n%s: %s\n", i.ID, subject(i.Service), i.State, i.Severity, i.Cause, printable(i.Summary))
	fmt.Fprintf(&b, "began %s, lasted %s\n", shownTime(i.Began), lasted(i))
	if i.AckBy != "" {
		fmt.Fprintf(&b, "taken over by %s\n", printable(i.AckBy))
	}
	section(&b, "Decision tree", i.Steps)
	section(&b, "Proof", i.Proof)
	var lines []string
	for _, e := range i.Timeline {
		lines = append(lines, fmt.Sprintf("%s  %-12s %s", e.At.UTC().Format("2006-01-02 15:04:05"), e.Kind, e.Text))
	}
	section(&b, "Timeline (UTC)", lines)
	lines = nil
	for _, e := range evidence {
		lines = append(lines, fmt.Sprintf("%s  %s  %d bytes  %s", shownTime(e.At), e.Kind, e.Size, e.ID))
		if e.Data != "" {
			lines = append(lines, "  "+e.Data)
		}
	}
	section(&b, "Evidence", lines)
	_, err := io.WriteString(w, b.String())
	return err
}

// section is a titled list; nothing when the list is empty.
func section(b *strings.Builder, title string, lines []string) {
	if len(lines) == 0 {
		return
	}
	fmt.Fprintf(b, "\n%s:\n", title)
	for _, line := range lines {
		fmt.Fprintf(b, "  %s\n", printable(line))
	}
}
