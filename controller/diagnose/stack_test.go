package diagnose

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"composure/controller/drift"
	"composure/controller/observe"
)

// TestMassFailure: more than half, at least three, together, and nothing that explains them.
func TestMassFailure(t *testing.T) {
	stack := loadStack(t, "services:\n"+
		"  a: {image: x}\n  b: {image: x}\n  c: {image: x}\n  d: {image: x}\n  e: {image: x}\n")
	in := func(ill ...string) Input {
		in := Input{Now: noon, Stack: stack, Ill: map[string]string{}, Began: map[string]time.Time{}}
		for _, name := range ill {
			in.Ill[name], in.Began[name] = "unhealthy", noon.Add(-10*time.Second)
		}
		return in
	}
	diagnoses := func(cause string, services ...string) []Diagnosis {
		var found []Diagnosis
		for _, name := range services {
			found = append(found, Diagnosis{Service: name, Finding: &Finding{Service: name, Cause: cause}})
		}
		return found
	}
	long := in("a", "b", "c")
	long.Began["a"] = noon.Add(-time.Hour)
	masked := diagnoses("crash_loop", "a")
	masked = append(masked, Diagnosis{Service: "b", MaskedBy: "a"}, Diagnosis{Service: "c", MaskedBy: "a"})
	for _, test := range []struct {
		name  string
		in    Input
		found []Diagnosis
		want  bool
	}{
		{"three of five", in("a", "b", "c"), diagnoses("healthcheck_failing", "a", "b", "c"), true},
		{"two of five", in("a", "b"), diagnoses("healthcheck_failing", "a", "b"), false},
		{"each for a reason of its own", in("a", "b", "c"), diagnoses("image_broken", "a", "b", "c"), false},
		{"merely stopped, as an engine leaves them that was restarted", in("a", "b", "c"), diagnoses("stopped", "a", "b", "c"), false},
		{"one of them long before", long, diagnoses("healthcheck_failing", "a", "b", "c"), false},
		{"explained by a dependency", in("a", "b", "c"), masked, false},
	} {
		got := MassFailure(test.in, test.found)
		if (got != nil) != test.want {
			t.Errorf("%s: %+v, want a finding: %t", test.name, got, test.want)
		}
		if got != nil && (got.Cause != "mass_failure" || len(got.Proof) != len(test.found)) {
			t.Errorf("%s: %+v", test.name, got)
		}
	}
}

