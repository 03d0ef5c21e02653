package main

import (
	"os"
	"strings"
	"testing"
	"time"

	"composure/spec"
)

// TestVirtualEngineAbsentAtStart: the engine died with everything on it, and Composure is started before it. That is one outage:
// said once, one incident, people are called once; when it answers, everything is brought back, and no budget has suffered.
func TestVirtualEngineAbsentAtStart(t *testing.T) {
	virtually(t, shop, func(w *world) {
		w.stop()
		w.sim.DaemonDies(time.Hour)
		w.sleep(time.Second)
		w.start()
		w.sleep(40 * time.Minute)
		open := w.open()
		if len(open) != 1 || open[0].Cause != "engine_unreachable" || len(open[0].Escalated) == 0 {
			t.Fatalf("no incident of the engine, or nobody was called")
		}
		w.stop() // killed or updated meanwhile: still one
		w.start()
		w.until(40*time.Minute, "all runs, and is resolved", func() bool { return w.well() && len(w.open()) == 0 })
		w.sleep(15 * time.Minute)
		if all := w.all(); len(all) != 1 {
			t.Errorf("%d incidents of one outage", len(all))
		}
		for tier := range open[0].Escalated {
			if n := w.escalations(tier); n != 1 {
				t.Errorf("%s was called %d times", tier, n)
			}
		}
		for _, service := range []string{"postgres", "api", "web", "worker"} {
			if n := w.rungs(service); n != 0 {
				t.Errorf("the outage cost %s %d attempts", service, n)
			}
		}
		if n := w.log.count("the engine cannot be observed"); n != 2 {
			t.Errorf("two processes said it %d times", n)
		}
		if n := w.log.count("the engine answers again"); n != 1 {
			t.Errorf("its return was said %d times", n)
		}
	})
}

// TestVirtualEngineNeverMet: the engine does not answer, and nobody knows which one it will be. The incident is opened all the
// same; it is that of the engine that answers, with whose memory it goes on.
func TestVirtualEngineNeverMet(t *testing.T) {
	for _, remembered := range []string{"", "ANOTHER"} {
		virtually(t, shop, func(w *world) {
			w.stop()
			s, err := w.app.openStore(w.ctx)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.NoteEngine(w.ctx, "unix:///simulated", remembered); err != nil {
				t.Fatal(err)
			}
			if remembered == "" {
				w.app.host = "unix:///elsewhere" // where it never answered
			}
			w.sim.DaemonDies(10 * time.Minute)
			w.sleep(time.Second)
			w.start()
			w.sleep(5 * time.Minute)
			open := w.open()
			if len(open) != 1 || open[0].Cause != "engine_unreachable" {
				t.Fatalf("no incident of the engine")
			}
			w.sleep(6 * time.Minute)
			w.mem = w.process.memory
			if want := "SIMULATED/shop"; w.mem.stack != want || w.log.count("going on with what is remembered of it") != 1 {
				t.Fatalf("it goes on with the memory of %s, expected %s", w.mem.stack, want)
			}
			w.until(10*time.Minute, "all runs, and is resolved", func() bool { return w.well() && len(w.open()) == 0 })
			if all := w.all(); len(all) != 1 || all[0].ID != open[0].ID {
				t.Errorf("the incident did not go with the engine: %d", len(all))
			}
			if id, err := s.EngineAt(w.ctx, w.app.host); err != nil || id != "SIMULATED" {
				t.Errorf("remembered: %q, %v", id, err)
			}
			for _, call := range w.sim.Calls() {
				if !strings.Contains(call, "start shop-") {
					t.Errorf("a stack that was only down was touched: %s", call)
				}
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestVirtualOtherEngine: another engine answers than the one that is remembered, after the file was edited. The file as it was
// read last goes on, and not as it was at the start.
func TestVirtualOtherEngine(t *testing.T) {
	virtually(t, shop, func(w *world) {
		w.stop()
		db, err := w.app.openStore(w.ctx)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if err := db.NoteEngine(w.ctx, "unix:///simulated", "ANOTHER"); err != nil {
			t.Fatal(err)
		}
		w.sim.DaemonDies(10 * time.Minute)
		w.sleep(time.Second)
		w.start()
		w.sleep(5 * time.Minute)
		edited := strings.Replace(deployAuto(shop), "image: sim/worker:1\n", "image: sim/worker:1\n    environment: {EDITED: 'yes'}\n", 1)
		if err := os.WriteFile(w.app.files[0], []byte(edited), 0o600); err != nil {
			t.Fatal(err)
		}
		w.until(time.Minute, "the file is read again", func() bool { return w.log.count("the compose files were read again") == 1 })
		w.sleep(time.Hour)
		if w.log.count("going on with what is remembered of it") != 1 {
			t.Fatal("the other engine was not met")
		}
		w.mem = w.process.memory
		c, err := w.last.File.Container(w.last.File.Service("worker"), 1, spec.Facts{})
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(strings.Join(c.Config.Env, " "), "EDITED=yes") {
			t.Errorf("the edit is forgotten: %q", c.Config.Env)
		}
	})
}
