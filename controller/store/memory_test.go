package store

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func testOverrides(t *testing.T, p place) {
	s := p.open(t)
	ctx := t.Context()
	memory := Override{Stack: stack, Service: "api", Kind: "memory", Field: "mem_limit", Value: json.RawMessage(`536870912`),
		Owner: "composure", Reason: "memory_exhaustion", Created: at}
	pause := Override{Stack: stack, Kind: Pause, Owner: "ops", Reason: "migration", Created: at, Until: at.Add(time.Hour)}
	must(t, s.SetOverride(ctx, memory))
	must(t, s.SetOverride(ctx, pause))
	memory.Value, memory.Reason = json.RawMessage(`1073741824`), "again"
	must(t, s.SetOverride(ctx, memory)) // replaces

	active := func(now time.Time) []Override {
		all, err := s.Overrides(ctx, stack, now)
		must(t, err)
		for i := range all {
			if !all[i].Active(now) || all[i].ID == 0 {
				t.Errorf("not active: %+v", all[i])
			}
			all[i].ID = 0
		}
		return all
	}
	equal(t, []Override{memory, pause}, active(at))
	equal(t, []Override{memory}, active(at.Add(time.Hour))) // the pause is over by itself
	must(t, s.EndOverride(ctx, stack, "api", "memory", "mem_limit", "ops", at.Add(time.Minute)))
	equal(t, []Override{pause}, active(at))
	is(t, s.EndOverride(ctx, stack, "api", "memory", "mem_limit", "ops", at), ErrNotFound)
	must(t, s.SetOverride(ctx, memory)) // a new one beside the ended one
	history, err := s.OverrideHistory(ctx, stack, 0)
	must(t, err)
	equal(t, 3, len(history))
	equal(t, "ops", history[2].EndedBy)

	next := pause // another one, after the time of the first was over: both stay on record
	next.Reason, next.Created, next.Until = "another migration", at.Add(24*time.Hour), at.Add(25*time.Hour)
	must(t, s.SetOverride(ctx, next))
	must(t, s.SetOverride(ctx, next)) // the answer to the first time was lost
	equal(t, []Override{memory, next}, active(next.Created))
	history, err = s.OverrideHistory(ctx, stack, 0)
	must(t, err)
	equal(t, 4, len(history))
	equal(t, []string{"another migration", "migration"}, []string{history[0].Reason, history[2].Reason})
	equal(t, pause.Until, history[2].Ended)
}

func testStates(t *testing.T, p place) {
	s := p.open(t)
	ctx := t.Context()
	must(t, s.SaveState(ctx, stack, State{Service: "web", Document: json.RawMessage(`{"rung":1}`), Updated: at}))
	must(t, s.SaveState(ctx, stack, State{Service: "api", Document: json.RawMessage(`{"rung":1}`), Updated: at}))
	must(t, s.SaveState(ctx, stack, State{Service: "api", Document: json.RawMessage(`{"rung":2}`), Updated: at.Add(1e9)}))
	must(t, s.SaveState(ctx, "engine/other", State{Service: "api", Document: json.RawMessage(`{}`), Updated: at}))
	got, err := s.States(ctx, stack)
	must(t, err)
	equal(t, []State{{"api", json.RawMessage(`{"rung":2}`), at.Add(1e9)}, {"web", json.RawMessage(`{"rung":1}`), at}}, got)
	must(t, s.DeleteState(ctx, stack, "web"))
	got, err = s.States(ctx, stack)
	must(t, err)
	equal(t, 1, len(got))
}

