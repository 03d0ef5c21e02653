package main

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/go-connections/nat"

	"composure/controller/diagnose"
	"composure/controller/engine"
	"composure/controller/plan"
	"composure/controller/store"
	"composure/spec"
	"composure/test/simengine"
)

// killing is a remedy of which every step is struck: the process dies as by kill -9 before it, and another one takes over.
type killing struct {
	remedy  string // as plan or the table of causes names it
	kind    string // of the job that is struck, when the remedy is a decision that this job follows
	service string
	compose func(shop string) string
	prepare func(w *world) // comes before each fault, and is not struck
	fault   func(w *world) // makes what the remedy is for; it may be made again
	least   int            // steps
}

// killings has one entry for each remedy.
var killings = []killing{
	{remedy: "start", service: "worker", least: 1, fault: func(w *world) { w.sim.Stop("worker", 1) }},
	{remedy: "graceful", service: "api", least: 1, fault: func(w *world) { w.sim.Now("api", unhealthy) }},
	{remedy: "hard", service: "api", least: 7, compose: onlyHard, fault: func(w *world) { w.sim.Now("api", unhealthy) }},
	{remedy: "finish", service: "api", least: 1, compose: onlyHard, fault: func(w *world) { w.sim.Now("api", unhealthy) }},
	{remedy: "undo", service: "api", least: 6, compose: onlyHard, fault: func(w *world) {
		starts := 0 // the new container does not get well; the old one does when it is started again
		w.sim.Behave("api", func(simengine.Start) simengine.Behaviour {
			if starts++; starts == 1 {
				return unhealthy
			}
			return simengine.Behaviour{}
		})
		w.sim.Now("api", unhealthy)
	}},
	{remedy: "revert", service: "web", least: 5, compose: deployAuto, prepare: cutShort, fault: func(w *world) { w.start() }},
	{remedy: "create", service: "worker", least: 2, fault: func(w *world) { w.sim.Remove("worker") }},
	{remedy: "recreate", service: "web", least: 6, fault: func(w *world) { w.byHand("web", replaced) }},
	{remedy: "rename", service: "web", least: 1, fault: func(w *world) {
		w.byHand("web", func(eng *engine.Engine, c container.InspectResponse) error {
			return eng.Rename(w.ctx, c.ID, "elsewhere")
		})
	}},
	{remedy: "repair", service: "web", least: 2, compose: limited("64m", ""), fault: func(w *world) {
		w.byHand("web", func(eng *engine.Engine, c container.InspectResponse) error {
			less := container.UpdateConfig{Resources: container.Resources{Memory: 32 << 20, MemorySwap: 64 << 20}}
			return errors.Join(eng.Update(w.ctx, c.ID, less), eng.Disconnect(w.ctx, "shop_default", c.ID))
		})
	}},
	{remedy: "free_port", service: "web", least: 2, compose: publishing, fault: squat},
	{remedy: "raise_memory", kind: "repair", service: "web", least: 1, prepare: asInTheFile, compose: limited("8m", "x-composure: {memory: {raise_to: 1g}}"), fault: outgrow},
	{remedy: "rollback", kind: "recreate", service: "web", least: 6, compose: checkedAuto, prepare: badDeployment, fault: func(*world) {}},
}

// noSteps are the remedies that are not struck, and why.
var noSteps = map[string]string{
	"wait":           "nothing is done",
	"escalate":       "the incident is saved before people are called, and they are called again from it",
	"dependency":     "the remedies of the other service",
	"reconnect":      "repair",
	"rebuild":        "nothing acts on it yet",
	"terminate_idle": "one call that can be made again, to a server that is not simulated",
	"unpause":        "the deployment verb only",
	"restart":        "the deployment verb only",
}

// TestVirtualKilledEverywhere: every remedy has its killing.
func TestVirtualKilledEverywhere(t *testing.T) {
	struck := func(name string) bool {
		return slices.ContainsFunc(killings, func(k killing) bool { return k.remedy == name })
	}
	for _, name := range plan.Remedies() {
		if noSteps[name] == "" && !struck(name) {
			t.Errorf("the remedy %s is not struck: add it to the killings", name)
		}
	}
	for _, c := range diagnose.Causes() {
		for _, name := range c.Remedies {
			if noSteps[name] == "" && !struck(name) {
				t.Errorf("the remedy %s of %s is not struck: add it to the killings", name, c.Code)
			}
		}
	}
}

