package main

import (
	"strings"
	"testing"
	"time"

	"composure/controller/store"
	"composure/test/simengine"
)

// command runs a command as a person at a terminal beside the remediator, and wants it to work.
func (w *world) command(args ...string) {
	w.t.Helper()
	if err := w.try(args...); err != nil {
		w.t.Fatalf("composure %q: %v", args, err)
	}
}

// try runs a command that may fail.
func (w *world) try(args ...string) error {
	root := newRoot(w.someone())
	root.SetArgs(append([]string{"-f", w.app.files[0], "--state-dir", w.app.stateDir, "-H", w.app.host}, args...))
	return root.ExecuteContext(w.ctx)
}

// TestVirtualPausedAtOnce: a pause holds from the moment at which it was recorded, not only from the next look on.
func TestVirtualPausedAtOnce(t *testing.T) {
	virtually(t, shop, func(w *world) {
		w.command("pause", "worker", "--reason", "a migration")
		w.sim.Remove("worker")
		w.sleep(time.Hour)
		if calls := w.sim.Calls(); len(calls) > 0 {
			t.Errorf("touched although it is paused: %q", calls)
		}
		w.command("resume", "worker")
		w.until(2*time.Minute, "it runs again", w.well)
	})
}

// TestVirtualPausedInBackoff: who pauses the stack a moment before the next try has prevented it.
func TestVirtualPausedInBackoff(t *testing.T) {
	virtually(t, shop, func(w *world) {
		w.sick("api")
		w.until(5*time.Minute, "two attempts, and a backoff", func() bool { return w.rungs("api") == 2 && time.Until(w.plan().Wake()) > 5*time.Second })
		w.sleep(time.Until(w.plan().Wake()) - time.Second)
		tried := w.rungs("api")
		w.command("pause")
		w.sleep(time.Hour)
		if n := w.rungs("api"); n != tried {
			t.Errorf("%d attempts although it was paused after %d", n, tried)
		}
	})
}

// busy is a stack in which a job is in flight at any moment: two services that are never well take turns to be restarted, and
// take a minute to stop.
func busy(w *world) {
	for _, service := range []string{"api", "worker"} {
		w.sim.Behave(service, func(simengine.Start) simengine.Behaviour {
			return simengine.Behaviour{Healthy: func(time.Duration) bool { return false }, StopTakes: 55 * time.Second}
		})
	}
	w.sim.Now("api", simengine.Behaviour{Healthy: func(time.Duration) bool { return false }, StopTakes: 55 * time.Second})
	w.until(5*time.Minute, "the api is being restarted", func() bool { return w.calls("restart shop-api-1") == 1 })
	w.sleep(10 * time.Second)
	w.sim.Now("worker", simengine.Behaviour{Healthy: func(time.Duration) bool { return false }, StopTakes: 55 * time.Second})
	w.until(5*time.Minute, "the worker is being restarted", func() bool { return w.calls("restart shop-worker-1") == 1 })
}

// neverWell lets the ladder restart gracefully for ever, without a pause.
func neverWell(shop string) string {
	shop = strings.Replace(shop, "name: shop\n", "name: shop\nx-composure: {remediation: {ladder: [graceful, escalate], attempts: 100, backoff: {initial: 1s, factor: 1, max: 1s}}}\n", 1)
	return strings.Replace(shop, "image: sim/worker:1\n", "image: sim/worker:1\n    healthcheck: {test: [CMD, check], interval: 10s, timeout: 2s, retries: 3}\n", 1)
}

// TestVirtualCommandBetweenJobs: the jobs of the remediator follow one another so closely that one is always in flight. A command
// that asks for the stack gets it after those that are: nothing new is begun, which the plan says.
func TestVirtualCommandBetweenJobs(t *testing.T) {
	virtually(t, neverWell(shop), func(w *world) {
		busy(w)
		began := time.Now()
		var said sharedBuffer
		someone := w.someone()
		someone.stderr = &said
		ended := make(chan error, 1)
		go func() {
			root := newRoot(someone)
			root.SetArgs([]string{"-f", w.app.files[0], "--state-dir", w.app.stateDir, "-H", w.app.host, "restart", "web"})
			ended <- root.ExecuteContext(w.ctx)
		}()
		w.until(2*time.Minute, "the plan says who asks", func() bool { return strings.Contains(w.plan().String(), "`composure restart web` first") })
		w.until(2*time.Minute, "it is done", func() bool { return len(ended) > 0 })
		if err := <-ended; err != nil {
			t.Errorf("the command ended with %v", err)
		}
		if took := time.Since(began); took > 90*time.Second { // 55 s for what was in flight, ten for the verdict
			t.Errorf("it took %s", took)
		}
		if !strings.Contains(said.String(), "waiting for the running remediator") {
			t.Errorf("who waits was not told why: %q", said.String())
		}
		if w.calls("restart shop-web-1") != 1 {
			t.Errorf("the command did not act: %q", w.sim.Calls())
		}
		before := w.calls("restart shop-api-1") + w.calls("restart shop-worker-1")
		w.until(3*time.Minute, "the remediator goes on", func() bool {
			return w.calls("restart shop-api-1")+w.calls("restart shop-worker-1") > before
		})
		for _, service := range []string{"api", "worker"} {
			w.sim.Behave(service, func(simengine.Start) simengine.Behaviour { return simengine.Behaviour{} })
		}
		w.until(10*time.Minute, "all is well", w.well)
	})
}