func testIncidents(t *testing.T, p place) {
	s := p.open(t)
	ctx := t.Context()
	api := Incident{ID: "i1", Stack: stack, Service: "api", Cause: "crash_loop", State: "open", Severity: "high", Opened: at, Document: json.RawMessage(`{"v":1}`)}
	db := Incident{ID: "i2", Stack: stack, Service: "postgres", Cause: "data_loss", State: "open", Severity: "critical", Opened: at.Add(time.Hour), Document: json.RawMessage(`{}`)}
	must(t, s.SaveIncident(ctx, api))
	must(t, s.SaveIncident(ctx, db))
	api.State, api.Resolved, api.Document = "resolved", at.Add(2*time.Hour), json.RawMessage(`{"v":2}`)
	must(t, s.SaveIncident(ctx, api))
	for _, c := range []struct {
		f    IncidentFilter
		want []Incident
	}{
		{IncidentFilter{}, []Incident{api, db}},
		{IncidentFilter{Stack: stack, Open: true}, []Incident{db}},
		{IncidentFilter{Stack: stack, Service: "api", Cause: "crash_loop", Since: at.Add(time.Hour)}, []Incident{api}},
		{IncidentFilter{Stack: stack, Service: "api", Since: at.Add(3 * time.Hour)}, nil},
		{IncidentFilter{Stack: stack, Limit: 1}, []Incident{db}},
		{IncidentFilter{Stack: "engine/other"}, nil},
	} {
		got, err := s.Incidents(ctx, c.f)
		must(t, err)
		equal(t, c.want, got)
	}
	got, err := s.Incident(ctx, "i1")
	must(t, err)
	equal(t, api, got)
	_, err = s.Incident(ctx, "i9")
	is(t, err, ErrNotFound)

	began := Event{ID: "e1", Incident: "i1", At: at.Add(time.Second), Kind: "began", Text: "it began"}
	acted := Event{ID: "e2", Incident: "i1", At: at, Kind: "action", Text: "restarted", Data: json.RawMessage(`{"attempt":"a1"}`)}
	must(t, s.AddEvents(ctx, began))
	must(t, s.AddEvents(ctx, began, acted)) // the first is repeated after a lost answer
	events, err := s.Events(ctx, "i1")
	must(t, err)
	equal(t, []Event{began, acted}, events) // in the order of writing
}

func testEvidence(t *testing.T, p place) {
	s := p.open(t)
	ctx := t.Context()
	log := Evidence{ID: "v1", Stack: stack, Service: "api", Incident: "i1", Attempt: "a1", Kind: "log", At: at, Data: []byte("out of memory\n")}
	must(t, s.AddEvidence(ctx, log))
	must(t, s.AddEvidence(ctx, log))
	huge := append(bytes.Repeat([]byte("x"), MaxEvidence), "the end"...)
	must(t, s.AddEvidence(ctx, Evidence{ID: "v2", Stack: stack, Incident: "i1", Kind: "log", At: at.Add(1e9), Data: huge}))
	list, err := s.EvidenceOf(ctx, "i1")
	must(t, err)
	log.Size = int64(len(log.Data))
	listed := log
	listed.Data = nil
	equal(t, []Evidence{listed, {ID: "v2", Stack: stack, Incident: "i1", Kind: "log", At: at.Add(1e9), Size: MaxEvidence + 7, Truncated: true}}, list)
	got, err := s.Evidence(ctx, "v1")
	must(t, err)
	equal(t, log, got)
	got, err = s.Evidence(ctx, "v2")
	must(t, err)
	if len(got.Data) != MaxEvidence || !bytes.HasSuffix(got.Data, []byte("the end")) {
		t.Errorf("%d bytes are kept, and they are not the last ones", len(got.Data))
	}
	_, err = s.Evidence(ctx, "v9")
	is(t, err, ErrNotFound)
}

