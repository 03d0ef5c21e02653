package diagnose

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"composure/controller/observe"
	"composure/spec"
)

// askDatabase is step 5 of the runbook.
func askDatabase(p *patient) Step {
	if !p.usesPostgres() {
		return unasked("it uses no PostgreSQL that is known")
	}
	checked := "connecting to " + p.databaseName()
	if facts := append(p.databaseDown(), p.databaseFull()...); len(facts) > 0 {
		return Step{Answer: No, Checked: checked, Seen: facts[0], Details: facts[1:]}
	}
	d := p.server()
	if d == nil {
		return unknown(checked, p.without(observe.NeedDatabase))
	}
	s := Step{Checked: checked, Answer: Unclear, Seen: databaseLine(d)}
	switch {
	case d.Blocked > 0 && len(p.failingProbes()) > 0:
		s.Answer = No
	case d.SelectOne:
		s.Answer = Yes
	}
	if figures := figuresLine(d); d.SelectOne || d.Connections > 0 {
		s.Details = append(s.Details, figures)
	}
	if d.Detail != "" {
		s.Details = append(s.Details, quoted(d.Detail))
	}
	return s
}

func databaseLine(d *observe.Database) string {
	switch {
	case !d.Reachable:
		return "not reachable"
	case !d.Accepting && (d.InRecovery || notYet.MatchString(clip(d.Detail))):
		return "reachable, starting or in recovery, not accepting connections yet"
	case !d.Accepting:
		return "reachable, not accepting connections"
	case d.SelectOne:
		return "accepting connections, SELECT 1 answered"
	case d.LoginRefused:
		return "accepting connections, login refused: the password may have been changed, so this says nothing"
	}
	return "accepting connections, SELECT 1 not tried"
}

func figuresLine(d *observe.Database) string {
	if d.MaxConnections == 0 {
		return "how many are in use is not known"
	}
	parts := []string{fmt.Sprintf("%d of %d connections", d.Connections, d.MaxConnections)}
	if d.IdleInTransaction > 0 {
		parts = append(parts, fmt.Sprintf("%d idle in transaction, the longest for %s", d.IdleInTransaction, short(d.LongestIdle)))
	}
	parts = append(parts, fmt.Sprintf("%d queries run for over a minute", d.LongRunning), fmt.Sprintf("%d sessions blocked", d.Blocked))
	return strings.Join(parts, ", ")
}

func askAccepting(p *patient) Step {
	d := p.server()
	if d == nil {
		return unknown("handshake", p.without(observe.NeedDatabase))
	}
	return Step{Answer: answered(d.Reachable && d.Accepting), Checked: "handshake", Seen: databaseLine(d)}
}

func askConnections(p *patient) Step {
	const checked = "pg_stat_activity against max_connections"
	if facts := p.databaseFull(); len(facts) > 0 {
		return Step{Answer: No, Checked: checked, Seen: facts[0], Details: facts[1:]}
	}
	d := p.server()
	switch {
	case d == nil:
		return unknown(checked, p.without(observe.NeedDatabase))
	case d.MaxConnections == 0:
		return unknown(checked, "nobody could log in to ask")
	}
	return Step{Answer: Yes, Checked: checked, Seen: figuresLine(d)}
}

func askSessions(p *patient) Step {
	d := p.server()
	switch {
	case d == nil:
		return unknown("pg_stat_activity", p.without(observe.NeedDatabase))
	case !d.SelectOne:
		return unknown("pg_stat_activity", "nobody could log in to ask")
	}
	return Step{Answer: answered(d.Blocked == 0 && d.IdleInTransaction == 0), Checked: "pg_stat_activity", Seen: figuresLine(d)}
}

// usesPostgres says whether the service is or uses a PostgreSQL server, in the stack or outside.
func (p *patient) usesPostgres() bool {
	if p.database != "" || p.server() != nil {
		return true
	}
	if slices.ContainsFunc(p.svc.Policy.Probes, func(probe spec.Probe) bool { return probe.Postgres != nil }) {
		return true
	}
	return slices.ContainsFunc(p.environment(), func(variable string) bool {
		_, value, _ := strings.Cut(variable, "=")
		return strings.HasPrefix(value, "postgres://") || strings.HasPrefix(value, "postgresql")
	})
}

func (p *patient) databaseName() string {
	if p.database == "" {
		return "the PostgreSQL server outside the stack"
	}
	return "PostgreSQL of " + p.database
}

// server is what the PostgreSQL that the service is or uses said; nil: unknown.
func (p *patient) server() *observe.Database {
	if p.evidence == nil {
		return nil
	}
	return p.evidence.Database
}

// databaseDown lists the facts that show that the database does not take connections.
func (p *patient) databaseDown() []string {
	var facts []string
	for _, r := range p.failingProbes() {
		if (r.Kind == "postgres" || r.Kind == "handshake") && !tooMany.MatchString(clip(r.Detail)) {
			facts = append(facts, fmt.Sprintf("the probe %s fails: %s", r.Name, said(r)))
		}
	}
	if d := p.server(); d != nil && (!d.Reachable || !d.Accepting) {
		fact := fmt.Sprintf("%s: %s", p.databaseName(), databaseLine(d))
		if d.Detail != "" {
			fact += ": " + quoted(d.Detail)
		}
		facts = append(facts, fact)
	}
	return facts
}

// nearlyAll is the share of connections in use that counts as all: some are kept for administrators.
const nearlyAll = 0.9

// tooMany is how PostgreSQL refuses a client when all connections are taken.
var tooMany = regexp.MustCompile(`too many (clients|connections)|remaining connection slots`)

// databaseFull lists the facts that show that the server has no connection left for an application.
func (p *patient) databaseFull() []string {
	var facts []string
	if d := p.server(); d != nil && (d.Full || (d.MaxConnections > 0 && float64(d.Connections) >= nearlyAll*float64(d.MaxConnections))) {
		facts = append(facts, fmt.Sprintf("%s has no connection left for an application: %s", p.databaseName(), figuresLine(d)))
	}
	for _, r := range p.failingProbes() {
		if (r.Kind == "postgres" || r.Kind == "handshake") && tooMany.MatchString(clip(r.Detail)) {
			facts = append(facts, fmt.Sprintf("the probe %s is refused: %s", r.Name, said(r)))
		}
	}
	return facts
}

// databaseWell says whether the database is known to answer and to have connections left.
func (p *patient) databaseWell() bool {
	d := p.server()
	return d != nil && d.Reachable && d.Accepting && len(p.databaseFull()) == 0
}