// everyRemedy runs a test of each remedy, on its stack.
func everyRemedy(t *testing.T, prepare func(*world), test func(*killing, *world)) {
	for _, k := range killings {
		t.Run(k.remedy, func(t *testing.T) {
			compose := shop
			if k.compose != nil {
				compose = k.compose(shop)
			}
			virtuallyWith(t, compose, prepare, func(w *world) { test(&k, w) })
		})
	}
}

// TestVirtualKilled: kill -9 before every step of every remedy, and after the last one before its outcome is on record.
// The next process ends what was begun: one container under the right name, one incident, the budget kept, nobody called
// twice, nothing else touched.
func TestVirtualKilled(t *testing.T) {
	everyRemedy(t, func(*world) {}, (*killing).everywhere)
}

// everywhere makes the fault again and again, and strikes one step further each time, until the remedy was not struck.
func (k *killing) everywhere(w *world) {
	w.sleep(12 * time.Minute) // what runs is proven
	for step, struck := 0, true; struck; step++ {
		before := len(w.all())
		if k.prepare != nil {
			k.prepare(w)
		}
		w.sim.ForgetCalls()
		s := w.strike(cmp.Or(k.kind, k.remedy), step)
		k.fault(w)
		w.until(time.Hour, "the remedy is struck, or through", func() bool {
			return s.died() || (s.steps() > 0 && w.well() && len(w.open()) == 0)
		})
		if struck = s.died(); struck {
			w.stop()
			w.start()
		} else if step <= k.least {
			w.t.Errorf("%d steps were struck, expected at least %d and the time after the last", step, k.least)
		}
		w.until(2*time.Hour, "all runs, and is resolved", func() bool { return w.well() && len(w.open()) == 0 })
		w.sleep(15 * time.Minute)
		k.check(w, step, before)
	}
}

// check is what must be true after any death.
func (k *killing) check(w *world, step, before int) {
	if !w.well() || len(w.open()) > 0 {
		w.t.Errorf("struck at step %d: it does not last", step)
	}
	fresh := w.all()[before:]
	if len(fresh) > 1 {
		w.t.Errorf("struck at step %d: %d incidents", step, len(fresh))
	}
	for _, i := range fresh {
		if i.Service != k.service || i.Actions > 3 {
			w.t.Errorf("struck at step %d: an incident of %s, %d attempts", step, i.Service, i.Actions)
		}
		for tier := range i.Escalated {
			n := w.log.count("incident=" + i.ID + " tier=" + string(tier) + " kind=escalated")
			if n > 1 || n == 0 && w.writes == nil { // else it may have died before it could log it
				w.t.Errorf("struck at step %d: %s was called %d times for one incident", step, tier, n)
			}
		}
	}
	if n := w.rungs(k.service); n != 0 {
		w.t.Errorf("struck at step %d: the budget is not whole again: %d attempts", step, n)
	}
	for _, call := range w.sim.Calls() {
		if !strings.Contains(call, "shop-"+k.service+"-1") && !strings.Contains(call, "squatter") && !strings.Contains(call, "elsewhere") {
			w.t.Errorf("struck at step %d: something else was touched: %s", step, call)
		}
	}
}

// strike is where the remediator is to die.
type strike struct {
	kind string // verb of the job
	at   int    // number of the step; one more than the steps: before the outcome is on record

	mu   sync.Mutex
	n    int // steps of that kind so far
	dead bool
}

func (s *strike) died() bool { s.mu.Lock(); defer s.mu.Unlock(); return s.dead }
func (s *strike) steps() int { s.mu.Lock(); defer s.mu.Unlock(); return s.n }

// hits says whether the process dies now: before a step, or after the last one of its job.
func (s *strike) hits(job plan.Job, after bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	kind, _, _ := strings.Cut(job.Kind, ":")
	if s.dead || kind != s.kind {
		return false
	}
	if s.dead = s.n == s.at; !s.dead && !after {
		s.n++
	}
	return s.dead
}