func testOutbox(t *testing.T, p place) {
	s, other := p.open(t), p.open(t)
	ctx := t.Context()
	n := Notification{ID: "n1", Stack: stack, Incident: "i1", Tier: "devops", Kind: "escalated", Payload: []byte("help"), Created: at, Channels: []string{"email", "slack"}}
	queued, err := s.Enqueue(ctx, n)
	must(t, err)
	equal(t, true, queued)
	again := n
	again.ID, again.Channels = "n2", []string{"pagerduty"}
	queued, err = other.Enqueue(ctx, again)
	must(t, err)
	equal(t, false, queued)
	emergency := n
	emergency.ID, emergency.Tier, emergency.Channels = "n3", "emergency", nil
	queued, err = s.Enqueue(ctx, emergency)
	must(t, err)
	equal(t, true, queued)

	for _, channel := range n.Channels {
		due, err := s.ClaimDue(ctx, stack, channel, at, time.Minute, 0)
		must(t, err)
		equal(t, []Delivery{{n, channel, 1, at.Add(time.Minute), ""}}, withoutChannels(n, due))
	}
	due, err := other.ClaimDue(ctx, stack, "slack", at, time.Minute, 0)
	must(t, err)
	equal(t, 0, len(due)) // claimed
	must(t, s.Delivered(ctx, "n1", "email", at))
	must(t, s.Retry(ctx, "n1", "slack", "502", at.Add(10*time.Second)))
	must(t, s.Retry(ctx, "n1", "email", "too late", at)) // a late failure does not take a delivery back
	due, err = other.ClaimDue(ctx, stack, "slack", at.Add(10*time.Second), time.Minute, 1)
	must(t, err)
	equal(t, []Delivery{{n, "slack", 2, at.Add(70 * time.Second), "502"}}, withoutChannels(n, due))
	equal(t, 1, undelivered(t, s))
	must(t, s.Delivered(ctx, "n1", "slack", at))
	equal(t, 0, undelivered(t, s))
	queued, err = s.Enqueue(ctx, n) // delivered: still never again
	must(t, err)
	equal(t, false, queued)
}

// testIncidentOfTwoStacks: two stacks of one project name share a store, and fail in the same second.
func testIncidentOfTwoStacks(t *testing.T, p place) {
	s := p.open(t)
	ctx := t.Context()
	must(t, s.SaveIncident(ctx, Incident{ID: "shop-20260301-031502", Stack: "one/shop", State: "open", Opened: at, Document: []byte(`{"of":1}`)}))
	is(t, s.SaveIncident(ctx, Incident{ID: "shop-20260301-031502", Stack: "two/shop", State: "open", Opened: at, Document: []byte(`{"of":2}`)}), ErrTaken)
	is(t, s.SaveIncident(ctx, Incident{ID: "shop-20260301-031502", Stack: "one/shop", State: "open", Opened: at, Document: []byte(`{"of":3}`), Was: []byte(`{"of":0}`)}), ErrChanged)
	must(t, s.SaveIncident(ctx, Incident{ID: "shop-20260301-031502", Stack: "one/shop", State: "open", Opened: at, Document: []byte(`{"of":4}`), Was: []byte(`{"of":1}`)}))
	must(t, s.SaveIncident(ctx, Incident{ID: "shop-20260301-031502", Stack: "one/shop", State: "resolved", Opened: at, Resolved: at, Document: []byte(`{"of":1}`)}))
	i, err := s.Incident(ctx, "shop-20260301-031502")
	must(t, err)
	equal(t, `one/shop resolved {"of":1}`, fmt.Sprint(i.Stack, " ", i.State, " ", string(i.Document)))
}

// undelivered is how many deliveries of the stack are still to be made.
func undelivered(t *testing.T, s *Store) int {
	t.Helper()
	rows, err := collect(t.Context(), s.db, scanAny, `SELECT notification FROM deliveries WHERE stack = $1 AND delivered_at = 0`, stack)
	must(t, err)
	return len(rows)
}

