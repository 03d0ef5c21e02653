package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"composure/controller/store"
)

func TestTidyFiles(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	for age := range 6 {
		path := filepath.Join(dir, fmt.Sprint(age))
		write(t, path, "x")
		at := now.Add(-time.Duration(age) * time.Hour)
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	if n := tidyFiles(dir, now.Add(-4*time.Hour-time.Minute), 3); n != 3 { // one too old, two too many
		t.Errorf("removed %d", n)
	}
	left, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(left) != 3 || filepath.Base(left[2]) != "2" {
		t.Errorf("left %v, %v", left, err)
	}
	if n := tidyFiles(filepath.Join(dir, "missing"), now, 1); n != 0 {
		t.Errorf("removed %d from nowhere", n)
	}
}

// TestVirtualRetention: an incident that is older than what is kept goes, one that is not stays.
func TestVirtualRetention(t *testing.T) {
	virtually(t, shop, func(w *world) {
		const day = 24 * time.Hour
		for id, age := range map[string]time.Duration{"old": 400 * day, "young": 300 * day} {
			at := time.Now().Add(-age)
			row := store.Incident{ID: id, Service: "web", Cause: "crash_loop", State: "resolved", Opened: at, Resolved: at.Add(time.Hour), Document: []byte("{}")}
			if err := w.mem.SaveIncident(w.ctx, row); err != nil {
				t.Fatal(err)
			}
		}
		w.sleep(2 * time.Hour)
		rows, err := w.mem.Store().Incidents(w.ctx, store.IncidentFilter{Stack: w.mem.stack})
		if err != nil || len(rows) != 1 || rows[0].ID != "young" {
			t.Errorf("left %+v, %v", rows, err)
		}
	})
}

// TestVirtualKeptImages: the image of a proven revision is kept by a tag, for as long as the revision is in the history.
func TestVirtualKeptImages(t *testing.T) {
	auto := deployAuto(shop)
	virtually(t, auto, func(w *world) {
		kept := func(service, image string) bool {
			tags, err := w.mem.eng.Tags(w.ctx, "composure-kept/*")
			if err != nil {
				w.t.Fatal(err)
			}
			return slices.Contains(tags, keptImage("shop", store.ServiceRevision{Service: service, ImageID: w.sim.IDOf(image)}))
		}
		w.sleep(12 * time.Minute)
		if !kept("web", "sim/web:1") {
			w.t.Fatal("the image of a proven revision is not kept")
		}
		foreign := "composure-kept/shop-eu-web:0123456789ab"
		if err := w.mem.eng.Tag(w.ctx, "sim/web:1", foreign); err != nil {
			w.t.Fatal(err)
		}
		forgotten := keptImage("shop", store.ServiceRevision{Service: "web", ImageID: w.sim.IDOf("sim/worker:1")})
		if err := w.mem.eng.Tag(w.ctx, "sim/worker:1", forgotten); err != nil {
			w.t.Fatal(err)
		}
		w.edit("  web:\n    image: sim/web:1", "  web:\n    image: sim/api:1")
		w.until(30*time.Minute, "the second version is proven", func() bool { return kept("web", "sim/api:1") })
		if n, err := w.mem.untag(w.ctx); n != 1 || err != nil {
			w.t.Errorf("%d let go, %v", n, err)
		}
		if kept("web", "sim/worker:1") {
			w.t.Error("an image of a revision that is in the history no longer is kept")
		}
		if !kept("web", "sim/web:1") {
			w.t.Error("an image to which a rollback could go was let go")
		}
		if tags, err := w.mem.eng.Tags(w.ctx, "composure-kept/shop-eu*"); err != nil || !slices.Contains(tags, foreign) {
			w.t.Errorf("the tag of another project was taken: %v, %v", tags, err)
		}
		if !kept("web", "sim/api:1") || !kept("postgres", "sim/db:1") {
			w.t.Error("what runs, or a rollback could go to, was let go")
		}
	})
}
