package e2e

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/container"

	"composure/spec"
	"composure/test/ports"
)

// TestDemoStack changes the runbook's stack by hand in every way that a config hash does not see, one after another,
// on the database, the API and the frontend; all is found and repaired, and the rows and the volume stay what they are.
func TestDemoStack(t *testing.T) {
	t.Parallel()
	p := demo(t, "demo")
	rows, volume := p.rows(), p.docker("volume", "inspect", "-f", "{{.CreatedAt}}", p.name+"_pgdata")
	tests := []struct {
		name   string
		do     func()
		fields []string
	}{
		{"the database without its healthcheck", func() {
			p.Recreate("postgres", func(c *spec.Container) { c.Config.Healthcheck = &container.HealthConfig{Test: []string{"NONE"}} })
		}, []string{"healthcheck recreate"}},
		{"memory, network and a killed frontend", func() {
			p.docker("update", "--memory", "128m", "--memory-swap", "128m", p.container("api"))
			p.docker("network", "disconnect", p.name+"_default", p.container("postgres"))
			p.docker("kill", p.container("frontend"))
		}, []string{"mem_limit in-place", "networks.default in-place", "state in-place"}},
		{"another image and an open port", func() {
			p.Recreate("api", func(c *spec.Container) { c.Config.Image = "composure-test/api:2" })
			p.Recreate("frontend", func(c *spec.Container) { c.Host.PortBindings = nil })
		}, []string{"image recreate", "ports.8080/tcp recreate"}},
		{"all containers and the network gone", func() {
			p.docker("rm", "-f", p.container("api"), p.container("postgres"), p.container("frontend"))
			p.docker("network", "rm", p.name+"_default")
		}, []string{"existence in-place"}},
	}
	for _, test := range tests {
		p.sub(test.name, func() {
			test.do()
			got := p.drift().fields()
			for _, field := range test.fields {
				if !slices.Contains(got, field) {
					t.Errorf("drift in %v, expected %s", got, field)
				}
			}
			p.converge()
			p.has("api-1", "frontend-1", "postgres-1")
			if got := p.rows(); got != rows {
				p.t.Errorf("rows %s, were %s", got, rows)
			}
			if got := p.docker("volume", "inspect", "-f", "{{.CreatedAt}}", p.name+"_pgdata"); got != volume {
				p.t.Errorf("the volume was made anew: %s, was %s", got, volume)
			}
		})
	}
	p.sub("a deployment of the database, killed while it is down", func() {
		p.edit("stop_grace_period: 15s", "stop_grace_period: 16s")
		p.killedBefore("start:" + p.container("postgres"))
		p.converge()
		p.has("api-1", "frontend-1", "postgres-1")
		if got := p.rows(); got != rows {
			p.t.Errorf("rows %s, were %s", got, rows)
		}
	})
	p.sameAfterCompose()
}

// TestBadVersionOfTheAPI: a version whose healthcheck fails never replaces the one that works.
func TestBadVersionOfTheAPI(t *testing.T) {
	t.Parallel()
	p := demo(t, "badapi")
	api, database := p.id("api"), p.id("postgres")
	p.edit("      POOL_MAX: \"10\"\n", "      POOL_MAX: \"10\"\n      FAULT: unhealthy\n")
	p.wants(1, once(), "api 1", "unhealthy")
	if p.id("api") != api || p.id("postgres") != database {
		t.Error("not back at the containers of before")
	}
	p.untilHealth(p.container("api"), "healthy")
	p.captured("Application startup complete")
	p.edit("      FAULT: unhealthy\n", "")
	p.converge()

	// IGNORE_TERM is the application that does not stop: the engine kills it when its grace is over.
	p.edit("      POOL_MAX: \"10\"\n", "      POOL_MAX: \"9\"\n      IGNORE_TERM: \"1\"\n")
	p.edit("stop_grace_period: 10s", "stop_grace_period: 1s")
	p.converge()
	p.edit("IGNORE_TERM: \"1\"", "IGNORE_TERM: \"0\"")
	p.converge()
	if p.id("postgres") != database {
		t.Error("a deployment of the API touched the database")
	}
}

// demo brings the demo's stack up on ports of its own.
func demo(t *testing.T, name string) *project {
	t.Helper()
	text, err := os.ReadFile("../demo/compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	sql, err := filepath.Glob("../demo/initdb/*")
	if err != nil || len(sql) == 0 {
		t.Fatalf("no initdb: %v", err)
	}
	files := map[string]string{"compose.yaml": short + string(text), "compose.override.yaml": "networks: {default: " + subnet() + "}\n"}
	for _, path := range sql {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		files["initdb/"+filepath.Base(path)] = string(content)
	}
	p := newProject(t, name, maps.Clone(files))
	p.env = append(p.env, "DEMO_API_PORT="+ports.Text(t), "DEMO_FRONTEND_PORT="+ports.Text(t))
	p.converge()
	return p
}

// rows counts and sums the rows of the database.
func (p *project) rows() string {
	p.t.Helper()
	const sql = `SELECT count(*), md5(string_agg(serial, ',' ORDER BY id)) FROM vendor_equipment; SELECT count(*), md5(string_agg(indicator, ',' ORDER BY id)) FROM threat_intelligence`
	got := p.docker("exec", p.container("postgres"), "psql", "--username", "postgres", "--dbname", "ner11_db", "--no-align", "--tuples-only", "--command", sql)
	if !strings.HasPrefix(got, "5000|") {
		p.t.Errorf("rows: %q", got)
	}
	return got
}