// testOutboxDamaged: a notification that was damaged in the store keeps no other one from its way.
func testOutboxDamaged(t *testing.T, p place) {
	s := p.open(t)
	ctx := t.Context()
	for _, id := range []string{"n1", "n2"} {
		_, err := s.Enqueue(ctx, Notification{ID: id, Stack: stack, Incident: id, Tier: "devops", Kind: "escalated", Payload: []byte("help"), Created: at, Channels: []string{"slack"}})
		must(t, err)
	}
	_, err := s.db.ExecContext(ctx, `UPDATE outbox SET payload = $1 WHERE id = 'n1'`, []byte("damaged"))
	must(t, err)
	due, err := s.ClaimDue(ctx, stack, "slack", at, time.Minute, 0)
	must(t, err)
	if len(due) != 1 || due[0].ID != "n2" || string(due[0].Payload) != "help" {
		t.Errorf("claimed: %+v", due)
	}
	var said string
	must(t, s.db.QueryRowContext(ctx, `SELECT error FROM deliveries WHERE notification = 'n1'`).Scan(&said))
	if !strings.Contains(said, "unseal") {
		t.Errorf("what is wrong with it is not on record: %q", said)
	}
}

// testOutboxLine: what was never tried comes before what has failed; a delivery that a clock put off beyond all measure before
// it was set back is due; one that failed can be called again at once; an earlier message of an incident and tier is known.
func testOutboxLine(t *testing.T, p place) {
	s := p.open(t)
	ctx := t.Context()
	enqueue := func(id, incident, kind string, created time.Time) {
		t.Helper()
		_, err := s.Enqueue(ctx, Notification{ID: id, Stack: stack, Incident: incident, Tier: "devops", Kind: kind, Created: created, Channels: []string{"slack", "email"}})
		must(t, err)
	}
	claim := func(now time.Time, limit int) (ids []string) {
		t.Helper()
		due, err := s.ClaimDue(ctx, stack, "slack", now, 5*time.Minute, limit)
		must(t, err)
		for _, d := range due {
			ids = append(ids, d.ID)
		}
		return ids
	}
	enqueue("old", "i1", "escalated", at)
	equal(t, []string{"old"}, claim(at, 1))
	must(t, s.Retry(ctx, "old", "slack", "answered 503", at.Add(time.Second)))
	enqueue("new", "i2", "escalated", at.Add(time.Minute))
	equal(t, []string{"new"}, claim(at.Add(time.Minute), 1))
	equal(t, []string{"old"}, claim(at.Add(time.Minute), 1))

	must(t, s.Retry(ctx, "old", "slack", "answered 400", at.Add(time.Hour)))
	equal(t, nil, claim(at.Add(2*time.Minute), 1))
	must(t, s.RetryNow(ctx, stack, at.Add(2*time.Minute)))
	equal(t, []string{"old"}, claim(at.Add(2*time.Minute), 1))
	must(t, s.Delivered(ctx, "new", "slack", at))

	enqueue("ahead", "i3", "escalated", at.Add(8*time.Hour))
	equal(t, []string{"ahead"}, claim(at.Add(2*time.Minute), 1))

	enqueue("reminder", "i1", "reminded-1", at.Add(time.Minute))
	until, err := s.Behind(ctx, "reminder", "slack")
	must(t, err)
	equal(t, at.Add(7*time.Minute), until)
	until, err = s.Behind(ctx, "old", "slack")
	must(t, err)
	equal(t, time.Time{}, until)
	must(t, s.Delivered(ctx, "old", "slack", at))
	until, err = s.Behind(ctx, "reminder", "slack")
	must(t, err)
	equal(t, time.Time{}, until)
}

