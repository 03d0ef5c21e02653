package sim

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/docker/docker/api/types/events"

	"composure/test/simengine"
)

// verbs are what a script can make happen. An argument that cannot be read is a mistake in the script, and panics.
var verbs = map[string]func(w *world, args []string){
	// What applications do.
	"crash":   func(w *world, args []string) { w.sim.Crash(args[0], number(args[1])) },
	"oom":     func(w *world, args []string) { w.sim.OOM(args[0]) },
	"afflict": func(w *world, args []string) { w.afflict(args[0], args[1], duration(args[2]), int64(number(args[3]))) },
	"answer":  (*world).answer, // PORT STATUS DURATION: what the probes get
	// What people and hosts do.
	"up":        func(w *world, _ []string) { w.up() }, // at 0s: the stack runs before Composure comes to it
	"docker":    (*world).docker,                       // WHAT CONTAINER [ARGUMENT]
	"foreign":   func(w *world, args []string) { w.noted(w.sim.Foreign(args[0], "sim/bystander:1", args[1])) },
	"meddle":    func(w *world, _ []string) { w.check.meddle() }, // the next container that is to be restarted is restarted by hand first
	"hostport":  (*world).hostport,                               // PORT DURATION
	"daemon":    (*world).daemon,                                 // dies|restarts|restores|sleeps DURATION
	"skew":      func(w *world, args []string) { w.sim.Skew(duration(args[0])) },
	"edit":      func(w *world, args []string) { w.edit(number(args[0])) },
	"deploy":    func(w *world, _ []string) { w.deploy() }, // with docker compose, what the file says
	"composure": func(w *world, args []string) { w.command(args...) },
	// What happens to Composure.
	"kill":     (*world).kill,     // same|other DURATION: host, until the next process starts
	"killcall": (*world).killcall, // before|after N same|other DURATION
	"term":     (*world).term,     // DURATION
	"second":   (*world).second,   // DURATION: another remediator is started by mistake
	// What goes wrong with what it uses.
	"engine": (*world).engineTrouble, // KIND DURATION SHARE LATE
	"store":  (*world).store,         // down|full|lost DURATION
	"events": (*world).loseEvents,    // DURATION SHARE
	"people": (*world).peopleDown,    // DURATION
}

// hostPorts are what processes of the host may take.
var hostPorts = []string{"7001", "7002", "7003"}

func duration(text string) time.Duration {
	d, err := time.ParseDuration(text)
	if err != nil {
		panic(err)
	}
	return d
}

func number(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		panic(err)
	}
	return n
}

func share(text string) float64 {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		panic(err)
	}
	return f
}

// noted tells the trace why something did not happen.
func (w *world) noted(err error) {
	if err != nil {
		w.trace.add("  which failed: %v", err)
	}
}

// docker does something to a container by hand. It may take a while, as a stop does.
func (w *world) docker(args []string) {
	argument := ""
	if len(args) > 2 {
		argument = args[2]
	}
	w.check.touchedByHand(args[1], args[0])
	w.running.Go(func() { w.noted(w.sim.ByHand(args[1], args[0], argument)) })
}

func (w *world) hostport(args []string) {
	w.sim.HostPort(args[0], true)
	time.AfterFunc(duration(args[1]), func() { w.sim.HostPort(args[0], false) })
}

func (w *world) daemon(args []string) {
	away := duration(args[1])
	w.check.daemonLeft(args[0], away)
	switch args[0] {
	case "dies":
		w.sim.DaemonDies(away)
	case "restarts":
		w.sim.DaemonRestarts(away)
	case "restores":
		w.sim.DaemonRestoresLive(away)
	case "sleeps":
		w.sim.DaemonSleeps(away)
	}
}

// answer sets what probes of a port get for some time; 0: nobody listens.
func (w *world) answer(args []string) {
	port, status := number(args[0]), number(args[1])
	w.mu.Lock()
	w.ports[port] = status
	w.mu.Unlock()
	w.probed.Store(time.Now().Add(duration(args[2])).UnixNano())
	time.AfterFunc(duration(args[2]), func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.ports, port)
	})
}