// TestVirtualDeadAsker: a command that asked for the stack and died keeps it for seconds.
func TestVirtualDeadAsker(t *testing.T) {
	virtually(t, neverWell(shop), func(w *world) {
		db, err := w.app.openStore(w.ctx) // of its own, as another process
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		m := &memory{Store: db, key: w.mem.stack, owner: store.ThisProcess("restart api")}
		if err := m.ask(w.ctx, time.Now()); err != nil {
			t.Fatal(err)
		}
		w.sleep(2 * time.Second)
		w.sim.Stop("worker", 1)
		w.sleep(5 * time.Second)
		if w.sim.Of("worker")[0].State.Running {
			t.Fatal("the stack was not given to who asked for it")
		}
		w.until(20*time.Second, "the worker is started again", func() bool { return w.sim.Of("worker")[0].State.Running })
	})
}

// TestVirtualPausedDown: the stack is paused and taken down with its volumes. Nothing comes back while it is: not even an empty
// volume, which somebody may be putting back.
func TestVirtualPausedDown(t *testing.T) {
	virtually(t, shop, func(w *world) {
		w.sleep(10 * time.Minute)
		w.command("pause", "--reason", "a restore")
		for _, service := range []string{"web", "worker", "api", "migrate", "postgres"} {
			w.sim.Remove(service)
		}
		networks, err := w.mem.eng.Networks(w.ctx, "shop")
		if err != nil || len(networks) != 1 {
			t.Fatal(networks, err)
		}
		if err := w.mem.eng.RemoveNetwork(w.ctx, networks[0].ID, w.last.File.Networks[0]); err != nil {
			t.Fatal(err)
		}
		w.sim.RemoveVolume("shop_data")
		w.sleep(20 * time.Minute)
		if w.calls("create ") > 0 {
			t.Errorf("the paused stack was touched: %q", w.sim.Calls())
		}
		w.command("resume")
		w.until(10*time.Minute, "all of it is back", w.well)
	})
}

// refused runs a command that must not work, and says how long it took.
func (w *world) refused(args ...string) time.Duration {
	w.t.Helper()
	began, root := time.Now(), newRoot(w.someone())
	root.SetArgs(append([]string{"-f", w.app.files[0], "--state-dir", w.app.stateDir, "-H", w.app.host}, args...))
	if err := root.ExecuteContext(w.ctx); err == nil {
		w.t.Errorf("composure %q worked", args)
	}
	return time.Since(began)
}

// TestVirtualRestartPaused: who restarts a service whose container somebody has paused is told so at once, and nothing is done.
func TestVirtualRestartPaused(t *testing.T) {
	virtually(t, shop, func(w *world) {
		if err := w.sim.ByHand("shop-web-1", "pause", ""); err != nil {
			t.Fatal(err)
		}
		for _, rung := range []string{"--graceful", "--hard"} {
			if took := w.refused("restart", "web", rung); took > time.Minute {
				t.Errorf("restart %s took %s", rung, took)
			}
		}
		if calls := w.sim.Calls(); len(calls) > 0 {
			t.Errorf("a paused container was touched: %q", calls)
		}
	})
}

// TestVirtualRollbackRefused: a rollback that the engine refuses ends with its reason, and not with its time: it is a command, and no
// remediator that goes on trying.
func TestVirtualRollbackRefused(t *testing.T) {
	virtually(t, shop, func(w *world) {
		w.sleep(12 * time.Minute) // the first version is proven
		w.edit("web:\n    image: sim/web:1", "web:\n    image: sim/api:1")
		w.command("reconcile", "--once")
		w.sim.FaultFor(time.Hour, "POST", "/containers/create$")
		if took := w.refused("rollback", "web"); took > time.Minute {
			t.Errorf("it took %s", took)
		}
	})
}