// testOutboxAtOnce: of many who ask for one escalation one gets it, and each delivery goes to one who claims.
func testOutboxAtOnce(t *testing.T, p place) {
	const workers = 6
	ctx := t.Context()
	queued := make([]int, workers)
	claimed := make([][]Delivery, workers)
	var wg sync.WaitGroup
	for w := range workers {
		s := p.open(t)
		wg.Go(func() {
			for i := range 20 {
				is, err := s.Enqueue(ctx, Notification{Stack: stack, Incident: fmt.Sprint(i), Tier: "devops", Kind: "escalated", Created: at, Channels: []string{"slack"}})
				if err != nil {
					t.Error(err)
				}
				queued[w] += int(flag(is))
				due, err := s.ClaimDue(ctx, stack, "slack", at, time.Hour, 3)
				if err != nil {
					t.Error(err)
				}
				claimed[w] = append(claimed[w], due...)
			}
		})
	}
	wg.Wait()
	total, seen := 0, map[string]bool{}
	for w := range workers {
		total += queued[w]
		for _, d := range claimed[w] {
			if seen[d.Incident] {
				t.Errorf("the notification of incident %s was claimed twice", d.Incident)
			}
			seen[d.Incident] = true
		}
	}
	equal(t, 20, total)
	equal(t, 20, len(seen))
}

// withoutChannels fills in what a delivery does not say again, so that it compares with its notification.
func withoutChannels(n Notification, all []Delivery) []Delivery {
	for i := range all {
		all[i].Channels = n.Channels
	}
	return all
}

func testSamples(t *testing.T, p place) {
	s := p.open(t)
	ctx := t.Context()
	var want []Sample
	for i := range 200 { // over three hours, in several writes
		v := Sample{Stack: stack, Service: "api", Probe: "http", At: at.Add(time.Duration(i) * time.Minute).Truncate(time.Millisecond),
			Latency: time.Duration(i) * 100 * time.Microsecond, Outcome: SampleOutcome(i % 3)}
		want = append(want, v)
	}
	must(t, s.AddSamples(ctx, want[:90]...))
	must(t, s.AddSamples(ctx, want[90:]...))
	must(t, s.AddSamples(ctx, want[90:]...)) // repeated after a lost answer
	must(t, s.AddSamples(ctx, Sample{Stack: stack, Service: "web", Probe: "tcp", At: at}))
	got, err := s.Samples(ctx, stack, "api", at.Add(time.Hour))
	must(t, err)
	equal(t, want[60:], got)
	series := []Sample{
		{Stack: stack, Service: "db", Probe: SeriesMemory, At: at.Truncate(time.Millisecond), Bytes: 3 << 40},
		{Stack: stack, Service: "db", Probe: SeriesVerdict, At: at.Add(time.Second).Truncate(time.Millisecond), Outcome: SampleFailure},
	}
	must(t, s.AddSamples(ctx, series...))
	got, err = s.Samples(ctx, stack, "db", at)
	must(t, err)
	equal(t, series, got)
	for minute := range 2 {
		var many []Sample
		for i := range 250 {
			many = append(many, Sample{Stack: stack, Service: fmt.Sprintf("s%d", i), Probe: "http", At: at.Add(time.Duration(minute) * time.Minute), Latency: time.Duration(i) * time.Microsecond})
		}
		must(t, s.AddSamples(ctx, many...))
	}
	for i := range 250 {
		got, err = s.Samples(ctx, stack, fmt.Sprintf("s%d", i), at)
		must(t, err)
		if len(got) != 2 || got[1].Latency != time.Duration(i)*time.Microsecond || got[1].At.Sub(got[0].At) != time.Minute {
			t.Fatalf("s%d: %v", i, got)
		}
	}
}

func testBaselines(t *testing.T, p place) {
	s := p.open(t)
	ctx := t.Context()
	old := Baseline{Stack: stack, Service: "postgres", Name: "rows", Value: json.RawMessage(`100`), Captured: at}
	rows := Baseline{Stack: stack, Service: "postgres", Name: "rows", Value: json.RawMessage(`120`), Captured: at.Add(time.Hour)}
	health := Baseline{Stack: stack, Service: "api", Name: "health", Value: json.RawMessage(`{"status":200}`), Captured: at}
	for _, b := range []Baseline{rows, old, health} {
		must(t, s.SaveBaseline(ctx, b))
	}
	got, err := s.Baselines(ctx, stack)
	must(t, err)
	equal(t, []Baseline{health, rows}, got)
	one, err := s.Baseline(ctx, stack, "postgres", "rows")
	must(t, err)
	equal(t, rows, one)
	_, err = s.Baseline(ctx, stack, "postgres", "nothing")
	is(t, err, ErrNotFound)
}

