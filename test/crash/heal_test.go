//go:build linux

package crash

import (
	"cmp"
	"slices"
	"strings"
	"testing"

	"composure/controller/incident"
	"composure/controller/view"
	"composure/test/dockerd"
	"composure/test/rig"
)

// healing is something that goes wrong with web while the remediator watches, and whose remedy is struck.
type healing struct {
	name    string
	ladder  string // of web's policy; "": the default
	stable  string // how long it takes until a version is proven; "": 1s
	keys    string // more of the service's
	prepare func(l *lab)
	harm    func(l *lab) // returns when the engine shows it
	away    bool         // it is done while no remediator runs
	rung    string       // the call that an attempt on the ladder makes once; "": none counts
	undo    func(l *lab)
}

// attempts is the budget of an incident.
const attempts = 3

// ward is web under a policy that makes everything quick, with a healthcheck that can be told to fail.
func ward(h healing) string {
	ladder := ""
	if h.ladder != "" {
		ladder = "ladder: [" + h.ladder + "], "
	}
	return `x-composure:
  min_healthy: 300ms
  stop_port_holders: [cmpsr-crash-holder]
  remediation: {` + ladder + `stable: ` + cmp.Or(h.stable, "1s") + `, stop_grace: 5s, backoff: {initial: 100ms, factor: 1, max: 200ms, reset: 1h}}
services:
  web:
    image: ` + rig.Image + `
    command: ` + rig.Writer + `
    environment: {VERSION: "v0"}
    restart: unless-stopped
    stop_signal: SIGKILL
    mem_limit: 64m
    healthcheck: {test: [CMD, sh, -c, "test ! -e /tmp/ill && test ! -e /data/ill-$$VERSION"], interval: 1s, timeout: 5s, retries: 2}
    volumes: ['data:/data']
` + h.keys + `volumes: {data: {}}
`
}

const stateless = "    x-composure: {stateful: false}\n"

var healings = []healing{
	{name: "start", rung: "start", harm: func(l *lab) { l.Docker("kill", l.Container("web")) }},
	{name: "graceful", rung: "restart", harm: ill},
	{name: "hard", ladder: "hard, escalate", keys: stateless, rung: "create", harm: ill},
	{name: "create", harm: func(l *lab) { l.Docker("rm", "-f", l.Container("web")) }},
	{name: "repair", harm: func(l *lab) {
		l.despite("update", "--memory", "48m", "--memory-swap", "96m", l.Container("web"))
		l.despite("network", "disconnect", l.Name+"_default", l.Container("web"))
	}},
	{name: "rename", harm: func(l *lab) { l.Docker("rename", l.Container("web"), l.Name+"-elsewhere") }},
	{name: "changed by hand", away: true, keys: stateless, harm: func(l *lab) {
		c := l.Inspect("web")
		args := []string{"run", "-d", "--name", l.Container("web"), "--network", l.Name + "_default", "--network-alias", "web", "--restart", "unless-stopped",
			"--stop-signal", "SIGKILL", "--memory", "64m", "-v", l.Name + "_data:/data", "-e", "VERSION=by hand"}
		for label, value := range c.Config.Labels {
			args = append(args, "--label", label+"="+value)
		}
		l.Docker("rm", "-f", l.Container("web"))
		l.Docker(append(append(args, rig.Image), c.Config.Cmd...)...)
	}},
	{name: "rollback", stable: "10s", keys: stateless, rung: "restart", prepare: func(l *lab) {
		l.Until("the version proven", func() bool { return l.proven() })
		l.edit()
		l.Wants(0, rig.Once()...)
	}, harm: func(l *lab) { // the newer version turns out to be bad
		l.Docker("exec", l.Container("web"), "sh", "-c", "touch /data/ill-$VERSION")
		l.unwell()
	}, undo: func(l *lab) {
		l.Docker("exec", l.Container("web"), "sh", "-c", "rm -f /data/ill-*")
		l.Composure("release", "web")
	}},
}

// despite is Docker, again while the engine is away: the remediator answers the first of two commands at once, and the fault that
// its answer meets may be the end of the daemon.
func (l *lab) despite(args ...string) {
	l.T.Helper()
	l.Until("docker "+strings.Join(args, " "), func() bool {
		_, err := l.Engine.Docker(args...)
		return err == nil || strings.Contains(err.Error(), "is not connected to")
	})
}

func ill(l *lab) {
	l.Docker("exec", l.Container("web"), "touch", "/tmp/ill")
	l.unwell()
}

// unwell waits until web's healthcheck has failed, or until that has been answered already.
func (l *lab) unwell() {
	l.T.Helper()
	run := l.instance()
	l.Until("web is unhealthy", func() bool { return !l.well("web") || l.instance() != run })
}

