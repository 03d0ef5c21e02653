package main

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"composure/controller/incident"
	"composure/controller/notify"
	"composure/controller/store"
	"composure/spec"
)

// TestPostmanFollowsTheFile: an address that refuses is corrected in the compose file; what waits is delivered at once, and
// settings that cannot be used leave the last ones in place.
func TestPostmanFollowsTheFile(t *testing.T) {
	simulated := http.DefaultTransport
	http.DefaultTransport = &http.Transport{} // a simulation has its own in place
	t.Cleanup(func() { http.DefaultTransport = simulated })
	var refused, taken atomic.Int64
	wrong := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		refused.Add(1)
		w.WriteHeader(http.StatusBadRequest)
	}))
	defer wrong.Close()
	right := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { taken.Add(1) }))
	defer right.Close()
	hook := func(url string) []spec.Notifier {
		return []spec.Notifier{{Type: "webhook", Set: map[string]string{"url": url}}}
	}

	log := &journal{}
	m := memoryOf(t, hook(wrong.URL), slog.New(log))
	post := m.post
	i := incident.Incident{ID: "shop-20260301-031502", Stack: "shop", Service: "api", Escalated: map[incident.Tier]time.Time{incident.DevOps: time.Now()}}
	if err := m.announce(t.Context(), incident.Announcements(i)[0]); err != nil {
		t.Fatal(err)
	}
	go post.run(t.Context())
	eventually(t, "the receiver refuses it, which is on record", func() bool { return log.count("notification not delivered") == 1 })

	post.follow(t.Context(), hook("no address"))
	if log.count("cannot be used") != 1 || !strings.Contains(strings.Join(notify.Names(post.channels, incident.DevOps), ""), "webhook") {
		t.Error("settings that cannot be used were taken over, or nothing was said")
	}
	post.follow(t.Context(), hook(right.URL))
	eventually(t, "it is delivered", func() bool { return taken.Load() == 1 })
	if refused.Load() != 1 {
		t.Errorf("refused %d times", refused.Load())
	}
}

// TestIncidentOfTwo: what a person has written since the remediator read an incident is not written over, and nobody is told
// what is not on record.
func TestIncidentOfTwo(t *testing.T) {
	m := memoryOf(t, nil, slog.New(slog.DiscardHandler))
	i := incident.Incident{ID: "shop-20260301-031502", Stack: "shop", Service: "api", State: incident.Open, Detected: time.Now()}
	keep := func(i incident.Incident, announce ...incident.Announcement) {
		t.Helper()
		if err := m.Keep(t.Context(), incident.Change{Changed: []incident.Incident{i}, Announce: announce}); err != nil {
			t.Fatal(err)
		}
	}
	read := func() incident.Incident {
		t.Helper()
		open, _, err := m.Incidents(t.Context())
		if err != nil || len(open) != 1 {
			t.Fatalf("%d incidents, %v", len(open), err)
		}
		return open[0]
	}
	keep(i)
	pass, person := read(), read()
	person.AckBy = "ops"
	keep(person)
	pass.Actions = 1
	pass.Escalated = map[incident.Tier]time.Time{incident.DevOps: time.Now()}
	keep(pass, incident.Announcements(pass)...)
	if now := read(); now.AckBy != "ops" || now.Actions != 0 {
		t.Errorf("acknowledged by %q, %d actions; expected what the person wrote", now.AckBy, now.Actions)
	}
	call := incident.Announcements(pass)[0]
	fresh, err := m.Store().Enqueue(t.Context(), store.Notification{ID: call.Key, Stack: m.stack, Incident: call.Incident, Tier: string(call.Tier), Kind: call.Kind, Payload: []byte("{}")})
	if err != nil || !fresh {
		t.Errorf("people were told what is not on record (%v)", err)
	}
	again := read()
	again.Actions = 1
	keep(again)
	if now := read(); now.AckBy != "ops" || now.Actions != 1 {
		t.Errorf("acknowledged by %q, %d actions; expected both", now.AckBy, now.Actions)
	}
}

// memoryOf is a remediator's memory of the stack shop, in a store of its own.
func memoryOf(t *testing.T, people []spec.Notifier, log *slog.Logger) *healMemory {
	t.Helper()
	db, err := store.Open(t.Context(), store.Options{StateDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	buffered, err := store.NewBuffered(t.Context(), db, "engine/shop")
	if err != nil {
		t.Fatal(err)
	}
	post, err := newPostman(buffered, people, log)
	if err != nil {
		t.Fatal(err)
	}
	return &healMemory{Buffered: buffered, stack: "engine/shop", dir: t.TempDir(), log: log, post: post}
}

// eventually waits for what happens beside the test.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within a minute: %s", what)
		}
	}
}
