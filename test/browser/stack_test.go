package browser

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"composure/controller/diagnose"
	"composure/controller/drift"
	"composure/controller/incident"
	"composure/controller/observe"
	"composure/controller/view"
	"composure/controller/web"
)

// stack is a made-up one that shows every part of every page at once. Its methods are safe for concurrent use.
type stack struct {
	mu     sync.Mutex
	began  time.Time
	status view.Status
	drifts []drift.Entry
	closed []incident.Incident
	log    []string
}

// stage serves a made-up stack.
type stage struct {
	*httptest.Server
	stack     *stack
	dashboard *web.Server
	away      atomic.Bool // every connection is cut
}

// staged serves a made-up stack until the test ends.
func staged(t *testing.T) *stage {
	t.Helper()
	g := &stage{stack: newStack(time.Now().UTC().Truncate(time.Second))}
	var err error
	g.dashboard, err = web.New(web.Config{Stack: "shop", Meters: web.NewMeters("test"), Source: g.stack, Actor: g.stack, Token: token, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	pages := g.dashboard.Handler()
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if g.away.Load() {
			panic(http.ErrAbortHandler)
		}
		pages.ServeHTTP(w, r)
	}))
	t.Cleanup(func() { g.CloseClientConnections(); g.Close() })
	return g
}

// change makes the stack another one, and the dashboard look.
func (g *stage) change(how func(*stack)) {
	g.stack.mu.Lock()
	how(g.stack)
	g.stack.mu.Unlock()
	g.dashboard.Changed()
}

// newStack is one with a service that is well, one that is not, and one of which that is not known yet.
func newStack(now time.Time) *stack {
	soon := now.Add(time.Hour)
	beats := slices.Repeat([]string{"recovered"}, 60)
	beats[10], beats[58], beats[59] = "", "pending", "failed"
	columns := slices.Repeat([]view.Column{{Median: 12, State: "ok"}}, 20)
	columns[19] = view.Column{State: "failed"}
	service := func(name, verdict string) view.Service {
		return view.Service{Service: name, State: "running", Health: "healthy", Running: 1, Replicas: 1, Verdict: verdict, Beats: beats, Memory: 240 << 20, MemoryLimit: 256 << 20,
			Budget: 3, BudgetLeft: 3, Probes: []view.Probe{{Probe: "http", P50: 12, P95: 840, Asked: 360, Failures: 4, State: "ok", Columns: columns}}}
	}
	s := &stack{began: now, log: []string{"listening on 8080", "request of /", "request of /health"}}
	s.status = view.Status{Stack: "shop", At: now, Next: &soon, Holder: "reconcile, pid 7", Services: []view.Service{service("api", "failed"), service("db", "recovered"), service("worker", "pending")},
		Decisions: []view.Decision{{Service: "db", Kind: "rollback", Value: "3fa9c2d1", Owner: "on call", Reason: "slow", Created: now, Until: &soon}}, Notes: []string{"a newer file waits to be applied"}, Gaps: []string{"image of db: not readable"}}
	s.fail("api", "HTTP 503")
	worker := &s.status.Services[2]
	worker.Reason, worker.Probes, worker.Memory = "it starts", nil, 0
	for i := range 3 {
		one := s.incident(fmt.Sprintf("shop-20261126-0%d0000", i), "api", now.Add(-time.Duration(i+1)*24*time.Hour))
		one.State, one.MitigatedAt, one.ResolvedAt = incident.Resolved, one.Began.Add(time.Minute), one.Began.Add(time.Hour)
		s.closed = append(s.closed, one)
	}
	for _, field := range []string{"mem_limit", "networks.default", "a_field_with_quite_a_long_name.that_goes_on"} {
		s.drifts = append(s.drifts, drift.Entry{Service: "api", Field: field, Desired: "256 MiB", Observed: "128 MiB", Position: &drift.EntryPosition{File: "compose.yaml", Line: 42}, Remedy: "in-place", Cause: "changed on the container by hand"})
	}
	return s
}

// fail makes a service not well.
func (s *stack) fail(name, reason string) {
	soon := s.began.Add(time.Hour)
	one := s.service(name)
	one.Verdict, one.Reason, one.Health, one.Incident, one.Cause, one.Drift, one.BudgetLeft = "failed", reason, "unhealthy", "shop-now-"+name, "healthcheck_failing", 3, 1
	one.Next = []string{name + " 1: graceful, healthcheck_failing"}
	one.Held = []view.Held{{Subject: name + " 1", Reason: "next try after the backoff", Until: &soon}}
	for i := range one.Probes {
		one.Probes[i].State = "failing"
	}
}

// heal makes a service well.
func (s *stack) heal(name string) {
	one := s.service(name)
	one.Verdict, one.Reason, one.Health, one.Incident, one.Cause, one.Next, one.Held = "recovered", "", "healthy", "", "", nil, nil
}

func (s *stack) service(name string) *view.Service {
	return &s.status.Services[slices.IndexFunc(s.status.Services, func(one view.Service) bool { return one.Service == name })]
}

func (s *stack) incident(id, service string, began time.Time) incident.Incident {
	return incident.Incident{ID: id, Stack: "shop", Service: service, Cause: "healthcheck_failing", Severity: "high", Summary: "the healthcheck fails", State: incident.Open, Began: began, Detected: began,
		Proof: []string{"exit 1"}, Steps: []string{"container running? yes", "container healthy? no"},
		Timeline: []incident.Event{{At: began, Kind: "began", Text: "the healthcheck failed"}, {At: began.Add(time.Second), Kind: "action", Text: "graceful restart"}}}
}

func (s *stack) Status(context.Context) (view.Status, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.status
	now.Services, now.Decisions = slices.Clone(now.Services), slices.Clone(now.Decisions)
	return now, nil
}