// instance identifies one run of web's container.
func (l *lab) instance() string {
	if c := l.Look(l.Container("web")); c != nil {
		return c.ID + c.State.StartedAt
	}
	return ""
}

// proven says whether what was applied last to web has been proven stable.
func (l *lab) proven() bool {
	return slices.ContainsFunc(l.revisions()[0].Services, func(s view.RevisionService) bool { return s.Service == "web" && s.StableAt != nil })
}

func remedies() (cells []cell) {
	for _, h := range healings {
		for i := range faults {
			f := &faults[i]
			cells = append(cells, cell{"heal, " + h.name + ", " + f.name, false, func(t *testing.T) { remedying(t, nil, h, f) }})
		}
	}
	return cells
}

// remedying makes a fault at each call of a remedy.
func remedying(t *testing.T, d *dockerd.Engine, h healing, f *fault) {
	l := newLab(t, d, "heal-"+h.name+"-"+f.name, ward(h))
	names, volumes := l.Names(), l.Volumes()
	l.spared = []string{"tag"} // of proven images, in the background
	l.each(func(n int) bool {
		more := l.heal(h, f, n)
		l.after(scenario{undo: h.undo}, names, volumes)
		return more
	})
}

// heal lets the remediator heal with the fault at its n-th call, and says whether there was such a call. One that is
// killed is started again, as its service manager would.
func (l *lab) heal(h healing, f *fault, n int) bool {
	l.T.Helper()
	before := l.Incidents()
	l.Through = l.proxy.Host
	watch := l.watch()
	if h.prepare != nil {
		h.prepare(l)
	}
	if h.away {
		l.end(watch)
		h.harm(l)
	}
	started := make(chan struct{})
	l.arm(f, n, func() { <-started; watch.Kill() })
	if h.away {
		watch = l.Start(watching...)
	}
	close(started)
	if !h.away {
		h.harm(l)
	}
	healed := func() bool {
		if watch.Ended() {
			watch = l.watch()
		}
		all, err := l.All()
		if err != nil || len(all) != 1 || !l.well("web") {
			return false
		}
		open, err := l.open()
		return err == nil && len(open) == 0
	}
	defer func() {
		if l.T.Failed() {
			l.T.Logf("what the remediator said last:\n%s\n%s", watch.Said(), l.Composure("incidents", "list"))
		}
	}()
	l.Until("web healed", healed)
	struck, executed := l.disarm()
	l.Until("web healed after all", healed)
	l.end(watch)
	l.Through = ""
	l.T.Logf("%s: %s (executed: %s)", f.name, struck, strings.Join(executed, ", "))
	l.budget(h, before, executed)
	return struck != ""
}

// watching is the remediator.
var watching = []string{"--log-level", "info", "reconcile", "--interval", "5s"}

// end tells the remediator to end, which it must do without an error.
func (l *lab) end(watch *rig.Run) {
	l.T.Helper()
	l.Must(watch.Term())
	if r := watch.Wait(); r.Code != 0 {
		l.T.Errorf("the remediator ended with: %s", r)
	}
}

// watch starts the remediator and waits until it watches.
func (l *lab) watch() *rig.Run {
	l.T.Helper()
	w := l.Start(watching...)
	l.Until("it watches", func() bool { return w.Ended() || strings.Contains(w.Said(), "watching") })
	if w.Ended() {
		l.T.Fatalf("the remediator does not watch: %s", w.Wait())
	}
	return w
}

// well says whether web runs, with its healthcheck passing.
func (l *lab) well(service string) bool {
	c := l.Look(l.Container(service))
	return c != nil && c.State.Running && !c.State.Paused && !c.State.Restarting && c.State.Health != nil && c.State.Health.Status == "healthy"
}

// open are the incidents that are not over; an error while the engine is away.
func (l *lab) open() ([]incident.Incident, error) {
	all, err := l.AskIncidents()
	return slices.DeleteFunc(all, func(i incident.Incident) bool { return i.State == incident.Resolved }), err
}

// budget wants every attempt that reached the engine to be counted, and no more of them than are allowed.
func (l *lab) budget(h healing, before []incident.Incident, executed []string) {
	l.T.Helper()
	if h.rung == "" {
		return
	}
	counted, made := 0, 0
	for _, i := range l.Incidents() {
		if !slices.ContainsFunc(before, func(b incident.Incident) bool { return b.ID == i.ID }) {
			counted += i.Actions
		}
	}
	for _, op := range executed {
		if op == h.rung {
			made++
		}
	}
	if counted > attempts || made > counted {
		l.T.Errorf("%d attempts are counted, %d were made (%s)\n%s", counted, made, strings.Join(executed, ", "), l.Composure("incidents", "list"))
	}
}
