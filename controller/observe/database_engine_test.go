package observe_test

import (
	"context"
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"composure/controller/observe"
	"composure/spec"
)

// cluster is a PostgreSQL of a stage and a service that uses it.
type cluster struct {
	*stage
	id       string
	examiner *observe.Examiner
}

func startCluster(t *testing.T) *cluster {
	s := onEngine(t)
	id := s.service("db", postgres, keepsData(t, "POSTGRES_USER=app", "POSTGRES_PASSWORD=hunter22", "POSTGRES_DB=shop"),
		"postgres", "-c", "max_connections=8", "-c", "superuser_reserved_connections=3", "-c", "fsync=off", "-c", "max_wal_senders=0")
	s.service("api", busybox, func(c *spec.Container) {
		c.Config.Env = []string{"DATABASE_URL=postgresql+asyncpg://app:old-secret@db:5432/shop?pool=3"}
	}, "sleep", "1000")
	s.service("offline", busybox, func(c *spec.Container) {
		c.Config.Env = []string{"DATABASE_URL=postgres://app:old-secret@nowhere.test/shop"}
	}, "sleep", "1000")
	c := &cluster{s, id, observe.NewExaminer(observe.ExaminerConfig{Engine: s.Engine})}
	eventually(t, "PostgreSQL accepts connections", func() bool { return s.once("db").State == observe.ProbeOK })
	return c
}

// psql runs statements inside the container, where no password is asked for.
func (c *cluster) psql(statements ...string) {
	c.t.Helper()
	for _, statement := range statements {
		result, err := c.Exec(c.t.Context(), c.id, []string{"psql", "-U", "app", "-d", "shop", "-v", "ON_ERROR_STOP=1", "-c", statement})
		if err != nil || result.ExitCode != 0 {
			c.t.Fatalf("%s: %v %s", statement, err, result.Output)
		}
	}
}

// worksUntil is at work until another session takes the advisory lock 7.
const worksUntil = `DO $$ BEGIN
	WHILE NOT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = 7) LOOP PERFORM pg_sleep(0.02); END LOOP;
END $$`

