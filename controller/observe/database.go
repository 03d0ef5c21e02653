package observe

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"composure/spec"
)

// databaseTimeout bounds the whole look at a database, and each statement of it.
const databaseTimeout = 2 * time.Second

// server is a PostgreSQL to look at, and how to log in.
type server struct {
	service string // that runs it; empty: outside the stack
	dsn     string // never shown
}

// databaseOf finds the PostgreSQL that a container is or uses: itself; what its environment names; what it depends on.
// A server of the stack is asked with its own credentials, which see every session and may use the reserved
// connections; one outside with those of the service that uses it.
func (at place) databaseOf(ctx context.Context, svc *spec.Service) (server, bool) {
	if IsPostgres(svc.Image, at.self.Inspect.Config.Env) {
		return at.ownServer(ctx, at.self), true
	}
	dsn := connectionString(at.self.Inspect.Config.Env)
	if address, err := url.Parse(dsn); err == nil && dsn != "" {
		host := address.Hostname()
		if other := at.seen.stack.Service(host); other != nil && !at.runs(other) {
			return server{host, dsn}, true
		}
		if c, found := at.named(host); found && c.ID != at.self.ID {
			if s := at.seen.stack.Service(c.Service); s != nil && IsPostgres(s.Image, c.Inspect.Config.Env) {
				return at.ownServer(ctx, c), true
			}
			return server{c.Service, dsn}, true
		}
		return server{dsn: dsn}, true
	}
	for _, d := range svc.DependsOn {
		other := at.seen.stack.Service(d.Service)
		if other == nil {
			continue
		}
		if c := Current(other, at.seen.snapshot); c != nil && IsPostgres(other.Image, c.Inspect.Config.Env) {
			return at.ownServer(ctx, *c), true
		}
	}
	return server{}, false
}

// runs says whether a service has a container that runs.
func (at place) runs(svc *spec.Service) bool {
	c := Current(svc, at.seen.snapshot)
	return c != nil && c.Running()
}

// ownServer is a PostgreSQL container with the credentials of its own environment.
func (at place) ownServer(ctx context.Context, c Container) server {
	env := c.Inspect.Config.Env
	first := func(keys ...string) string {
		for _, key := range keys {
			if v := variable(env, key); v != "" {
				return v
			}
		}
		return ""
	}
	user := cmp.Or(first("POSTGRES_USER", "POSTGRESQL_USERNAME"), "postgres")
	password := first("POSTGRES_PASSWORD", "POSTGRESQL_PASSWORD")
	if file := first("POSTGRES_PASSWORD_FILE", "POSTGRESQL_PASSWORD_FILE"); password == "" && file != "" && c.Running() {
		if result, err := at.cfg.Engine.Exec(ctx, c.ID, []string{"cat", file}); err == nil && result.ExitCode == 0 {
			password = strings.TrimSpace(result.Output)
		}
	}
	address := url.URL{
		Scheme: "postgres", User: url.UserPassword(user, password), Host: net.JoinHostPort(c.Name, cmp.Or(variable(env, "PGPORT"), "5432")),
		Path: "/" + cmp.Or(first("POSTGRES_DB", "POSTGRESQL_DATABASE"), user), RawQuery: "sslmode=prefer",
	}
	return server{c.Service, address.String()}
}

// connectionString is the PostgreSQL URL in an environment, by the variables that programs commonly read, or "".
func connectionString(env []string) string {
	for _, v := range slices.Sorted(slices.Values(env)) {
		_, value, _ := strings.Cut(v, "=")
		scheme, rest, isURL := strings.Cut(value, "://")
		scheme, _, _ = strings.Cut(scheme, "+") // postgresql+asyncpg:// of SQLAlchemy
		if isURL && (scheme == "postgres" || scheme == "postgresql") {
			return "postgres://" + rest
		}
	}
	host := cmp.Or(variable(env, "PGHOST"), variable(env, "POSTGRES_HOST"))
	if host == "" {
		return ""
	}
	user := cmp.Or(variable(env, "PGUSER"), variable(env, "POSTGRES_USER"), "postgres")
	address := url.URL{
		Scheme: "postgres", User: url.UserPassword(user, cmp.Or(variable(env, "PGPASSWORD"), variable(env, "POSTGRES_PASSWORD"))),
		Host: net.JoinHostPort(host, cmp.Or(variable(env, "PGPORT"), variable(env, "POSTGRES_PORT"), "5432")),
		Path: "/" + cmp.Or(variable(env, "PGDATABASE"), variable(env, "POSTGRES_DB"), user),
	}
	return address.String()
}