// strike has the remediator die at a step of a kind of job, from now on.
func (w *world) strike(kind string, at int) *strike {
	s := &strike{kind: kind, at: at}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.struck = s
	return s
}

// mortal lets the remediator die where it is to: nothing that it does from then on reaches the engine, its store or the
// log.
func (w *world) mortal(r *remediation, line *simengine.Line, log *processLog, end context.CancelFunc) {
	die := func(job plan.Job, after bool) {
		w.mu.Lock()
		s := w.struck
		w.mu.Unlock()
		if s == nil || !s.hits(job, after) {
			return
		}
		log.closed.Store(true)
		line.Cut()
		_ = r.memory.Store().Close()
		end()
		runtime.Goexit()
	}
	before := r.ctl.Actor.Before
	r.ctl.Actor.Before = func(job plan.Job, s plan.Step) { die(job, false); before(job, s) }
	r.ctl.Actor.After = func(job plan.Job, s plan.Step, _ error) {
		due := job.Due()
		if last := due[len(due)-1]; s.Op == last.Op && s.Target == last.Target {
			die(job, true)
		}
	}
}

// processLog is the log of one process.
type processLog struct {
	*journal
	closed atomic.Bool
}

// Handle implements slog.Handler.
func (l *processLog) Handle(ctx context.Context, r slog.Record) error {
	if l.closed.Load() {
		return nil
	}
	return l.journal.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (l *processLog) WithAttrs([]slog.Attr) slog.Handler { return l }

// WithGroup implements slog.Handler.
func (l *processLog) WithGroup(string) slog.Handler { return l }

// unhealthy is a process that no check finds well.
var unhealthy = simengine.Behaviour{Healthy: func(time.Duration) bool { return false }}

func onlyHard(shop string) string {
	return strings.Replace(shop, "  api:\n", "  api:\n    x-composure: {remediation: {ladder: [hard, escalate]}}\n", 1)
}

func deployAuto(shop string) string {
	return strings.Replace(shop, "name: shop\n", "name: shop\nx-composure: {deploy: auto}\n", 1)
}

func checkedAuto(shop string) string {
	return strings.Replace(deployAuto(shop), "image: sim/web:1\n", "image: sim/web:1\n    healthcheck: {test: [CMD, check], interval: 10s, timeout: 2s, retries: 3}\n", 1)
}

func publishing(shop string) string {
	shop = strings.Replace(shop, "name: shop\n", "name: shop\nx-composure: {stop_port_holders: [squatter]}\n", 1)
	return strings.Replace(shop, "image: sim/web:1\n", "image: sim/web:1\n    ports: ['127.0.0.1:8080:80']\n", 1)
}

func limited(memory, keys string) func(string) string {
	return func(shop string) string {
		return strings.Replace(shop, "  web:\n", "  web:\n    mem_limit: "+memory+"\n    "+keys+"\n", 1)
	}
}

// edit replaces text in the compose file. A remediator that runs reads it again.
func (w *world) edit(old, new string) {
	w.t.Helper()
	text, err := os.ReadFile(w.app.files[0])
	if err != nil || !strings.Contains(string(text), old) {
		w.t.Fatalf("the compose file has no %q: %v", old, err)
	}
	if err := os.WriteFile(w.app.files[0], []byte(strings.Replace(string(text), old, new, 1)), 0o600); err != nil {
		w.t.Fatal(err)
	}
	written(w.t, w.app.files[0])
}

// byHand changes a service's container while no remediator runs.
func (w *world) byHand(service string, change func(eng *engine.Engine, c container.InspectResponse) error) {
	w.t.Helper()
	w.stop()
	eng, err := engine.Connect(w.ctx, engine.Options{Host: "unix:///simulated", ConfigDir: w.t.TempDir(), Dial: w.sim.Dial})
	if err != nil {
		w.t.Fatal(err)
	}
	if err := errors.Join(change(eng, w.sim.Of(service)[0]), eng.Close()); err != nil {
		w.t.Fatal(err)
	}
	w.sim.ForgetCalls()
	w.start()
}

// replaced makes a container anew with one variable more.
func replaced(eng *engine.Engine, c container.InspectResponse) error {
	ctx := context.Background()
	config := *c.Config
	config.Env = append(slices.Clone(config.Env), "BY_HAND=1")
	name := strings.TrimPrefix(c.Name, "/")
	if err := eng.Remove(ctx, c.ID, true); err != nil {
		return err
	}
	id, err := eng.CreateContainer(ctx, name, spec.Container{Name: name, Config: &config, Host: c.HostConfig,
		Networks: []spec.Endpoint{{Network: "shop_default", Settings: &network.EndpointSettings{Aliases: []string{name, "web"}}}}})
	if err != nil {
		return err
	}
	return eng.Start(ctx, id)
}

// cutShort leaves a deployment whose new container runs, and whose old one is still there, when the file is taken back.
func cutShort(w *world) {
	s := w.strike("finish", 0)
	w.edit("image: sim/web:1", "image: sim/worker:1")
	if _, err := w.ctl.Reload(w.ctx); err != nil {
		w.t.Fatal(err)
	}
	w.until(10*time.Minute, "the deployment is cut short", s.died)
	w.stop()
	w.edit("image: sim/worker:1", "image: sim/web:1")
}

// squat stops web, and gives its port to a container outside the stack.
func squat(w *world) {
	w.sim.Behave("web", func(simengine.Start) simengine.Behaviour {
		if w.sim.Runs("squatter") {
			return simengine.Behaviour{StartError: "driver failed programming external connectivity on endpoint shop-web-1: Bind for 127.0.0.1:8080 failed: port is already allocated"}
		}
		return simengine.Behaviour{}
	})
	w.byHand("web", func(eng *engine.Engine, _ container.InspectResponse) error {
		w.sim.Stop("web", 0)
		if squatter, err := eng.Container(w.ctx, "squatter"); err == nil {
			return eng.Start(w.ctx, squatter.ID)
		}
		id, err := eng.CreateContainer(w.ctx, "squatter", spec.Container{
			Config: &container.Config{Image: "sim/worker:1"},
			Host:   &container.HostConfig{PortBindings: nat.PortMap{"80/tcp": {{HostIP: "127.0.0.1", HostPort: "8080"}}}},
		})
		if err != nil {
			return err
		}
		return eng.Start(w.ctx, id)
	})
}

// asInTheFile ends the higher limit that came of the last time.
func asInTheFile(w *world) {
	w.sim.Behave("web", func(simengine.Start) simengine.Behaviour { return simengine.Behaviour{} })
	err := w.mem.Store().EndOverride(w.ctx, w.mem.stack, "web", overrideMemory, "", "ops", time.Now())
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		w.t.Fatal(err)
	}
	w.until(5*time.Minute, "the limit of the file is back", func() bool { return w.well() && w.sim.MemoryOf("web") == 8<<20 })
	w.sleep(15 * time.Minute)
}

