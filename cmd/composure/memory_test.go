package main

import (
	"testing"
	"time"

	"composure/controller/plan"
	"composure/controller/store"
)

// TestBeginWithoutStore: a store that takes nothing any more, such as on a full disk, keeps a run from beginning anything,
// but not from ending a recreation that it began: the service would stay down.
func TestBeginWithoutStore(t *testing.T) {
	db, err := store.Open(t.Context(), store.Options{StateDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	m := &memory{Store: db, key: "stack", owner: store.ThisProcess("test"), lost: func(err error) { t.Error("lost:", err) }}
	job := func(kind string) plan.Job {
		return plan.Job{Key: "service/web/1", Service: "web", Kind: kind, Steps: []plan.Step{{Op: plan.Start, Target: "web"}}}
	}
	if _, err := m.Begin(t.Context(), job("recreate:1"), time.Now()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.stop)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"create:1", "recreate:1", "start"} {
		if _, err := m.Begin(t.Context(), job(kind), time.Now()); err == nil {
			t.Errorf("%s was begun", kind)
		}
	}
	for _, kind := range []string{"undo:1", "revert", "finish:1"} {
		id, err := m.Begin(t.Context(), job(kind), time.Now())
		if err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		if err := m.Finish(t.Context(), id, plan.Done, "", time.Now()); err != nil {
			t.Errorf("%s ended: %v", kind, err)
		}
	}
	fresh := &memory{Store: db, key: "stack", owner: store.ThisProcess("test")}
	if _, err := fresh.Begin(t.Context(), job("undo:1"), time.Now()); err == nil {
		t.Error("begun without the lease")
	}
}
