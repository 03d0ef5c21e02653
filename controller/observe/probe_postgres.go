package observe

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"composure/spec"
)

// handshakeProbe is what a PostgreSQL gets by zero configuration.
var handshakeProbe = spec.Probe{From: "network", Interval: 10 * time.Second, Timeout: 5 * time.Second, Failures: 3, Successes: 1}

// Error codes of PostgreSQL that say how the server is, whatever its language.
const (
	codeCannotConnectNow   = "57P03" // starting up, shutting down, in recovery
	codeTooManyConnections = "53300"
	codeInvalidPassword    = "28P01"
	codeInvalidLogin       = "28000"
	codeNoDatabase         = "3D000"
	codeDenied             = "42501"
)

var (
	postgresImage = regexp.MustCompile(`(?i)(postgres|postgis|pgvector|timescale)`)
	postgresTool  = regexp.MustCompile(`(?i)(exporter|pgadmin|pgbouncer|pgpool|admin|backup|client|proxy|commander|insight|rest|operator)`)
)

// IsPostgres says whether a container runs a PostgreSQL server: its image's name says so, or its environment names a
// data directory. Credentials in the environment say nothing, clients have them too.
func IsPostgres(image string, env []string) bool {
	name, _, _ := strings.Cut(path.Base(image), "@")
	name, _, _ = strings.Cut(name, ":")
	if postgresTool.MatchString(name) {
		return false
	}
	return postgresImage.MatchString(name) || variable(env, "PGDATA") != ""
}

// variable is the value of a variable of a container's environment.
func variable(env []string, key string) string {
	for _, v := range env {
		if value, found := strings.CutPrefix(v, key+"="); found {
			return value
		}
	}
	return ""
}

// handshake asks a PostgreSQL server for a session and goes before any login, as pg_isready does: the server is
// accepting, rejecting (it starts, stops or is full), or does not answer. It names the container's own user, so that
// the server's log stays clean.
func (at place) handshake(ctx context.Context) answer {
	env := at.self.Inspect.Config.Env
	own, err := at.address(at.self)
	if err != nil {
		return at.isReady(ctx, err)
	}
	address := net.JoinHostPort(own, cmp.Or(variable(env, "PGPORT"), "5432"))
	conn, err := at.cfg.Dial(ctx, "tcp", address)
	if err != nil {
		return at.refusal(ctx, address, err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	user := cmp.Or(variable(env, "POSTGRES_USER"), "postgres")
	a, err := greet(conn, user, cmp.Or(variable(env, "POSTGRES_DB"), user))
	if err != nil {
		return at.refusal(ctx, address, err)
	}
	a.detail = address + " " + a.detail
	return a
}

// maxGreeting bounds a message of the handshake, in bytes.
const maxGreeting = 64 << 10

// greet sends the startup message and reads the first answer.
func greet(conn net.Conn, user, database string) (answer, error) {
	server := pgproto3.NewFrontend(conn, conn)
	server.SetMaxBodyLen(maxGreeting)
	server.Send(&pgproto3.StartupMessage{ProtocolVersion: pgproto3.ProtocolVersion30, Parameters: map[string]string{
		"user": user, "database": database, "application_name": "composure",
	}})
	if err := server.Flush(); err != nil {
		return answer{}, err
	}
	message, err := server.Receive()
	if err != nil {
		return answer{}, err
	}
	refused, isError := message.(*pgproto3.ErrorResponse)
	switch {
	case !isError:
		server.Send(&pgproto3.Terminate{})
		_ = server.Flush() // politeness: the session is over either way
		return okay("accepts connections"), nil
	case refused.Code == codeCannotConnectNow || refused.Code == codeTooManyConnections:
		return failing("rejects connections: %s (%s)", refused.Message, refused.Code), nil
	}
	return okay("accepts connections (and answered %s)", refused.Code), nil
}

// isReady asks with the server's own tool, inside its container, where this host has no way to its network.
func (at place) isReady(ctx context.Context, why error) answer {
	result, a := at.command(ctx, []string{"pg_isready", "-t", strconv.Itoa(max(int(at.probe.Timeout.Seconds())-1, 1))})
	if a != nil && a.state == ProbeUnknown {
		return unknown("%s, and %s", reason(why), a.detail)
	}
	if a != nil {
		return *a
	}
	switch result.ExitCode {
	case 0:
		return okay("pg_isready: %s", lastLine(result.Output))
	case 1, 2:
		return failing("pg_isready: %s", lastLine(result.Output))
	}
	return unknown("pg_isready: %s", lastLine(result.Output))
}

// postgres logs in and asks for 1.
func (at place) postgres(ctx context.Context, dsn string) answer {
	if dsn == "" {
		return at.handshake(ctx)
	}
	conn, err := at.login(ctx, dsn)
	if err != nil {
		return at.loginRefusal(ctx, err)
	}
	defer closeSession(ctx, conn)
	var one int
	if err := conn.QueryRow(ctx, "SELECT 1").Scan(&one); err != nil {
		return at.loginRefusal(ctx, err)
	}
	return okay("SELECT 1 answered")
}

// login opens a session; hosts are those of the stack. It sends no settings, which a connection pooler would refuse. No
// error contains the connection string.
func (at place) login(ctx context.Context, dsn string) (*pgx.Conn, error) {
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, noAddress("the connection string cannot be read")
	}
	config.DialFunc = pgconn.DialFunc(at.dial)
	config.LookupFunc = func(_ context.Context, host string) ([]string, error) { return []string{host}, nil }
	config.DefaultQueryExecMode = pgx.QueryExecModeExec
	config.RuntimeParams = map[string]string{"application_name": "composure"}
	return pgx.ConnectConfig(ctx, config)
}

// closeSession ends a session also when its time is over.
func closeSession(ctx context.Context, conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), eager)
	defer cancel()
	_ = conn.Close(ctx)
}

// loginRefusal classifies an error of a session.
func (at place) loginRefusal(ctx context.Context, err error) answer {
	var said *pgconn.PgError
	if !errors.As(err, &said) {
		return at.refusal(ctx, "PostgreSQL", innermost(err))
	}
	text := fmt.Sprintf("PostgreSQL: %s (%s)", said.Message, said.Code)
	if refusedLogin(said.Code) {
		return unknown("%s", text)
	}
	return failing("%s", text)
}

// refusedLogin says whether a code is about who asks: a rotated password is no failure of the server.
func refusedLogin(code string) bool {
	return code == codeInvalidPassword || code == codeInvalidLogin || code == codeNoDatabase || code == codeDenied
}

// innermost leaves out what pgx says around a network error: the address and the user.
func innermost(err error) error {
	var op *net.OpError
	var missing noAddress
	var dns *net.DNSError
	switch {
	case errors.As(err, &missing):
		return missing
	case errors.As(err, &dns):
		return dns
	case errors.As(err, &op):
		return op
	case errors.Is(err, context.DeadlineExceeded):
		return context.DeadlineExceeded
	}
	return errors.New("the session could not be opened")
}
