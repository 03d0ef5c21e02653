package web

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"composure/controller/drift"
	"composure/controller/view"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// source is a stack as a test wants it. What a test does not set is made up, every field of it.
type source struct {
	mu     sync.Mutex
	status view.Status
	err    error
	asked  int
}

func (s *source) Status(context.Context) (view.Status, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	return s.status, s.err
}

func (s *source) Service(_ context.Context, name string) (view.Detail, error) {
	return known(name, filled[view.Detail]())
}
func (s *source) Log(_ context.Context, name string) (view.Log, error) {
	return known(name, filled[view.Log]())
}
func (s *source) Drift(context.Context) (drift.Document, error) { return filled[drift.Document](), nil }
func (s *source) Diagnoses(context.Context) (view.Diagnoses, error) {
	return filled[view.Diagnoses](), nil
}
func (s *source) Plan(context.Context) (view.Plan, error) { return filled[view.Plan](), nil }
func (s *source) History(_ context.Context, _ string, limit int) (view.History, error) {
	h := filled[view.History]()
	h.Stack = fmt.Sprint(limit)
	return h, nil
}
func (s *source) Incidents(context.Context, int) (view.Incidents, error) {
	return filled[view.Incidents](), nil
}
func (s *source) Incident(_ context.Context, id string) (view.Incident, error) {
	one := filled[view.Incident]()
	one.Incident.ID = id
	return known(id, one)
}
func (s *source) Report(_ context.Context, id string) (string, error) { return known(id, "# Report\n") }

// known is an answer about api, or that there is nothing else.
func known[T any](name string, v T) (T, error) {
	if name != "api" {
		return v, fmt.Errorf("%w: %s", ErrNotFound, name)
	}
	return v, nil
}

// filled is a value all of whose fields say something.
func filled[T any]() T {
	var v T
	fill(reflect.ValueOf(&v).Elem(), 0)
	return v
}

func fill(v reflect.Value, depth int) {
	if v.Type() == reflect.TypeFor[time.Time]() {
		v.Set(reflect.ValueOf(noon))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString("text\u009b31m")
	case reflect.Int, reflect.Int64:
		v.SetInt(7)
	case reflect.Float64:
		v.SetFloat(1.5)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), depth+1)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range 2 {
			fill(v.Index(i), depth+1)
		}
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key, depth+1)
		fill(value, depth+1)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fill(v.Field(i), depth+1)
			}
		}
	default:
		panic("no text for " + v.Type().String())
	}
}

func (s *source) set(status view.Status, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status, s.err = status, err
}

// trouble is a stack of two services, one of which is not well.
func trouble() view.Status {
	soon := noon.Add(40 * time.Second)
	beats := make([]string, 60)
	beats[58], beats[59] = "recovered", "failed"
	return view.Status{
		Schema: "composure.status/v1", Stack: "app", At: noon, Next: &soon, Holder: "reconcile, pid 7 on host", Decisions: []view.Decision{}, Notes: []string{}, Gaps: []string{},
		Services: []view.Service{
			{Service: "api", State: "running", Health: "unhealthy", Running: 1, Replicas: 1, Drift: 2, Verdict: "failed", Reason: "HTTP 503", Beats: beats,
				Memory: 240 << 20, MemoryLimit: 256 << 20, Budget: 3, BudgetLeft: 1, Incident: "app-20261123-115900", Cause: "healthcheck_failing",
				Probes: []view.Probe{{Probe: "http", P50: 12, P95: 840, Asked: 360, Failures: 4, State: "failing", Columns: []view.Column{{Median: 12, State: "ok"}, {State: "failed"}}}},
				Next:   []string{"api 1: graceful, healthcheck_failing"}, Held: []view.Held{{Subject: "api 1", Reason: "next try after the backoff", Until: &soon}}},
			{Service: "db", State: "running", Health: "healthy", Running: 1, Replicas: 1, Verdict: "recovered", Beats: beats[:59], Budget: 3, BudgetLeft: 3, Probes: []view.Probe{}},
		},
	}
}

