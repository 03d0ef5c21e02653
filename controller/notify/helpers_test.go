package notify

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"composure/controller/incident"
	"composure/spec"
)

// canary stands wherever a setting is secret: it must never be in an error or a log.
const canary = "canary-7d1f0c"

var at = time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)

// message is an announcement about an API that crashes, with words as a container would like to say them.
func message(kind string) Message {
	i := incident.Incident{
		ID: "shop-20260301-100000", Stack: "shop", Service: "api", Cause: "crash_loop", Severity: "high", Summary: "The process ends by itself <!channel> *bold*",
		State: incident.Open, Began: at.Add(-time.Minute), Detected: at, Diagnosed: at, Impact: incident.Impact{Data: incident.DataUnchecked, Services: []string{"web"}},
		Proof: []string{"exited with 1 & <https://evil.example|here>"}, Steps: []string{"container running? no: exited"},
		Timeline: []incident.Event{{At: at, Kind: "detected"}},
	}
	if kind == "resolved" {
		i.State, i.ResolvedAt, i.MitigatedAt = incident.Resolved, at.Add(time.Hour), at.Add(50*time.Minute)
	}
	return Message{ID: "N1", Announcement: incident.Announcement{
		Key: i.ID + "/devops/" + kind, Incident: i.ID, Tier: incident.DevOps, Kind: kind, Reason: "3 attempts did not help", At: at, Body: i,
	}}
}

// receiver is an HTTP server that keeps what it got.
type receiver struct {
	*httptest.Server
	mu      sync.Mutex
	got     []request
	respond func(w http.ResponseWriter, r *http.Request) // nil: 200
}

type request struct {
	path   string
	header http.Header
	body   []byte
}

func receive(t *testing.T, respond func(http.ResponseWriter, *http.Request)) *receiver {
	t.Helper()
	r := &receiver{respond: respond}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	body, err := io.ReadAll(q.Body)
	if err != nil {
		return
	}
	r.mu.Lock()
	respond := r.respond
	r.got = append(r.got, request{q.URL.Path, q.Header.Clone(), body})
	r.mu.Unlock()
	if respond != nil {
		respond(w, q)
	}
}

func (r *receiver) requests() []request {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]request(nil), r.got...)
}

func (r *receiver) answer(respond func(http.ResponseWriter, *http.Request)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.respond = respond
}

// only decodes the one request strictly: a field that the format does not have is an error.
func (r *receiver) only(t *testing.T, into any) request {
	t.Helper()
	got := r.requests()
	if len(got) != 1 {
		t.Fatalf("%d requests", len(got))
	}
	decoder := json.NewDecoder(strings.NewReader(string(got[0].body)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		t.Fatalf("%v in %s", err, got[0].body)
	}
	return got[0]
}

// notifier makes a notifier of settings, given as key, value, key, value.
func notifier(t *testing.T, kind string, settings ...string) Notifier {
	t.Helper()
	n, err := New(policy(kind, settings...))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func policy(kind string, settings ...string) spec.Notifier {
	set := map[string]string{}
	for i := 0; i < len(settings); i += 2 {
		set[settings[i]] = settings[i+1]
	}
	return spec.Notifier{Type: kind, Set: set, Pos: spec.Position{File: "compose.yaml", Line: 3}}
}

// noCanary fails when a text holds a secret setting.
func noCanary(t *testing.T, text string) {
	t.Helper()
	if strings.Contains(text, canary) {
		t.Errorf("holds a secret: %s", text)
	}
}
