package main

import (
	"os"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"composure/controller/plan"
	"composure/test/simengine"
)

// TestVirtualBrokenDeployment: a file edit that is deployed by itself, and whose container crashes, ends with the old one.
func TestVirtualBrokenDeployment(t *testing.T) {
	auto := deployAuto(shop)
	virtually(t, auto, func(w *world) {
		before := w.sim.Of("web")[0].ID
		w.sim.Behave("web", func(s simengine.Start) simengine.Behaviour {
			if s.Image == w.sim.IDOf("sim/worker:1") {
				return simengine.Behaviour{ExitAfter: time.Second, ExitCode: 1}
			}
			return simengine.Behaviour{}
		})
		edited := strings.Replace(auto, "image: sim/web:1", "image: sim/worker:1", 1)
		if err := os.WriteFile(w.app.files[0], []byte(edited), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := w.ctl.Reload(w.ctx); err != nil {
			t.Fatal(err)
		}
		w.until(2*time.Minute, "the new container is tried", func() bool { return w.calls("create shop-web-1.") > 0 })
		w.sleep(2 * time.Minute)
		w.until(10*time.Minute, "the old container runs again", func() bool { return w.well() && w.sim.Of("web")[0].ID == before })
		tried := w.calls("create shop-web-1.")
		w.sleep(time.Hour)
		if w.calls("create shop-web-1.") != tried || !w.well() || w.sim.Of("web")[0].ID != before {
			t.Errorf("the broken file was deployed again: %d, then %d times", tried, w.calls("create shop-web-1."))
		}
	})
}

// TestVirtualBadDeployment: a version that falls ill minutes after its deployment is rolled back at once, without a
// restart that cannot help; the incident keeps its root cause, and nothing goes forward again by itself.
func TestVirtualBadDeployment(t *testing.T) {
	auto := checkedAuto(shop)
	virtually(t, auto, func(w *world) {
		w.sleep(10 * time.Minute) // the first version is proven
		proven, next := w.fallsIll()
		edited := strings.Replace(auto, "image: sim/web:1", "image: sim/worker:1", 1)
		if err := os.WriteFile(w.app.files[0], []byte(edited), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := w.ctl.Reload(w.ctx); err != nil {
			t.Fatal(err)
		}
		runs := func(image string) bool { return w.well() && w.sim.Of("web")[0].Image == image }
		w.until(2*time.Minute, "the new version runs", func() bool { return runs(next) })
		w.until(10*time.Minute, "the proven version runs again", func() bool { return runs(proven) })
		w.until(15*time.Minute, "it is resolved", func() bool { return len(w.open()) == 0 })
		w.sleep(2 * time.Hour)
		if n := w.calls("restart shop-web-1"); n != 0 || w.rungs("web") != 0 {
			t.Errorf("%d restarts, %d attempts: a restart cannot help against a bad deployment", n, w.rungs("web"))
		}
		if all := w.all(); len(all) != 1 || all[0].Cause != "bad_deployment" || all[0].Service != "web" {
			t.Errorf("expected one incident, bad_deployment")
		}
		if !runs(proven) {
			t.Error("it went forward again by itself")
		}
	})
}

// TestVirtualPausedDeployment: a file that is deployed by itself waits for who has paused a container, or the stack.
func TestVirtualPausedDeployment(t *testing.T) {
	auto := deployAuto(shop)
	virtually(t, auto, func(w *world) {
		if err := w.sim.ByHand("shop-web-1", "pause", ""); err != nil {
			t.Fatal(err)
		}
		edited := strings.Replace(auto, "image: sim/web:1", "image: sim/worker:1", 1)
		if err := os.WriteFile(w.app.files[0], []byte(edited), 0o600); err != nil {
			t.Fatal(err)
		}
		w.sleep(10 * time.Minute)
		if calls := w.sim.Calls(); len(calls) > 0 {
			t.Errorf("a paused container was touched: %q", calls)
		}
		if err := w.sim.ByHand("shop-web-1", "unpause", ""); err != nil {
			t.Fatal(err)
		}
		w.until(5*time.Minute, "the file is deployed", func() bool {
			return w.well() && w.sim.Of("web")[0].Image == w.sim.IDOf("sim/worker:1")
		})
	})
}

// TestVirtualPartlyDeployed: a deployment of one service leaves what else was edited pending: the remediator neither applies
// it nor takes the deployed one back.
func TestVirtualPartlyDeployed(t *testing.T) {
	virtually(t, shop, func(w *world) {
		edited := strings.Replace(shop, "image: sim/web:1", "image: sim/api:1", 1)
		edited = strings.Replace(edited, "image: sim/worker:1", "image: sim/web:1", 1)
		if err := os.WriteFile(w.app.files[0], []byte(edited), 0o600); err != nil {
			w.t.Fatal(err)
		}
		runs := func(service, image string) bool { return w.well() && w.sim.Of(service)[0].Image == w.sim.IDOf(image) }
		if err := w.someone().reconcileOnce(w.ctx, reconcileFlags{timeout: 10 * time.Minute, format: "text", noDeps: true}, []string{"web"}); err != nil {
			w.t.Fatal(err)
		}
		w.sleep(time.Hour)
		if !runs("web", "sim/api:1") || !runs("worker", "sim/worker:1") || w.calls("shop-worker-1") != 0 {
			w.t.Errorf("only web was deployed; calls: %q", w.sim.Calls())
		}
		if err := w.sim.ByHand("shop-worker-1", "remove", ""); err != nil {
			w.t.Fatal(err)
		}
		w.until(10*time.Minute, "the worker is back as it was applied", func() bool { return runs("worker", "sim/worker:1") })
		if err := w.someone().reconcileOnce(w.ctx, reconcileFlags{timeout: 10 * time.Minute, format: "text"}, nil); err != nil {
			w.t.Fatal(err)
		}
		w.until(time.Minute, "the whole file is deployed", func() bool { return runs("web", "sim/api:1") && runs("worker", "sim/web:1") })
	})
}

// TestVirtualReleasedRollback: a deployment of the same file while a service is rolled back leaves on record what the file
// means, so that the release brings that.
func TestVirtualReleasedRollback(t *testing.T) {
	checked := strings.Replace(shop, "image: sim/web:1\n", "image: sim/web:1\n    healthcheck: {test: [CMD, check], interval: 10s, timeout: 2s, retries: 3}\n", 1)
	virtually(t, checked, func(w *world) {
		w.sleep(12 * time.Minute) // the first version is proven
		proven, next := w.sim.IDOf("sim/web:1"), w.sim.IDOf("sim/worker:1")
		var cured atomic.Bool
		w.sim.Behave("web", func(s simengine.Start) simengine.Behaviour {
			if s.Image == next {
				return simengine.Behaviour{Healthy: func(up time.Duration) bool { return cured.Load() || up < 3*time.Minute }}
			}
			return simengine.Behaviour{}
		})
		w.edit("image: sim/web:1", "image: sim/worker:1")
		deploy := func() {
			w.t.Helper()
			if err := w.someone().reconcileOnce(w.ctx, reconcileFlags{timeout: 10 * time.Minute, format: "text"}, nil); err != nil {
				w.t.Fatal(err)
			}
		}
		runs := func(image string) bool { return w.well() && w.sim.Of("web")[0].Image == image }
		deploy()
		w.until(30*time.Minute, "the proven version runs again", func() bool { return runs(proven) })
		w.until(30*time.Minute, "it is resolved", func() bool { return len(w.open()) == 0 })
		deploy()
		if !runs(proven) {
			w.t.Fatal("a deployment of the same file fought the rollback")
		}
		cured.Store(true)
		if err := w.mem.EndOverride(w.ctx, "web", overrideRollback, "", "test", time.Now()); err != nil {
			w.t.Fatal(err)
		}
		w.until(30*time.Minute, "the file's version runs", func() bool { return runs(next) })
	})
}

// TestVirtualTouchedFile: a file that is read again and says what is applied is no deployment. What was rolled back stays so, also
// when another service is deployed.
func TestVirtualTouchedFile(t *testing.T) {
	auto := checkedAuto(shop)
	virtually(t, auto, func(w *world) {
		w.sleep(10 * time.Minute) // the first version is proven
		proven, next := w.fallsIll()
		touch := func() {
			w.t.Helper()
			reads := w.log.count("the compose files were read again")
			written(w.t, w.app.files[0])
			w.until(time.Minute, "the file is read again", func() bool { return w.log.count("the compose files were read again") > reads })
			w.sleep(5 * time.Minute)
		}
		deployed := w.log.count("deployed")
		touch()
		if w.log.count("deployed") != deployed {
			t.Error("a file that was touched was deployed")
		}
		w.edit("image: sim/web:1", "image: sim/worker:1")
		runs := func(image string) bool { return w.well() && w.sim.Of("web")[0].Image == image }
		w.until(2*time.Minute, "the new version runs", func() bool { return runs(next) })
		w.until(10*time.Minute, "the proven version runs again", func() bool { return runs(proven) })
		w.until(15*time.Minute, "it is resolved", func() bool { return len(w.open()) == 0 })
		w.sim.ForgetCalls()
		touch()
		if calls := w.sim.Calls(); len(calls) > 0 || !runs(proven) {
			t.Errorf("it went forward again: %q", calls)
		}
		w.edit("  worker:\n    image: sim/worker:1", "  worker:\n    image: sim/api:1")
		w.until(5*time.Minute, "the edit of another service is deployed", func() bool { return runs(proven) && w.sim.Of("worker")[0].Image == w.sim.IDOf("sim/api:1") })
		w.sleep(time.Hour)
		if w.calls("shop-web-1") > 0 || !runs(proven) {
			t.Errorf("the deployment undid the rollback of another service: %q", w.sim.Calls())
		}
	})
}

// fallsIll has another version of web, whose image is next, fall ill three minutes after each start.
func (w *world) fallsIll() (proven, next string) {
	proven, next = w.sim.IDOf("sim/web:1"), w.sim.IDOf("sim/worker:1")
	w.sim.Behave("web", func(s simengine.Start) simengine.Behaviour {
		if s.Image == next {
			return simengine.Behaviour{Healthy: func(up time.Duration) bool { return up < 3*time.Minute }}
		}
		return simengine.Behaviour{}
	})
	return proven, next
}

// TestVirtualPausedTrial: a person pauses the new container while it is on trial. A file that is deployed by itself does not resume
// it, and goes on when that person does.
func TestVirtualPausedTrial(t *testing.T) {
	auto := deployAuto(shop)
	virtually(t, auto, func(w *world) {
		w.sleep(10 * time.Minute)
		edited := strings.Replace(auto, "image: sim/web:1\n", "image: sim/web:1\n    environment: {EDITED: 'yes'}\n", 1)
		if err := os.WriteFile(w.app.files[0], []byte(edited), 0o600); err != nil {
			t.Fatal(err)
		}
		for w.calls("start ") == 0 {
			time.Sleep(100 * time.Millisecond)
		}
		time.Sleep(time.Second)
		if err := w.sim.ByHand("shop-web-1", "pause", ""); err != nil {
			t.Fatal(err)
		}
		w.sleep(20 * time.Minute)
		if w.calls("unpause") > 0 || w.calls("stop ") > 1 {
			t.Errorf("what a person has paused was touched: %q", w.sim.Calls())
		}
		if err := w.sim.ByHand("shop-web-1", "unpause", ""); err != nil {
			t.Fatal(err)
		}
		w.until(5*time.Minute, "the deployment goes on", func() bool { return w.well() && len(w.sim.Of("web")) == 1 })
	})
}

// TestVirtualRenamedProject: the files call the project by another name. That is another stack, for which this process has neither
// lease nor memory: nothing is done about it, which is said, and the stack that there is is looked after.
func TestVirtualRenamedProject(t *testing.T) {
	auto := deployAuto(shop)
	virtually(t, auto, func(w *world) {
		w.sleep(10 * time.Minute)
		if err := os.WriteFile(w.app.files[0], []byte(strings.Replace(auto, "name: shop\n", "name: store\n", 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		w.sleep(20 * time.Minute)
		if calls := w.sim.Calls(); len(calls) > 0 {
			t.Errorf("another stack was made: %q", calls)
		}
		if w.log.count(`this process looks after`) == 0 {
			t.Error("nothing was said of it")
		}
		w.sim.Remove("worker")
		w.until(5*time.Minute, "the stack is healed as before", w.well)
	})
}

// TestVirtualAdoptUnread: the containers of a stack that runs, and of which nothing is on record, cannot be read for a moment. It is
// there all the same, and is adopted as it is: an edited file is not deployed by that.
func TestVirtualAdoptUnread(t *testing.T) {
	virtually(t, shop, func(w *world) {
		w.stop()
		w.app.stateDir += "-of-another"
		w.edit("image: sim/web:1", "image: sim/worker:1")
		w.sim.Fault(simengine.Fault{Method: "GET", Path: regexp.MustCompile(`/containers/[^/]{20,}/json$`), To: 1, Kind: simengine.Error})
		w.start()
		w.sleep(10 * time.Minute)
		if calls := w.sim.Calls(); len(calls) > 0 {
			t.Errorf("a running stack was not adopted as it is: %q", calls)
		}
	})
}

// TestVirtualRebuiltNotProven: an image that was built anew while healing runs well. That says nothing for the image that was
// deployed, which did not: it is no way back.
func TestVirtualRebuiltNotProven(t *testing.T) {
	virtually(t, shop, func(w *world) {
		anew := w.sim.IDOf("sim/worker:1")
		if err := w.mem.Decide(w.ctx, plan.Decision{Service: "web", Kind: overrideRebuild, Value: anew, Reason: "a part is missing"}, time.Now()); err != nil {
			t.Fatal(err)
		}
		w.sleep(30 * time.Minute)
		last, err := w.mem.LastRevision(w.ctx)
		if err != nil || w.sim.Of("web")[0].Image != anew {
			t.Fatalf("the image that was built anew does not run: %v", err)
		}
		web, _ := revisionOfService(last, "web")
		worker, _ := revisionOfService(last, "worker")
		if !web.StableAt.IsZero() || worker.StableAt.IsZero() {
			t.Errorf("proven are %+v, %+v", web, worker)
		}
	})
}

// TestVirtualRollbackTo: a service is rolled back, and a person tries a version in between, which does not start. The rollback
// before is in force again: the service does not go forward to what it was taken back from.
func TestVirtualRollbackTo(t *testing.T) {
	virtually(t, shop, func(w *world) {
		deploy := func(old, new string) {
			w.edit("web:\n    image: sim/"+old, "web:\n    image: sim/"+new)
			if err := w.someone().reconcileOnce(w.ctx, reconcileFlags{timeout: 10 * time.Minute, format: "text"}, nil); err != nil {
				t.Fatal(err)
			}
		}
		deploy("web:1", "api:1")
		deploy("api:1", "worker:1")
		revisions, err := w.mem.Store().Revisions(w.ctx, w.mem.stack, 0)
		if err != nil {
			t.Fatal(err)
		}
		with := func(image string) string {
			for _, r := range revisions {
				if web, is := revisionOfService(r, "web"); is && web.ImageID == w.sim.IDOf(image) {
					return r.ID
				}
			}
			t.Fatalf("no revision with %s", image)
			return ""
		}
		w.command("rollback", "web", "--to", with("sim/web:1"))
		w.sim.Behave("web", func(s simengine.Start) simengine.Behaviour {
			if s.Image == w.sim.IDOf("sim/api:1") {
				return simengine.Behaviour{ExitAfter: time.Second, ExitCode: 1}
			}
			return simengine.Behaviour{}
		})
		root := newRoot(w.someone())
		root.SetArgs([]string{"-f", w.app.files[0], "--state-dir", w.app.stateDir, "-H", w.app.host, "rollback", "web", "--to", with("sim/api:1")})
		if err := root.ExecuteContext(w.ctx); err == nil {
			t.Error("the rollback to what does not start worked")
		}
		w.sleep(10 * time.Minute)
		if now := w.sim.RefOf(w.sim.Of("web")[0].Image); !w.well() || w.sim.Of("web")[0].Image != w.sim.IDOf("sim/web:1") {
			t.Errorf("it went on to %s", now)
		}
	})
}