// testSealed looks for secrets in what is on disk, or in what the server returns.
func testSealed(t *testing.T, p place) {
	const secret = "correct-horse-battery"
	s := p.open(t)
	ctx := t.Context()
	payload, _ := json.Marshal(map[string]string{"POSTGRES_PASSWORD": secret})
	must(t, s.SaveRevision(ctx, Revision{Stack: stack, ID: "r1", Model: []byte("password: " + secret)}))
	must(t, s.Begin(ctx, lease(t, s), Attempt{ID: "a1", Stack: stack, Payload: payload}))
	must(t, s.AddEvidence(ctx, Evidence{Stack: stack, Incident: "i1", Data: []byte(secret)}))
	_, err := s.Enqueue(ctx, Notification{Stack: stack, Incident: "i1", Payload: []byte(secret)})
	must(t, err)
	key, err := os.ReadFile(filepath.Join(p.StateDir, "key"))
	must(t, err)
	for what, content := range p.contents(t, s) {
		if bytes.Contains(content, []byte(secret)) || bytes.Contains(content, bytes.TrimSpace(key)) {
			t.Errorf("%s holds a secret in the clear", what)
		}
		if what == "composure.db-wal" && len(content) == 0 {
			t.Error("looked at nothing")
		}
	}
	// A row's secret does not open in another row.
	must(t, s.exec(ctx, "swap", `UPDATE revisions SET id = 'r2'`))
	_, err = s.LastRevision(ctx, stack)
	is(t, err, ErrKey)
}

// contents returns what an outsider sees: the files of SQLite, the rows of PostgreSQL.
func (p place) contents(t *testing.T, s *Store) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	if p.URL == "" {
		files, err := filepath.Glob(filepath.Join(p.StateDir, "composure.db*"))
		must(t, err)
		for _, f := range files {
			all[filepath.Base(f)], err = os.ReadFile(f)
			must(t, err)
		}
		return all
	}
	for _, table := range []string{"meta", "revisions", "attempts", "evidence", "outbox"} {
		rows, err := collect(t.Context(), s.db, scanAny, `SELECT * FROM `+table)
		must(t, err)
		if len(rows) == 0 {
			t.Errorf("%s is empty", table)
		}
		all[table] = fmt.Appendf(nil, "%s", rows)
	}
	return all
}

func testRetention(t *testing.T, p place) {
	s := p.open(t)
	ctx := t.Context()
	now := at.Add(100 * day)
	fillForRetention(t, s, now)
	none, err := s.Prune(ctx, Retention{}, now)
	must(t, err)
	equal(t, 0, none)
	_, err = s.Prune(ctx, Retention{Incidents: 50 * day, MaxIncidents: 1, Attempts: 50 * day, MaxAttempts: 1, MaxRevisions: 1, Evidence: 50 * day,
		EvidenceBytes: 1 << 20, Samples: 4 * time.Hour, MaxSamples: 2, MaxBaselines: 2, EndedOverrides: day}, now)
	must(t, err)

	for query, want := range map[string][]string{
		`SELECT id FROM incidents ORDER BY id`:                      {"i1", "i3"},
		`SELECT incident FROM incident_events ORDER BY incident`:    {"i1", "i3"},
		`SELECT incident FROM evidence ORDER BY incident`:           {"i3"}, // of the resolved one it is too old
		`SELECT incident FROM outbox ORDER BY incident`:             {"i0", "i1", "i3"},
		`SELECT notification FROM deliveries ORDER BY notification`: {"ni0", "ni1", "ni3"}, // i0's was never delivered
		`SELECT id FROM attempts ORDER BY id`:                       {"ai3", "open"},
		`SELECT id FROM revisions ORDER BY seq`:                     {"r3", "r5"}, // the last one, which is stable as the one before, and what that could go back to
		`SELECT service FROM revision_services`:                     {"api", "api"},
		`SELECT service FROM samples`:                               {"api", "api"},
		`SELECT name FROM baselines`:                                {"rows", "rows"},
		`SELECT kind FROM overrides`:                                {"forever"},
	} {
		rows, err := collect(ctx, s.db, scanAny, query)
		must(t, err)
		var got []string
		for _, r := range rows {
			got = append(got, fmt.Sprint(r[0]))
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: got %v, want %v", query, got, want)
		}
	}
	_, err = s.Prune(ctx, Retention{EvidenceBytes: 1}, now)
	must(t, err)
	left, err := s.EvidenceOf(ctx, "i3")
	must(t, err)
	equal(t, 0, len(left))
}