// TestMassFailureLooms: while most of the stack is not well and the causes are still looked for, none has failed alone.
func TestMassFailureLooms(t *testing.T) {
	stack := loadStack(t, "services:\n  a: {image: x}\n  b: {image: x}\n  c: {image: x}\n  d: {image: x}\n")
	in := Input{Now: noon, Stack: stack, Began: map[string]time.Time{"old": noon.Add(-time.Hour)}}
	decided := func(name, cause string) Diagnosis {
		return Diagnosis{Service: name, Finding: &Finding{Service: name, Cause: cause}}
	}
	undecided := func(name string) Diagnosis { return Diagnosis{Service: name, Needs: []observe.Need{observe.NeedLogs}} }
	for name, test := range map[string]struct {
		found []Diagnosis
		want  bool
	}{
		"one is decided, two are not":     {[]Diagnosis{decided("a", "healthcheck_failing"), undecided("b"), undecided("c")}, true},
		"none is decided":                 {[]Diagnosis{undecided("a"), undecided("b"), undecided("c")}, true},
		"all are decided":                 {[]Diagnosis{decided("a", "crash_loop"), decided("b", "crash_loop"), decided("c", "crash_loop")}, false},
		"two of four":                     {[]Diagnosis{decided("a", "healthcheck_failing"), undecided("b")}, false},
		"one has a cause of its own":      {[]Diagnosis{decided("a", "image_broken"), undecided("b"), undecided("c")}, false},
		"one has been ill for long":       {[]Diagnosis{undecided("old"), undecided("b"), undecided("c")}, false},
		"one is explained by another one": {[]Diagnosis{undecided("a"), undecided("b"), {Service: "c", MaskedBy: "a"}}, false},
		"nothing is to be looked at":      {[]Diagnosis{decided("a", "crash_loop"), {Service: "b"}, {Service: "c"}}, false},
	} {
		if got := MassFailureLooms(in, test.found); got != test.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

// TestEdges: what the file declares comes first, and no circle is ever closed.
func TestEdges(t *testing.T) {
	stack := loadStack(t, `services:
  api: {image: "api:1", depends_on: [postgres], environment: {CORS_URL: "http://frontend"}}
  frontend: {image: "web:1", depends_on: [api], environment: {UPSTREAM: "http://api:8000", SELF_URL: "http://frontend"}}
  postgres: {image: "postgres:15", container_name: main-db}
  report: {image: "report:1", environment: {DB_HOST: main-db}}
  sidecar: {image: "side:1", network_mode: "service:api"}
`)
	s := scene{}
	for service, env := range map[string][]string{
		"api": {"CORS_URL=http://frontend"}, "frontend": {"UPSTREAM=http://api:8000", "SELF_URL=http://frontend"}, "postgres": nil,
		"report": {"DB_HOST=main-db"}, "sidecar": nil,
	} {
		s.Containers = append(s.Containers, observed{Service: service, State: "running", Env: env})
	}
	in := s.input(stack)
	got := newWard(&in).upstream
	want := map[string][]string{"api": {"postgres"}, "frontend": {"api"}, "report": {"postgres"}, "sidecar": {"api"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestIgnoredDependency: nobody heals an ignored service, so it hides nothing.
func TestIgnoredDependency(t *testing.T) {
	compose := `services:
  cache: {image: "redis:7", restart: always%s}
  api: {image: "api:1", restart: always, depends_on: [cache]}
`
	for _, test := range []struct{ policy, want string }{{"", "cache"}, {", x-composure: {mode: ignore}", ""}} {
		s := scene{
			Ill: map[string]string{"api": "crash loop", "cache": "exited"},
			Containers: []observed{
				{Service: "cache", State: "exited", Exit: 1, Policy: "always"}, {Service: "api", State: "restarting", Exit: 1, Restarts: 7, Policy: "always"},
			},
			Evidence: map[string][]collected{"api": {{}}, "cache": {{}}},
		}
		found := Diagnose(s.input(loadStack(t, fmt.Sprintf(compose, test.policy))))
		if found[0].Service != "api" || found[0].MaskedBy != test.want || (found[0].Finding == nil) != (test.want != "") {
			t.Errorf("policy %q: api is masked by %q with %+v, want %q", test.policy, found[0].MaskedBy, found[0].Finding, test.want)
		}
	}
}

// TestStaleEvidence: what was collected about the container before says nothing about this one.
func TestStaleEvidence(t *testing.T) {
	s := scene{
		Ill:        map[string]string{"api": "unhealthy"},
		Containers: []observed{{Service: "api", State: "running", Health: "unhealthy", Streak: 3, Started: span(time.Minute)}},
		Evidence:   map[string][]collected{"api": {{Evidence: observe.Evidence{ID: "the one before", Log: []string{"MemoryError"}}}}},
		Probes:     []observe.ProbeResult{{Service: "api", Container: "the one before", Name: "http", Kind: "http", State: observe.ProbeFailing}},
	}
	d := Diagnose(s.input(loadStack(t, "services:\n  api: {image: \"api:1\"}\n")))[0]
	if d.Finding != nil || len(d.Needs) == 0 {
		t.Errorf("finding %+v, needs %v; want nothing but needs", d.Finding, d.Needs)
	}
}

// TestEvidenceOfEarlierRun: after a restart the container has the same id and another trouble, or none; restarts by the
// engine are one trouble.
func TestEvidenceOfEarlierRun(t *testing.T) {
	for _, test := range []struct {
		restarts int
		run      time.Duration // before noon
		known    bool
	}{{0, time.Minute, true}, {0, time.Hour, false}, {3, time.Hour, true}} {
		s := scene{
			Ill:        map[string]string{"api": "unhealthy"},
			Containers: []observed{{Service: "api", State: "running", Health: "unhealthy", Streak: 3, Started: span(time.Minute), Restarts: test.restarts}},
			Evidence:   map[string][]collected{"api": {{Evidence: observe.Evidence{Run: noon.Add(-test.run)}}}},
		}
		d := Diagnose(s.input(loadStack(t, "services:\n  api: {image: \"api:1\"}\n")))[0]
		if (d.Finding != nil) != test.known || (len(d.Needs) == 0) != test.known {
			t.Errorf("%+v: finding %+v, needs %v", test, d.Finding, d.Needs)
		}
	}
}

// TestWaitingIsLookedAtAgain: a start that makes progress is waited for on fresh evidence only, and not for ever.
func TestWaitingIsLookedAtAgain(t *testing.T) {
	for _, test := range []struct {
		name           string
		up, age, quiet time.Duration
		waits, needs   bool
	}{
		{"a line a moment ago", 5 * time.Minute, 0, time.Second, true, false},
		{"the look is old", 5 * time.Minute, time.Minute, time.Second, true, true},
		{"silent for minutes", 5 * time.Minute, 0, 3 * time.Minute, false, false},
		{"beyond the time to call people", 45 * time.Minute, 0, time.Second, false, false},
	} {
		s := scene{
			Ill: map[string]string{"api": "starting"},
			Containers: []observed{{Service: "api", State: "running", Health: "starting", Started: span(test.up),
				StartPeriod: span(time.Second), Interval: span(time.Second)}},
			Evidence: map[string][]collected{"api": {{Evidence: observe.Evidence{Log: []string{"loading shard 3"}}, Quiet: span(test.quiet), Age: span(test.age)}}},
		}
		d := Diagnose(s.input(loadStack(t, "services:\n  api: {image: \"api:1\"}\n")))[0]
		if d.Finding == nil || d.Finding.Cause != "startup_stuck" {
			t.Fatalf("%s: %+v", test.name, d.Finding)
		}
		if (d.Finding.Wait != "") != test.waits || (len(d.Needs) > 0) != test.needs {
			t.Errorf("%s: waits %q, needs %v", test.name, d.Finding.Wait, d.Needs)
		}
	}
}

// TestOverride: a deliberate divergence explains nothing, and nobody is told that it was done by hand.
func TestOverride(t *testing.T) {
	s := scene{
		Ill:        map[string]string{"api": "unhealthy"},
		Containers: []observed{{Service: "api", State: "running", Health: "unhealthy", Streak: 3, Started: span(time.Hour)}},
		Evidence:   map[string][]collected{"api": {{}}},
		Drifts:     []drift.Drift{{Service: "api", Field: "mem_limit", Origin: drift.OriginLive, Override: &drift.Override{Owner: "composure"}}},
	}
	d := Diagnose(s.input(loadStack(t, "services:\n  api: {image: \"api:1\"}\n")))[0]
	if d.Finding == nil || d.Finding.Cause != "healthcheck_failing" {
		t.Errorf("%+v", d.Finding)
	}
}

// TestNeverHealthy: whether a container has been healthy in this run, told from the failures in a row.
func TestNeverHealthy(t *testing.T) {
	const period = 10 * time.Second
	for _, test := range []struct {
		name            string
		up, startPeriod time.Duration
		streak          int
		want            bool
	}{
		{"fails since the first check", 60 * time.Second, 0, 6, true},
		{"the first check was well", 60 * time.Second, 0, 5, false},
		{"fails since the start period ended", 90 * time.Second, 60 * time.Second, 3, true},
		{"was well in the start period, failures in it count", 90 * time.Second, 60 * time.Second, 7, false},
		{"ran well for an hour", time.Hour, 0, 4, false},
	} {
		c := observed{Service: "api", State: "running", Health: "unhealthy", Streak: test.streak, Started: span(test.up), StartPeriod: span(test.startPeriod), Interval: span(period)}
		for range min(test.streak, shownEntries) {
			c.Checks = append(c.Checks, check{Exit: 1})
		}
		s := scene{Containers: []observed{c}}
		in := s.input(loadStack(t, "services:\n  api: {image: \"api:1\"}\n"))
		if got := newPatient(&in, in.Stack.Services[0]).neverHealthy(); got != test.want {
			t.Errorf("%s: %t, want %t", test.name, got, test.want)
		}
	}
}

// TestEverybodyNamesEverybody: a stack whose services all name one another is decided in a moment, and has one cause.
func TestEverybodyNamesEverybody(t *testing.T) {
	const services = 60
	compose, s := "services:\n", scene{Ill: map[string]string{}, Evidence: map[string][]collected{}}
	var env []string
	for i := range services {
		env = append(env, fmt.Sprintf("PEER_%d_URL=http://s%02d", i, i))
	}
	for i := range services {
		name := fmt.Sprintf("s%02d", i)
		compose += fmt.Sprintf("  %s: {image: \"app:1\"}\n", name)
		s.Ill[name], s.Evidence[name] = "unhealthy", []collected{{}}
		s.Containers = append(s.Containers, observed{Service: name, State: "running", Health: "unhealthy", Streak: 3, Env: env})
	}
	findings := 0
	for _, d := range Diagnose(s.input(loadStack(t, compose))) {
		if d.Finding != nil {
			findings++
		} else if d.MaskedBy == "" {
			t.Errorf("%s has neither a finding nor what masks it", d.Service)
		}
	}
	if findings != 1 {
		t.Errorf("%d findings, want one", findings)
	}
}