// database asks a server what it says about itself. An error is why it cannot be asked from here: nothing is known then.
func (at place) database(ctx context.Context, s server) (*Database, error) {
	ctx, cancel := context.WithTimeout(ctx, databaseTimeout)
	defer cancel()
	at.probe.From, at.probe.Timeout = "network", databaseTimeout
	d := &Database{Service: s.service}
	if svc := at.seen.stack.Service(s.service); svc != nil && !at.runs(svc) {
		d.Detail = "its container does not run"
		return d, nil
	}
	conn, err := at.login(ctx, s.dsn)
	if err != nil {
		if err := at.refused(ctx, d, err); err != nil {
			return nil, err
		}
		return d, nil
	}
	defer closeSession(ctx, conn)
	d.Reachable, d.Accepting = true, true
	if err := figures(ctx, conn, d); err != nil {
		d.Detail = at.loginRefusal(ctx, err).detail
	}
	return d, nil
}

// refused reads what a refused session says about the server. The error is why nothing is known of it.
func (at place) refused(ctx context.Context, d *Database, err error) error {
	var missing noAddress
	var said *pgconn.PgError
	a := at.loginRefusal(ctx, err)
	switch d.Detail = a.detail; {
	case errors.As(err, &missing):
		return missing
	case errors.As(err, &said):
		d.Reachable, d.Accepting = true, said.Code != codeCannotConnectNow
		d.LoginRefused, d.Full = refusedLogin(said.Code), said.Code == codeTooManyConnections
	case a.state == ProbeUnknown:
		return errors.New(a.detail)
	}
	return nil
}

// sessions counts what pg_stat_activity shows, without the session that asks. An application cannot have the
// connections that are reserved for administrators.
const sessions = `SELECT pg_is_in_recovery(),
	count(*) FILTER (WHERE backend_type = 'client backend'),
	current_setting('max_connections')::int,
	current_setting('superuser_reserved_connections')::int + coalesce(current_setting('reserved_connections', true), '0')::int,
	count(*) FILTER (WHERE state LIKE 'idle in transaction%'),
	coalesce(extract(epoch FROM max(clock_timestamp() - state_change) FILTER (WHERE state LIKE 'idle in transaction%')), 0)::float8,
	count(*) FILTER (WHERE backend_type = 'client backend' AND state = 'active' AND clock_timestamp() - query_start > interval '1 minute'),
	count(*) FILTER (WHERE wait_event_type = 'Lock')
FROM pg_stat_activity WHERE pid <> pg_backend_pid()`

// figures asks for 1, then for figures, in a transaction that cannot write and ends by itself.
func figures(ctx context.Context, conn *pgx.Conn, d *Database) error {
	limit := strconv.FormatInt(databaseTimeout.Milliseconds(), 10)
	for _, statement := range []string{"BEGIN READ ONLY", "SET LOCAL statement_timeout = " + limit, "SET LOCAL lock_timeout = " + limit} {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return err
		}
	}
	var one, reserved int
	if err := conn.QueryRow(ctx, "SELECT 1").Scan(&one); err != nil {
		return err
	}
	d.SelectOne = true
	var longest float64
	if err := conn.QueryRow(ctx, sessions).Scan(&d.InRecovery, &d.Connections, &d.MaxConnections, &reserved,
		&d.IdleInTransaction, &longest, &d.LongRunning, &d.Blocked); err != nil {
		return err
	}
	var err error
	d.LongestIdle = time.Duration(longest * float64(time.Second))
	d.Full = d.Connections >= d.MaxConnections-reserved
	if d.Idle, err = idleSessions(ctx, conn); err != nil {
		return err
	}
	// Only administrators may read it: it is left empty for others. It comes last because a refusal ends the transaction.
	if err := conn.QueryRow(ctx, "SELECT system_identifier::text FROM pg_control_system()").Scan(&d.SystemIdentifier); err != nil {
		return nil
	}
	_, err = conn.Exec(ctx, "COMMIT")
	return err
}