const day = 24 * time.Hour

// fillForRetention makes four incidents (resolved long ago, resolved lately, resolved before that one, open) with what
// belongs to them, and six of everything else.
func fillForRetention(t *testing.T, s *Store, now time.Time) {
	t.Helper()
	ctx := t.Context()
	l := lease(t, s)
	for i, resolved := range []time.Time{at.Add(day), now.Add(-day), now.Add(-2 * day), {}} {
		id := fmt.Sprintf("i%d", i)
		must(t, s.SaveIncident(ctx, Incident{ID: id, Stack: stack, Opened: at, Resolved: resolved}))
		must(t, s.AddEvents(ctx, Event{Incident: id, At: at}))
		must(t, s.AddEvidence(ctx, Evidence{ID: "v" + id, Incident: id, At: at.Add(time.Duration(i)), Data: []byte("evidence")}))
		_, err := s.Enqueue(ctx, Notification{ID: "n" + id, Stack: stack, Incident: id, Created: at, Channels: []string{"slack"}})
		must(t, err)
		if i > 0 {
			must(t, s.Delivered(ctx, "n"+id, "slack", at))
		}
		must(t, s.Begin(ctx, l, Attempt{ID: "a" + id, Stack: stack, Incident: id, StartedAt: at}))
		must(t, s.Verdict(ctx, l, "a"+id, "failed", at))
	}
	must(t, s.Begin(ctx, l, Attempt{ID: "open", Stack: stack, Service: "api", StartedAt: at}))
	must(t, s.Begin(ctx, l, Attempt{ID: "closed", Stack: stack, Service: "db", StartedAt: at}))
	must(t, s.CloseAttempts(ctx, stack, "db", "recovered", at.Add(time.Hour)))
	must(t, s.Begin(ctx, l, Attempt{ID: "network", Stack: stack, StartedAt: at}))
	for i := range 6 {
		must(t, s.SaveRevision(ctx, Revision{Stack: stack, ID: fmt.Sprintf("r%d", i), Services: []ServiceRevision{{Service: "api", ConfigHash: fmt.Sprint(i / 4)}}}))
		must(t, s.SaveBaseline(ctx, Baseline{Stack: stack, Service: "db", Name: "rows", Captured: at.Add(time.Duration(i) * time.Hour)}))
		must(t, s.AddSamples(ctx, Sample{Stack: stack, Service: "api", Probe: "http", At: now.Add(-time.Duration(i) * time.Hour)}))
		if i == 1 || i == 4 {
			must(t, s.MarkStable(ctx, stack, "api", fmt.Sprintf("r%d", i), at))
		}
	}
	must(t, s.SetOverride(ctx, Override{Stack: stack, Kind: "old", Created: at}))
	must(t, s.EndOverride(ctx, stack, "", "old", "", "ops", at))
	must(t, s.SetOverride(ctx, Override{Stack: stack, Kind: "over", Created: at, Until: at.Add(time.Hour)})) // nobody has ended it
	must(t, s.SetOverride(ctx, Override{Stack: stack, Kind: "forever", Created: at}))
}
