package observe

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/jackc/pgx/v5"

	"composure/spec"
)

// Sessions that sit idle in a transaction hold connections and locks for nothing. Ending them is the only thing that
// Composure ever does to a database, only where the policy allows it; it stands here because the way to a server, with
// its address and credentials, does.

// maxSessions bounds the list.
const maxSessions = 200

// sitting lists the sessions idle in transaction, without the one that asks.
const sitting = `SELECT pid, state_change, extract(epoch FROM clock_timestamp() - state_change)::float8,
	coalesce(usename, ''), coalesce(application_name, '')
FROM pg_stat_activity WHERE backend_type = 'client backend' AND state LIKE 'idle in transaction%' AND pid <> pg_backend_pid()
ORDER BY state_change, pid LIMIT $1`

func idleSessions(ctx context.Context, conn *pgx.Conn) ([]Session, error) {
	rows, err := conn.Query(ctx, sitting, maxSessions)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (s Session, err error) {
		var since *time.Time // others' details are hidden from who is no administrator
		var seconds *float64
		err = row.Scan(&s.PID, &since, &seconds, &s.User, &s.Program)
		if since != nil && seconds != nil {
			s.Since, s.For = *since, time.Duration(*seconds*float64(time.Second))
		}
		s.User, s.Program = line(s.User, nil), line(s.Program, nil)
		return s, err
	})
}

// endSession looks once more and ends the session in the same statement: it must still be in the very state in which it
// was seen. One that has worked since has another state_change.
const endSession = `SELECT count(*) FILTER (WHERE pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE pid = $1 AND state_change = $2 AND state LIKE 'idle in transaction%' AND backend_type = 'client backend' AND pid <> pg_backend_pid()`

// EndSessions ends those of the sessions that are still idle in the transaction in which they were seen, on the PostgreSQL
// of the stack that a service is or uses, with the server's own credentials, else those of a probe of it. It returns how
// many it ended; an error says why not all that could be. A server outside the stack is left alone.
func (e *Examiner) EndSessions(ctx context.Context, stack *spec.Stack, snapshot *Snapshot, service string, sessions []Session) (ended int, err error) {
	svc := stack.Service(service)
	if svc == nil {
		return 0, fmt.Errorf("no such service: %s", service)
	}
	current := Current(svc, snapshot)
	if current == nil {
		return 0, fmt.Errorf("%s has no container", service)
	}
	ctx, cancel := context.WithTimeout(ctx, otherTimeout)
	defer cancel()
	at := place{cfg: e.cfg, seen: look{stack, snapshot}, self: *current, probe: spec.Probe{From: "network", Timeout: databaseTimeout}}
	server, found := at.databaseOf(ctx, svc)
	if !found || server.service == "" {
		return 0, errors.New("its PostgreSQL is not part of the stack")
	}
	conn, err := at.loginAsAny(ctx, server, svc)
	if err != nil {
		return 0, fmt.Errorf("log in at %s: %s", server.service, at.loginRefusal(ctx, err).detail)
	}
	defer closeSession(ctx, conn)
	var failed []error
	for _, s := range sessions {
		var n int
		if err := conn.QueryRow(ctx, endSession, s.PID, s.Since).Scan(&n); err != nil {
			failed = append(failed, fmt.Errorf("end session %d: %s", s.PID, at.loginRefusal(ctx, err).detail))
		}
		ended += n
	}
	return ended, errors.Join(failed...)
}

// loginAsAny logs in with the server's own credentials, else with those of a probe that asks the same server.
func (at place) loginAsAny(ctx context.Context, s server, svc *spec.Service) (*pgx.Conn, error) {
	conn, err := at.login(ctx, s.dsn)
	if err == nil {
		return conn, nil
	}
	for _, other := range []*spec.Service{at.seen.stack.Service(s.service), svc} {
		if other == nil {
			continue
		}
		for _, probe := range other.Policy.Probes {
			if probe.Postgres == nil || !at.leadsTo(probe.Postgres.DSN, s.service) {
				continue
			}
			if conn, err := at.login(ctx, probe.Postgres.DSN); err == nil {
				return conn, nil
			}
		}
	}
	return nil, err
}

// leadsTo says whether the host of a connection string is a container of a service.
func (at place) leadsTo(dsn, service string) bool {
	address, err := url.Parse(dsn)
	if err != nil {
		return false
	}
	c, found := at.named(address.Hostname())
	return found && c.Service == service
}