// connect opens a session as a user, from the host. Where the server is full it may still be ending a session that is over.
func (c *cluster) connect(user string) *pgx.Conn {
	c.t.Helper()
	inspect, err := c.Container(c.t.Context(), c.id)
	if err != nil {
		c.t.Fatal(err)
	}
	address := inspect.NetworkSettings.Networks[c.stack.Name+"_default"].IPAddress
	var conn *pgx.Conn
	eventually(c.t, "there is room for a session", func() bool {
		conn, err = pgx.Connect(c.t.Context(), "postgres://"+user+":hunter22@"+address+"/shop?sslmode=disable")
		if full := (*pgconn.PgError)(nil); errors.As(err, &full) && full.Code == "53300" {
			return false
		}
		return true
	})
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// database is what the evidence of a service says about its PostgreSQL.
func (c *cluster) database(service string) (*observe.Database, []observe.Gap) {
	c.t.Helper()
	found := c.examiner.Examine(c.t.Context(), c.stack, c.look(), service, []observe.Need{observe.NeedDatabase})
	if len(found) != 1 {
		c.t.Fatalf("%d evidences of %s", len(found), service)
	}
	return found[0].Database, found[0].Gaps
}

// says compares what the database said, but for what differs from run to run. A session that is over, such as that of the look before,
// counts until the server has ended it; and on a busy machine a look may not be over in the two seconds that it has.
func (c *cluster) says(service string, want observe.Database) {
	c.t.Helper()
	var got *observe.Database
	var gaps []observe.Gap
	eventually(c.t, "the sessions that are over have been ended", func() bool {
		got, gaps = c.database(service)
		late := got != nil && want.SelectOne && strings.Contains(got.Detail, "no answer within")
		return got == nil || got.Connections <= want.Connections && !late
	})
	want.Service = "db"
	ignored := cmpopts.IgnoreFields(observe.Database{}, "SystemIdentifier", "LongestIdle", "Idle", "Detail")
	if diff := cmp.Diff(&want, got, ignored); diff != "" {
		c.t.Errorf("database of %s (-want +got):\n%s\n%+v %v", service, diff, got, gaps)
	}
}

func TestPostgres(t *testing.T) {
	c := startCluster(t)
	c.psql("CREATE ROLE plain LOGIN PASSWORD 'hunter22'", "CREATE TABLE rows (n int)", "INSERT INTO rows VALUES (1), (2), (3)", "GRANT ALL ON rows TO plain")
	well := observe.Database{Reachable: true, Accepting: true, SelectOne: true, MaxConnections: 8}

	alone := func(t *testing.T) {
		t.Helper()
		eventually(t, "all sessions are gone", func() bool { d, _ := c.database("db"); return d.SelectOne && d.Connections == 0 })
	}
	t.Run("well", func(t *testing.T) {
		c.says("db", well)
		c.says("api", well)
		if d, _ := c.database("db"); d.SystemIdentifier == "" {
			t.Error("no system identifier")
		}
		check(t, c.probe("api", spec.Probe{From: "network", Postgres: &spec.PostgresProbe{DSN: "postgres://app:hunter22@db/shop"}}), observe.ProbeOK, "SELECT 1")
	})
	t.Run("outside and not known", func(t *testing.T) {
		if d, gaps := c.database("offline"); d != nil || len(gaps) != 1 {
			t.Errorf("got %+v and %v, want nothing and one gap", d, gaps)
		}
	})
	t.Run("wrong password", func(t *testing.T) {
		c.psql("ALTER ROLE app PASSWORD 'rotated'")
		defer c.psql("ALTER ROLE app PASSWORD 'hunter22'")
		c.says("db", observe.Database{Reachable: true, Accepting: true, LoginRefused: true})
		check(t, c.probe("api", spec.Probe{From: "network", Postgres: &spec.PostgresProbe{DSN: "postgres://app:hunter22@db/shop"}}), observe.ProbeUnknown, "28P01")
		check(t, c.once("db"), observe.ProbeOK, "accepts connections")
	})
	t.Run("blocked and idle in transaction", func(t *testing.T) {
		holder, waiter := c.connect("plain"), c.connect("plain")
		for _, statement := range []string{"BEGIN", "LOCK TABLE rows"} {
			if _, err := holder.Exec(t.Context(), statement); err != nil {
				t.Fatal(err)
			}
		}
		done := make(chan error, 1)
		go func() {
			_, err := waiter.Exec(context.WithoutCancel(t.Context()), "SELECT count(*) FROM rows")
			done <- err
		}()
		eventually(t, "a session is blocked", func() bool { d, _ := c.database("db"); return d.Blocked == 1 })
		want := well
		want.Connections, want.IdleInTransaction, want.Blocked = 2, 1, 1
		c.says("api", want)
		if d, _ := c.database("db"); d.LongestIdle <= 0 {
			t.Errorf("idle in transaction for %s", d.LongestIdle)
		}
		_ = holder.Close(t.Context())
		if err := <-done; err != nil {
			t.Error(err)
		}
		_ = waiter.Close(t.Context())
	})
	t.Run("sessions idle in transaction are ended", func(t *testing.T) {
		sits, works, waits, active := c.connect("plain"), c.connect("plain"), c.connect("plain"), c.connect("plain")
		run := func(conn *pgx.Conn, statement string) error {
			_, err := conn.Exec(context.WithoutCancel(t.Context()), statement)
			return err
		}
		for _, conn := range []*pgx.Conn{sits, works, active} {
			if err := errors.Join(run(conn, "BEGIN"), run(conn, "SELECT 1")); err != nil {
				t.Fatal(err)
			}
		}
		done := make(chan error, 1)
		go func() { done <- run(active, worksUntil) }()
		var seen []observe.Session
		eventually(t, "two sessions are idle in transaction", func() bool {
			d, _ := c.database("api")
			seen = d.Idle
			return len(seen) == 2
		})
		if err := run(works, "SELECT 2"); err != nil { // idle again, in another state than was seen
			t.Fatal(err)
		}
		ended, err := c.examiner.EndSessions(t.Context(), c.stack, c.look(), "api", seen)
		if ended != 1 || err != nil {
			t.Errorf("ended %d, %v; expected the one that still sits there", ended, err)
		}
		if run(sits, "SELECT 1") == nil {
			t.Error("the session that sat there is still there")
		}
		if err := errors.Join(run(works, "COMMIT"), run(waits, "SELECT pg_advisory_lock(7)"), <-done, run(active, "COMMIT")); err != nil {
			t.Errorf("a session at work was ended: %v", err)
		}
		if ended, err := c.examiner.EndSessions(t.Context(), c.stack, c.look(), "api", seen); ended != 0 || err != nil {
			t.Errorf("ended %d again, %v", ended, err)
		}
		for _, conn := range []*pgx.Conn{sits, works, waits, active} {
			_ = conn.Close(t.Context())
		}
	})
	t.Run("full", func(t *testing.T) {
		alone(t) // the server is still ending the sessions of the test before
		var sessions []*pgx.Conn
		for range 5 {
			sessions = append(sessions, c.connect("plain"))
		}
		want := well
		want.Full, want.Connections = true, 5
		c.says("db", want) // by a connection that is reserved
		for range 3 {
			sessions = append(sessions, c.connect("app"))
		}
		c.says("db", observe.Database{Reachable: true, Accepting: true, Full: true})
		check(t, c.once("db"), observe.ProbeFailing, "too many clients already")
		for _, s := range sessions {
			_ = s.Close(t.Context())
		}
		alone(t)
	})
	t.Run("slow", func(t *testing.T) {
		c.psql("ALTER SYSTEM SET pre_auth_delay = '1s'", "SELECT pg_reload_conf()")
		eventually(t, "a login takes its time", func() bool { return c.once("db").Latency >= time.Second })
		if got := c.once("db"); got.State != observe.ProbeOK {
			t.Errorf("slow: %s (%s)", got.State, got.Detail)
		}
		c.psql("ALTER SYSTEM RESET pre_auth_delay", "SELECT pg_reload_conf()")
	})
	t.Run("hangs", func(t *testing.T) {
		inspect, err := c.Container(t.Context(), c.id)
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(inspect.State.Pid, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		check(t, c.once("db"), observe.ProbeFailing, "no answer within")
		c.says("api", observe.Database{})
		if err := syscall.Kill(inspect.State.Pid, syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("integrity", func(t *testing.T) {
		c.stack.Service("api").Policy.Integrity = []spec.IntegrityCheck{
			{Name: "rows", SQL: "SELECT count(*) FROM rows"},
			{Name: "lost", SQL: "SELECT count(*) FROM lost"},
			{Name: "writes", SQL: "WITH gone AS (DELETE FROM rows RETURNING 1) SELECT count(*) FROM gone"},
			{Name: "fails", Command: []string{"false"}},
			{Name: "runs", Command: []string{"true"}},
			{Name: "missing", Command: []string{"composure-no-such-program"}},
		}
		got := c.examiner.Measure(t.Context(), c.stack, c.look(), "api")
		if diff := cmp.Diff(map[string]float64{"rows": 3, "fails": 0, "runs": 1}, got.Values); diff != "" {
			t.Errorf("values (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(map[string]string{"lost": `PostgreSQL: relation "lost" does not exist (42P01)`}, got.Broken); diff != "" {
			t.Errorf("broken (-want +got):\n%s", diff)
		}
		if len(got.Gaps) != 2 || got.System == "" {
			t.Errorf("gaps %v, want those of the missing program and of the query that writes; system %q", got.Gaps, got.System)
		}
	})
	t.Run("in recovery", func(t *testing.T) {
		if result, err := c.Exec(t.Context(), c.id, []string{"sh", "-c", "touch $PGDATA/standby.signal"}); err != nil || result.ExitCode != 0 {
			t.Fatal(result, err)
		}
		c.restart()
		eventually(t, "a standby answers", func() bool { d, _ := c.database("db"); return d != nil && d.InRecovery })
		want := well
		want.InRecovery = true
		c.says("api", want)
	})
	t.Run("rejects while it recovers", func(t *testing.T) {
		if result, err := c.Exec(t.Context(), c.id, []string{"sh", "-c", "echo hot_standby=off >>$PGDATA/postgresql.auto.conf"}); err != nil || result.ExitCode != 0 {
			t.Fatal(result, err)
		}
		c.restart()
		eventually(t, "the standby is up", func() bool { d, _ := c.database("db"); return d != nil && d.Reachable })
		c.says("db", observe.Database{Reachable: true})
		check(t, c.once("db"), observe.ProbeFailing, "57P03")
	})
	t.Run("down", func(t *testing.T) {
		if err := c.Kill(t.Context(), c.id, "KILL"); err != nil {
			t.Fatal(err)
		}
		c.says("api", observe.Database{})
	})
}

// restart restarts the container.
func (c *cluster) restart() {
	c.t.Helper()
	grace := 20 * time.Second
	if err := c.Restart(c.t.Context(), c.id, &grace); err != nil {
		c.t.Fatal(err)
	}
}
