package heal

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"composure/controller/incident"
	"composure/test/ports"
)

// runbook brings the runbook's stack up, as test/demo/compose.yaml has it, on ports of its own. Its checks are patient:
// a busy machine is no fault.
func runbook(t *testing.T, name string) (s *stack, api string) {
	t.Helper()
	files := map[string]string{}
	for _, path := range []string{"compose.yaml", "initdb/10-tables.sql"} {
		text, err := os.ReadFile(filepath.Join("../demo", path))
		if err != nil {
			t.Fatal(err)
		}
		files[path] = string(text)
	}
	files["compose.yaml"] = policy + files["compose.yaml"]
	s = newStack(t, name, files)
	s.write("compose.override.yaml", `services:
  postgres: {healthcheck: {timeout: 5s, retries: 3}}
  frontend: {healthcheck: {timeout: 10s}}
  api:
    stop_grace_period: 2s
    healthcheck: {timeout: 10s}
    x-composure: {remediation: {stack_dump: USR1}, probes: [{name: database, http: {url: "http://127.0.0.1:${DEMO_API_PORT}/api/v1/db/health"}, interval: 4s, timeout: 4s}]}
networks: {default: {ipam: {config: [{subnet: `+addresses()+`}]}}}
`)
	port := ports.Text(t)
	s.env = append(s.env, "DEMO_API_PORT="+port, "DEMO_FRONTEND_PORT="+ports.Text(t))
	s.deploy(0)
	return s, "http://127.0.0.1:" + port
}

// rows counts and sums the rows of the database.
func (s *stack) rows() string {
	s.t.Helper()
	const sql = `SELECT count(*), md5(string_agg(serial, ',' ORDER BY id)) FROM vendor_equipment; SELECT count(*), md5(string_agg(indicator, ',' ORDER BY id)) FROM threat_intelligence`
	return s.docker("exec", s.container("postgres"), "psql", "--username", "postgres", "--dbname", "ner11_db", "--no-align", "--tuples-only", "--command", sql)
}

// inject switches a fault of the API on.
func (s *stack) inject(api, fault string) {
	s.t.Helper()
	answer, err := http.Post(api+"/debug/"+fault, "", nil)
	s.must(err)
	answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		s.t.Fatalf("fault %s: %s", fault, answer.Status)
	}
}

// TestRunbook works through the runbook on its own stack: each fault is one incident on the service that has it, ends by
// itself, and touches no other service's container. The rows stay what they are.
func TestRunbook(t *testing.T) {
	t.Parallel()
	s, api := runbook(t, "runbook")
	rows := s.rows()
	if !strings.HasPrefix(rows, "5000|") {
		t.Fatalf("rows: %q", rows)
	}
	s.watch()
	services := []string{"api", "frontend", "postgres"}
	faults := []struct {
		name, service string
		fault         func()
		check         func(i incident.Incident)
		remade        bool // it is a new container
	}{
		{name: "the API is killed", service: "api", fault: func() { s.docker("kill", s.container("api")) }, check: func(i incident.Incident) {
			s.tried(i, "start")
		}},
		{name: "the API hangs", service: "api", fault: func() { s.inject(api, "hang") }, remade: true, check: func(i incident.Incident) {
			s.diagnosed(i, "application_deadlock")
			s.tried(i, "hard")
			s.captured("=== stacks of all goroutines ===") // the dump came before the capture
			s.captured("Application startup complete")
		}},
		{name: "the API says that it is ill", service: "api", fault: func() { s.inject(api, "unhealthy") }, check: func(i incident.Incident) {
			s.diagnosed(i, "healthcheck_failing")
			s.tried(i, "graceful")
		}},
		{name: "the API's connections run out", service: "api", fault: func() { s.inject(api, "exhaust-pool") }, check: func(i incident.Incident) {
			s.diagnosed(i, "connection_pool_exhausted")
			s.tried(i, "graceful")
		}},
		{name: "PostgreSQL is killed", service: "postgres", fault: func() { s.docker("kill", s.container("postgres")) }, check: func(i incident.Incident) {
			s.diagnosed(i, "database_unavailable")
			s.tried(i, "start")
		}},
		{name: "PostgreSQL hangs", service: "postgres", fault: func() { s.stopProcess("postgres") }, check: func(i incident.Incident) {
			s.diagnosed(i, "database_unavailable")
			s.tried(i, "graceful")
		}},
	}
	for _, f := range faults {
		began := time.Now()
		before, runs, id := s.incidents(), map[string]string{}, s.inspect(f.service).ID
		for _, service := range services {
			runs[service] = s.instance(service)
		}
		f.fault()
		i := s.over(f.service, before...)
		t.Logf("%s: %v, over after %s", f.name, i.Causes, time.Since(began).Round(time.Second))
		f.check(i)
		s.has("api-1", "frontend-1", "postgres-1")
		for _, service := range services {
			switch same := s.instance(service) == runs[service]; {
			case service == f.service && same:
				t.Errorf("%s: %s was not restarted", f.name, service)
			case service != f.service && !same:
				t.Errorf("%s: %s was restarted, and needed not", f.name, service)
			}
			s.until(service+" well", func() bool { return s.well(service) })
		}
		if remade := s.inspect(f.service).ID != id; remade != f.remade {
			t.Errorf("%s: recreated: %v, expected %v", f.name, remade, f.remade)
		}
		if got := s.rows(); got != rows {
			t.Errorf("%s: rows %s, were %s", f.name, got, rows)
		}
	}
	s.wants(0, []string{"drift"})
}

// stopProcess stops the first process of a container with SIGSTOP: it is there, and does nothing.
func (s *stack) stopProcess(service string) {
	s.t.Helper()
	s.must(syscall.Kill(s.inspect(service).State.Pid, syscall.SIGSTOP))
}