// open serves a source.
func open(t *testing.T, from *source) (*Server, string) {
	t.Helper()
	s, err := New(Config{Stack: "app", Meters: NewMeters("test"), Source: from, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s.Handler())
	t.Cleanup(func() { s.news.close(); server.Close() })
	return s, server.URL
}

// get is an answer and its body.
func get(t *testing.T, url string) (*http.Response, string) {
	t.Helper()
	request, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return send(t, request)
}

// send is an answer and its body. Redirections are not followed.
func send(t *testing.T, request *http.Request) (*http.Response, string) {
	t.Helper()
	answer, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var body strings.Builder
	if _, err := bufio.NewReader(answer.Body).WriteTo(&body); err != nil {
		t.Fatal(err)
	}
	return answer, body.String()
}

// TestOverview: one glance says what is wrong, what is held, what happens next and when.
func TestOverview(t *testing.T) {
	_, url := open(t, &source{status: trouble()})
	answer, page := get(t, url)
	if answer.StatusCode != http.StatusOK {
		t.Fatalf("status %d: %s", answer.StatusCode, page)
	}
	for _, text := range []string{
		"1 of 2 services not well: api", "HTTP 503", "healthcheck_failing", "api 1: graceful, healthcheck_failing", "next try after the backoff",
		`datetime="2026-11-23T12:00:40Z"`, "1 well, 0 not sure, 1 not well, 58 not known", "memory at 93 % of its limit",
		"1 of 3 left", "median 12 ms, 95th percentile 840 ms, 4 of 360 failed", "reconcile, pid 7 on host",
	} {
		if !strings.Contains(page, text) {
			t.Errorf("the page does not say %q", text)
		}
	}
	if strings.Contains(page, "style=") || strings.Contains(page, "<style") || strings.Contains(page, "onclick") {
		t.Error("the page has style or script of its own")
	}
}

// TestEscapes: what a container, a file or a person wrote is text and nothing else.
func TestEscapes(t *testing.T) {
	bad := `<img src=x onerror=alert(1)>"'&`
	s := trouble()
	one := &s.Services[0]
	one.Service, one.State, one.Health, one.Reason, one.Cause, one.Incident = bad, bad, bad, bad, bad, bad
	one.Next, one.Held = []string{bad}, []view.Held{{Subject: bad, Reason: bad}}
	one.Probes[0].Probe, one.Probes[0].Detail = bad, bad
	s.Stack, s.Holder, s.Notes, s.Gaps = bad, bad, []string{bad}, []string{bad}
	s.Decisions = []view.Decision{{Kind: bad, Owner: bad, Reason: bad}}
	_, url := open(t, &source{status: s})
	if _, page := get(t, url); strings.Contains(page, "<img") || !strings.Contains(page, "&lt;img src=x onerror=alert(1)&gt;") {
		t.Errorf("markup went through:\n%s", page)
	}
}

// TestReady: not before the first look, and not while the engine is away.
func TestReady(t *testing.T) {
	from := &source{err: ErrNotReady}
	s, url := open(t, from)
	want := func(path string, code int) {
		t.Helper()
		if answer, body := get(t, url+path); answer.StatusCode != code {
			t.Errorf("%s answers %d, expected %d: %s", path, answer.StatusCode, code, body)
		}
	}
	want("/healthz", 200)
	want("/readyz", 503)
	want("/", 503)
	down := trouble()
	down.Down = &noon
	from.set(down, nil)
	s.Changed()
	want("/readyz", 503)
	want("/", 200)
	from.set(trouble(), nil)
	s.Changed()
	want("/readyz", 200)
	from.set(view.Status{}, errors.New("disk on fire"))
	s.Changed()
	want("/", 500)
}

// TestOneRenderingForAll: who asks for the same page while nothing changes gets the same rendering.
func TestOneRenderingForAll(t *testing.T) {
	from := &source{status: trouble()}
	s, url := open(t, from)
	for range 5 {
		get(t, url)
	}
	if from.asked != 1 {
		t.Errorf("the status was put together %d times for one version", from.asked)
	}
	s.Changed()
	get(t, url)
	if from.asked != 2 {
		t.Errorf("after a change the status was put together %d times", from.asked)
	}
}

// TestEvents: a stream says at once what the version is, and again when it changes; it ends with the server.
func TestEvents(t *testing.T) {
	s, url := open(t, &source{status: trouble()})
	answer, err := http.Get(url + "/events")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	lines := bufio.NewScanner(answer.Body)
	next := func() string {
		for lines.Scan() {
			if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				return data
			}
		}
		return "end"
	}
	first := next()
	s.Changed()
	if second := next(); second == first || second == "end" {
		t.Errorf("after a change: %q, before: %q", second, first)
	}
	s.news.close()
	if last := next(); last != "end" {
		t.Errorf("the stream goes on with %q", last)
	}
}

// TestHeaders: the strict policy stands on every answer.
func TestHeaders(t *testing.T) {
	_, url := open(t, &source{status: trouble()})
	for _, path := range []string{"/", "/nowhere", "/assets/style.css", "/healthz"} {
		answer, _ := get(t, url+path)
		if got := answer.Header.Get("Content-Security-Policy"); !strings.HasPrefix(got, "default-src 'none';") || strings.Contains(got, "unsafe") {
			t.Errorf("%s: policy %q", path, got)
		}
		if answer.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: types may be guessed", path)
		}
	}
}