func (s *stack) Service(_ context.Context, name string) (view.Detail, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if name == "nobody" {
		return view.Detail{}, fmt.Errorf("%w: there is no service %s", web.ErrNotFound, name)
	}
	tree := view.Walked{At: s.status.At, Diagnosis: diagnose.Diagnosis{Service: name, Reason: "unhealthy", Steps: []diagnose.Step{
		{Question: "container running?", Answer: diagnose.Yes, Seen: "since 12:00", Checked: "the engine"},
		{Question: "container healthy?", Answer: diagnose.No, Jump: "container unhealthy", Seen: "exit 1", Details: []string{"curl: no answer", "three in a row"}},
		{Depth: 1, Question: "port accessible?", Answer: diagnose.Unclear, Seen: "could not be read"},
	}, Finding: &diagnose.Finding{Cause: "healthcheck_failing", Severity: "high", Summary: "the healthcheck fails", Proof: []string{"exit 1"}, Log: []string{"no answer"}, Wait: "for the start"}, MaskedBy: "db"}}
	points := []view.Point{{At: s.began.Add(-50 * time.Minute), Value: 12}, {At: s.began.Add(-48 * time.Minute), Value: 14}, {At: s.began.Add(-2 * time.Minute), Failed: true}}
	d := view.Detail{Stack: "shop", At: s.status.At, Service: *s.service(name), Tree: tree, Ill: &tree, Drift: slices.Clone(s.drifts),
		Plots: []view.Plot{{Name: "memory", Unit: "bytes", Limit: 256 << 20, Points: points[:2]}, {Name: "http", Unit: "ms", Points: points}}}
	for _, i := range s.closed {
		d.Incidents = append(d.Incidents, view.ShortOf(i, s.status.At))
	}
	return d, nil
}

func (s *stack) Log(context.Context, string) (view.Log, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := view.Log{Gaps: []view.Gap{{Subject: "api 2", Error: "its log cannot be read"}}}
	for _, text := range s.log {
		l.Lines = append(l.Lines, view.LogLine{At: &s.began, Container: "shop-api-1", Text: text})
	}
	return l, nil
}

func (s *stack) Drift(context.Context) (drift.Document, error)     { return drift.Document{}, nil }
func (s *stack) Diagnoses(context.Context) (view.Diagnoses, error) { return view.Diagnoses{}, nil }
func (s *stack) Plan(context.Context) (view.Plan, error)           { return view.Plan{}, nil }

func (s *stack) History(_ context.Context, service string, _ int) (view.History, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := view.History{Decisions: s.status.Decisions}
	for i, id := range []string{"9b1d22c0", "3fa9c2d1"} {
		of := view.Revision{ID: id, AppliedAt: s.began.Add(-time.Duration(i) * time.Hour), Origin: "reconcile", Commit: "0123456789abcdef"}
		for _, name := range []string{"api", "db"} {
			if service == "" || service == name {
				of.Services = append(of.Services, view.RevisionService{Service: name, ImageID: "sha256:0123456789abcdef", StableAt: &s.began})
			}
		}
		h.Revisions = append(h.Revisions, of)
	}
	for _, error := range []string{"", "it did not answer"} {
		h.Attempts = append(h.Attempts, view.Attempt{Subject: "api 1", Service: "api", Kind: "graceful", Cause: "healthcheck_failing", StartedAt: s.began, Outcome: "done", Verdict: "failed", Error: error, Counts: true})
	}
	return h, nil
}

func (s *stack) Incidents(context.Context, int) (view.Incidents, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return view.Incidents{Incidents: append([]incident.Incident{s.incident("shop-now-api", "api", s.began)}, s.closed...)}, nil
}

func (s *stack) Incident(_ context.Context, id string) (view.Incident, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	lines := slices.Repeat([]string{"a line of the log"}, 60)
	seen, err := json.Marshal(observe.Evidence{Service: "api", Container: "shop-api-1", At: s.began, Log: lines, Dump: "goroutine 1", Stats: &observe.Stats{MemoryUsage: 240 << 20, MemoryLimit: 256 << 20},
		Health: []observe.HealthEntry{{Start: s.began, ExitCode: 1, Output: "no answer"}}, Processes: []observe.Process{{PID: 7, Command: "api"}},
		Ports: []observe.PortCheck{{Detail: "8080 is open"}}, Database: &observe.Database{Detail: "answers", Connections: 3, MaxConnections: 100}})
	pieces := []view.Piece{{ID: "a1", Kind: "examination", At: s.began, Data: string(seen)}, {ID: "b2", Kind: "log", At: s.began, Data: "the log of before"}}
	return view.Incident{Incident: s.incident(id, "api", s.began), Evidence: pieces}, err
}

func (s *stack) Report(context.Context, string) (string, error) {
	return "# Incident\n\nThe report.\n", nil
}

func (s *stack) Preview(_ context.Context, a web.Action) (string, error) {
	if a.Kind == "restart-hard" {
		return "", errors.New("it keeps data: 300 MB of its own would be lost")
	}
	return "api 1: stop, with 60 s of grace\napi 1: start", nil
}

// Do pauses and resumes. Whatever else is asked for cannot be done.
func (s *stack) Do(_ context.Context, a web.Action) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status.Decisions = slices.DeleteFunc(slices.Clone(s.status.Decisions), func(d view.Decision) bool { return d.Service == a.Service && d.Kind == "pause" })
	switch a.Kind {
	case "pause":
		s.status.Decisions = append(s.status.Decisions, view.Decision{Service: a.Service, Kind: "pause", Owner: a.Person, Reason: a.Reason, Created: s.began})
	case "resume":
	default:
		return "", errors.New("it did not come back")
	}
	return "done", nil
}