// outgrow has web killed for memory until it has twice as much.
func outgrow(w *world) {
	enough := 2 * w.sim.Of("web")[0].HostConfig.Memory
	w.sim.Behave("web", func(simengine.Start) simengine.Behaviour {
		if w.sim.MemoryOf("web") >= enough {
			return simengine.Behaviour{}
		}
		return simengine.Behaviour{ExitAfter: 20 * time.Second, OOM: true}
	})
	w.sim.OOM("web")
}

// badDeployment brings the version forward that falls ill minutes after its start: by an edit, then by the release of the
// rollback that came of it.
func badDeployment(w *world) {
	next := w.sim.IDOf("sim/worker:1")
	w.sim.Behave("web", func(s simengine.Start) simengine.Behaviour {
		if s.Image == next {
			return simengine.Behaviour{Healthy: func(up time.Duration) bool { return up < 3*time.Minute }}
		}
		return simengine.Behaviour{}
	})
	err := w.mem.Store().EndOverride(w.ctx, w.mem.stack, "web", overrideRollback, "", "ops", time.Now())
	if errors.Is(err, store.ErrNotFound) {
		w.edit("image: sim/web:1", "image: sim/worker:1")
		_, err = w.ctl.Reload(w.ctx)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	w.until(5*time.Minute, "the new version runs", func() bool { return w.well() && w.sim.Of("web")[0].Image == next })
}