// reach is how probes reach applications: what runs and is not afflicted answers 200.
func (w *world) reach(_ context.Context, _, address string) (net.Conn, error) {
	_, text, _ := net.SplitHostPort(address)
	port, _ := strconv.Atoi(text)
	w.mu.Lock()
	status, set := w.ports[port]
	w.mu.Unlock()
	if !set {
		status = http.StatusOK
	}
	if status == 0 {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: fmt.Errorf("connect: connection refused")}
	}
	ours, theirs := net.Pipe()
	go serve(theirs, status)
	return ours, nil
}

// kill ends the remediator as SIGKILL does, and has it started again after a while.
func (w *world) kill(args []string) {
	p := w.current()
	p.die(args[0] == "same")
	time.AfterFunc(duration(args[1]), w.revive)
}

// killcall ends the process that makes the n-th changing call from now, before or after the engine has executed it.
func (w *world) killcall(args []string) {
	left := number(args[1])
	w.mu.Lock()
	defer w.mu.Unlock()
	w.deadly = func(r *http.Request, from string, t *simengine.Trouble) { // under mu
		i := slices.IndexFunc(w.remediators, func(p *process) bool { return p.name == from && !p.dead.Load() })
		if i < 0 {
			return
		}
		if left--; left > 0 {
			return
		}
		w.deadly = nil
		t.Kind = simengine.Lost
		if args[0] == "after" {
			t.Kind = simengine.Drop
		}
		p := w.remediators[i]
		t.Then = func() {
			p.die(args[2] == "same")
			time.AfterFunc(duration(args[3]), w.revive)
		}
	}
}

// term ends the remediator in good order, and starts it again.
func (w *world) term(args []string) {
	p := w.current()
	p.stop()
	w.running.Go(func() {
		<-p.ended
		w.pause(w.ctx, duration(args[0]))
		w.revive()
	})
}

// second starts another remediator on the same stack, as a mistake.
func (w *world) second(args []string) {
	before := w.current()
	w.remediate()
	own := w.current()
	w.mu.Lock()
	w.remediators = append(slices.DeleteFunc(w.remediators, func(p *process) bool { return p == before }), before) // which stays the one that counts
	w.mu.Unlock()
	if before.alive() {
		time.AfterFunc(duration(args[0]), own.stop)
	}
}

func (w *world) engineTrouble(args []string) {
	t := trouble{kind: simengine.FaultKind(args[0]), until: time.Now().Add(duration(args[1])), share: share(args[2]), late: duration(args[3])}
	if t.kind == simengine.Stale {
		w.sim.TakePhoto()
	}
	w.check.trouble("engine", t.until.Add(t.late))
	w.mu.Lock()
	defer w.mu.Unlock()
	w.troubles = append(w.troubles, t)
}

func (w *world) store(args []string) {
	w.check.trouble("store", time.Now().Add(duration(args[1])))
	w.setStore(args[0])
	time.AfterFunc(duration(args[1]), func() { w.setStore("") })
}

func (w *world) setStore(mode string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.storeMode = mode
}

func (w *world) loseEvents(args []string) {
	until, portion := time.Now().Add(duration(args[0])), share(args[1])
	w.check.trouble("events", until)
	w.sim.LoseEvents(func(m events.Message) bool {
		r := http.Request{Method: string(m.Action)}
		r.URL = eventURL(m.Actor.ID)
		return time.Now().Before(until) && w.chance(&r, "event") < portion
	})
}

func (w *world) peopleDown(args []string) {
	set := func(down bool) {
		w.people.mu.Lock()
		defer w.people.mu.Unlock()
		w.people.down = down
	}
	w.check.trouble("people", time.Now().Add(duration(args[0])))
	set(true)
	time.AfterFunc(duration(args[0]), func() { set(false) })
}
