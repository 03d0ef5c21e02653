package web

import (
	"encoding/json"
	"log/slog"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v4"

	"composure/controller/incident"
	"composure/controller/plan"
)

// scrape is what /metrics says when everything has happened once.
func scrape(t *testing.T) string {
	t.Helper()
	m := NewMeters("test")
	s, err := New(Config{Stack: "app", Meters: m, Source: &source{status: trouble()}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	m.Pass("done", 20*time.Millisecond)
	m.Action(plan.Attempt{Service: "api", Kind: "recreate:3fa9c2d1", Outcome: plan.Done})
	m.Probe("api", "http", 12*time.Millisecond, false)
	m.Probe("api", "http", 0, true)
	m.Engine("GET /containers/{id}/json", time.Millisecond, true)
	at := time.Now().Add(time.Second)
	i := incident.Incident{ID: "app-1", Service: "api", Cause: "crash_loop", Began: at.Add(-3 * time.Second), Detected: at}
	m.Incident(i)
	m.Incident(i)
	i.MitigatedAt = at.Add(40 * time.Second)
	m.Incident(i)
	m.Incident(incident.Incident{ID: "app-0", Service: "api", Cause: "crash_loop", Began: at.Add(-time.Hour), Detected: at.Add(-time.Hour)}) // of an earlier process
	server := httptest.NewServer(s.Handler())
	t.Cleanup(server.Close)
	answer, body := get(t, server.URL+"/metrics")
	if answer.StatusCode != 200 {
		t.Fatalf("%d: %s", answer.StatusCode, body)
	}
	return body
}

// TestMetrics: the figures of a stack in trouble, each of a stack, none with an id in it.
func TestMetrics(t *testing.T) {
	body := scrape(t)
	for _, line := range []string{
		`composure_converged{stack="app"} 0`, `composure_engine_up{stack="app"} 1`, `composure_incidents_open{stack="app"} 1`,
		`composure_service_well{service="api",stack="app"} 0`, `composure_service_well{service="db",stack="app"} 1`,
		`composure_drift_fields{service="api",stack="app"} 2`, `composure_memory_limit_bytes{service="api",stack="app"} 2.68435456e+08`,
		`composure_budget_attempts_left{service="api",stack="app"} 1`, `composure_passes_total{outcome="done",stack="app"} 1`,
		`composure_actions_total{outcome="done",rung="recreate",service="api",stack="app"} 1`,
		`composure_incidents_total{cause="crash_loop",service="api",stack="app"} 1`,
		`composure_incident_detect_seconds_sum{service="api",stack="app"} 3`, `composure_incident_recover_seconds_sum{service="api",stack="app"} 43`,
		`composure_probe_failures_total{probe="http",service="api",stack="app"} 1`,
		`composure_engine_request_failures_total{endpoint="GET /containers/{id}/json",stack="app"} 1`,
	} {
		if !strings.Contains(body, "\n"+line+"\n") {
			t.Errorf("missing: %s", line)
		}
	}
	labels := []string{"stack", "service", "outcome", "rung", "cause", "probe", "endpoint", "version", "le"}
	for _, one := range regexp.MustCompile(`(?m)^composure_\S*\{(.*)\}`).FindAllStringSubmatch(body, -1) {
		if !strings.Contains(one[1], `stack="app"`) {
			t.Errorf("of no stack: %s", one[0])
		}
		for _, l := range regexp.MustCompile(`(\w+)="`).FindAllStringSubmatch(one[1], -1) {
			if !slices.Contains(labels, l[1]) {
				t.Errorf("label %s in %s", l[1], one[0])
			}
		}
	}
	for _, one := range regexp.MustCompile(`(?m)^# TYPE (composure_\w+) (\w+)`).FindAllStringSubmatch(body, -1) {
		if (one[2] == "counter") != strings.HasSuffix(one[1], "_total") || (one[2] == "histogram" && !strings.HasSuffix(one[1], "_seconds")) {
			t.Errorf("%s is a %s", one[1], one[2])
		}
	}
}

// TestRulesAndDashboard: what hack/ asks for exists.
func TestRulesAndDashboard(t *testing.T) {
	body := scrape(t)
	var rules struct {
		Groups []struct {
			Rules []struct {
				Alert, Expr         string
				Labels, Annotations map[string]string
			}
		}
	}
	text := readFile(t, "../../hack/alerts.yaml")
	if err := yaml.Unmarshal(text, &rules); err != nil {
		t.Fatal(err)
	}
	var asked []string
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			asked = append(asked, r.Expr)
			if r.Alert == "" || r.Labels["severity"] == "" || r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
				t.Errorf("the rule %q says too little", r.Alert)
			}
		}
	}
	var board struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(readFile(t, "../../hack/grafana.json"), &board); err != nil {
		t.Fatal(err)
	}
	for _, p := range board.Panels {
		for _, target := range p.Targets {
			asked = append(asked, target.Expr)
		}
	}
	if len(asked) < 20 {
		t.Fatalf("only %d expressions found", len(asked))
	}
	for _, expr := range asked {
		names := regexp.MustCompile(`composure_\w+`).FindAllString(expr, -1)
		if len(names) == 0 {
			t.Errorf("%s asks for nothing", expr)
		}
		for _, name := range names {
			if !strings.Contains(body, "\n"+name+"{") {
				t.Errorf("there is no %s, which is asked for in %s", name, expr)
			}
		}
	}
}

func readFile(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
