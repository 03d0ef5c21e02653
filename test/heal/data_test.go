package heal

import (
	"strings"
	"testing"

	"composure/controller/incident"
)

// ledger is a database of its own, whose rows are watched.
const ledger = `services:
  db:
    image: composure-test/postgres:15
    restart: unless-stopped
    environment: {POSTGRES_PASSWORD: for-tests-only, POSTGRES_DB: ledger}
    volumes: ["data:/var/lib/postgresql/data"]
    stop_grace_period: 15s
    healthcheck: {test: [CMD, pg_isready, --quiet, --host=127.0.0.1, --username=postgres, --dbname=ledger], interval: 1s, timeout: 10s, retries: 5, start_period: 60s}
    x-composure:
      integrity: [{name: entries, sql: SELECT count(*) FROM entries}]
volumes: {data: {}}
`

// sql runs statements in the database.
func (s *stack) sql(statements ...string) string {
	s.t.Helper()
	out := ""
	for _, statement := range statements {
		out = s.docker("exec", s.container("db"), "psql", "--username", "postgres", "--dbname", "ledger", "--no-align", "--tuples-only", "--set", "ON_ERROR_STOP=1", "--command", statement)
	}
	return out
}

// upLedger brings the database up with rows whose number is on record.
func upLedger(t *testing.T, name string) (*stack, *watcher) {
	t.Helper()
	s := newStack(t, name, map[string]string{"compose.yaml": policy + ledger})
	s.deploy(0)
	s.until("the database well", func() bool { return s.well("db") })
	s.sql("CREATE TABLE entries (n int, text text)", "INSERT INTO entries SELECT n, repeat('x', 100) FROM generate_series(1, 1000) n", "CHECKPOINT")
	s.wants(0, []string{"baseline", "capture", "db"})
	return s, s.watch()
}

// TestDataLoss: the volume of the database was made anew and is empty. The emergency tier is called, and nothing is done
// until people say that it is right.
func TestDataLoss(t *testing.T) {
	t.Parallel()
	s, w := upLedger(t, "loss")
	w.between(func() {
		s.docker("rm", "-f", s.container("db"))
		s.docker("volume", "rm", s.name+"_data")
		s.docker("volume", "create", "--label", "com.docker.compose.project="+s.name, "--label", "com.docker.compose.volume=data", s.name+"_data")
	})
	i := s.open("db", "data_loss")
	s.until("the emergency tier is called", func() bool { return !s.incidents()[0].Escalated[incident.Emergency].IsZero() })
	s.until("the database well", func() bool { return s.well("db") })
	w.end()
	s.docker("kill", s.container("db"))
	s.watch().says("people decide")
	if s.inspect("db").State.Running {
		t.Error("something was done to a database whose rows are missing")
	}
	s.docker("start", s.container("db"))
	s.until("the database well", func() bool { return s.well("db") })
	s.sql("CREATE TABLE entries (n int, text text)") // restored, as far as it goes
	s.wants(0, []string{"baseline", "capture", "db"})
	s.until("it is over", func() bool { return s.incidents()[0].State == incident.Resolved })
	if i.Actions > 0 {
		t.Errorf("tried %v", i.Tried)
	}
}

// TestDataCorruption: a page of a table is damaged, and the server says so. DevOps is called, and nothing is done.
func TestDataCorruption(t *testing.T) {
	t.Parallel()
	s, w := upLedger(t, "damage")
	file := strings.TrimSpace(s.sql("SELECT current_setting('data_directory') || '/' || pg_relation_filepath('entries')"))
	w.between(func() { // while it runs it would write the page again
		s.docker("stop", s.container("db"))
		s.docker("run", "--rm", "--network", "none", "-v", s.name+"_data:/var/lib/postgresql/data", "composure-test/busybox:1",
			"sh", "-c", "yes damaged | head -c 8192 | dd of="+file+" bs=512 conv=notrunc")
		s.docker("start", s.container("db"))
	})
	i := s.open("db", "data_corruption_suspected")
	s.until("people are called", func() bool { return !s.incidents()[0].Escalated[incident.DevOps].IsZero() })
	if i.Actions > 0 || !s.inspect("db").State.Running {
		t.Errorf("tried %v\n%s", i.Tried, s.ps())
	}
}
