package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// Generate decides a scenario from a seed: a stack, what people, hosts and applications do, and what goes wrong.
func Generate(seed uint64) Scenario {
	g := &generator{Rand: rand.New(rand.NewPCG(seed, 0x436f6d706f737572))}
	s := Scenario{Name: fmt.Sprintf("seed %d", seed), Seed: seed}
	g.stack()
	begun := boot
	if g.odds(85) {
		g.step(0, "up")
		begun = adoption
	}
	length, actions, faults := g.between(10*time.Second, 90*time.Second), 1+g.IntN(2), g.IntN(3)
	if g.odds(8) { // much at once
		length, actions, faults = 4*length, 2+g.IntN(6), g.IntN(4)
	}
	for range actions {
		g.action(begun + g.between(0, length))
	}
	for range faults {
		g.fault(begun + g.between(0, length))
	}
	g.Rand = rand.New(rand.NewPCG(seed, 0x6d616c696365)) // what is added leaves the rest of a seed as it is
	if g.odds(15) {
		g.malice(begun + g.between(0, length))
	}
	s.Steps, s.Files = g.steps, g.files()
	slices.SortStableFunc(s.Steps, func(a, b Step) int { return int(a.At - b.At) })
	s.End = begun + length + 30*time.Second
	return s
}

// generator makes one scenario.
type generator struct {
	*rand.Rand
	services []*service
	policy   string // of the stack
	auto     bool   // an edited file is deployed by itself
	variants []string
	steps    []Step
}

// service is one of the stack, as lines of its compose file.
type service struct {
	name     string
	lines    []string
	replicas int
	fixed    string // container_name
	port     string
	oneShot  bool
	limit    int64
	raise    int64
	network  bool // a second one
}

// containers are the names of its containers.
func (s *service) containers() []string {
	if s.fixed != "" {
		return []string{s.fixed}
	}
	var names []string
	for n := range max(s.replicas, 1) {
		names = append(names, fmt.Sprintf("shop-%s-%d", s.name, n+1))
	}
	return names
}

func (g *generator) odds(percent int) bool { return g.IntN(100) < percent }

// between is a time in whole tenths of a second.
func (g *generator) between(from, to time.Duration) time.Duration {
	return from + time.Duration(g.Int64N(int64((to-from)/(100*time.Millisecond))))*100*time.Millisecond
}

func pick[T any](g *generator, of ...T) T { return of[g.IntN(len(of))] }

// stack decides the services, then the policy.
func (g *generator) stack() {
	if g.odds(70) {
		g.database()
	}
	if len(g.services) > 0 && g.odds(30) {
		g.services = append(g.services, &service{name: "migrate", oneShot: true, lines: []string{"image: sim/migrate:1", "depends_on: {db: {condition: service_healthy}}"}})
	}
	g.api()
	if g.odds(60) {
		g.web()
	}
	if g.odds(35) {
		g.worker()
	}
	g.policies()
}

// checked gives a service a healthcheck.
func (g *generator) checked(s *service, seconds int) {
	s.lines = append(s.lines, fmt.Sprintf("healthcheck: {test: [CMD, check], interval: %ds, timeout: 2s, retries: %d}", seconds, 2+g.IntN(2)))
}

// restarted gives a service a restart policy, or none.
func (g *generator) restarted(s *service) {
	if policy := pick(g, "unless-stopped", "unless-stopped", "always", "on-failure", "on-failure:3", ""); policy != "" {
		s.lines = append(s.lines, fmt.Sprintf("restart: %q", policy))
	}
}

func (g *generator) database() {
	db := &service{name: "db", lines: []string{"image: sim/db:1", "volumes: [data:/data]"}}
	g.checked(db, 5)
	g.restarted(db)
	g.services = append(g.services, db)
}

// api needs all services before it.
func (g *generator) api() {
	api := &service{name: "api", lines: []string{"image: sim/api:1"}}
	var needs []string
	for _, s := range g.services {
		condition := "service_healthy"
		if s.oneShot {
			condition = "service_completed_successfully"
		}
		needs = append(needs, fmt.Sprintf("%s: {condition: %s}", s.name, condition))
	}
	if len(needs) > 0 {
		api.lines = append(api.lines, "depends_on: {"+strings.Join(needs, ", ")+"}")
	}
	if g.odds(85) {
		g.checked(api, 5+5*g.IntN(2))
	}
	if g.odds(50) {
		api.limit = 64 << 20
		api.lines = append(api.lines, "mem_limit: 64m")
		if g.odds(60) {
			api.raise = 256 << 20
			api.lines = append(api.lines, "x-composure: {memory: {raise_to: 256m}}")
		}
	}
	g.restarted(api)
	g.services = append(g.services, api)
}

func (g *generator) web() {
	web := &service{name: "web", lines: []string{"image: sim/web:1", "depends_on: [api]"}}
	if g.odds(50) {
		web.port = "7001"
		web.lines = append(web.lines, "ports: ['7001:80']", "x-composure: {probes: [{http: 'http://localhost:7001/', interval: 10s}]}")
	}
	if g.odds(30) {
		web.fixed = "front"
		web.lines = append(web.lines, "container_name: front")
	}
	g.restarted(web)
	g.services = append(g.services, web)
}

func (g *generator) worker() {
	worker := &service{name: "worker", replicas: 1 + g.IntN(3), lines: []string{"image: sim/worker:1", "volumes: [/scratch]"}}
	worker.lines = append(worker.lines, fmt.Sprintf("scale: %d", worker.replicas))
	if g.odds(50) {
		g.checked(worker, 10)
	}
	if g.odds(40) {
		worker.network = true
		worker.lines = append(worker.lines, "networks: [default, back]")
	}
	worker.lines = append(worker.lines, "restart: "+pick(g, "unless-stopped", "always"))
	g.services = append(g.services, worker)
}

// policies decides the stack's policy.
func (g *generator) policies() {
	g.policy = fmt.Sprintf("x-composure:\n  remediation: {attempts: %d, stable: %ds, backoff: {initial: %ds, factor: %d, max: 1m, reset: %dm}, stop_grace: %ds}\n",
		1+g.IntN(3), pick(g, 20, 30, 60), 3*(2+g.IntN(6)), 1+g.IntN(3), 1+g.IntN(3), pick(g, 5, 20, 60))
	g.policy += "  escalation: {unresolved: 5m, outage: 10m, acknowledge: 5m}\n  notify: [{type: webhook, url: 'http://people.sim/'}]\n"
	if g.odds(10) {
		g.policy += "  manual_stop: hold\n"
	}
	if g.odds(10) {
		g.policy += "  prune: remove\n"
	}
	if g.odds(25) {
		g.auto = true
		g.policy += "  deploy: auto\n"
	}
}

// compose is the file, with a change of one service's lines.
func (g *generator) compose(change func(s *service, lines []string) []string) string {
	var b strings.Builder
	b.WriteString("name: shop\n" + g.policy + "services:\n")
	volumes, networks := "", ""
	for _, s := range g.services {
		lines := slices.Clone(s.lines)
		if change != nil {
			lines = change(s, lines)
		}
		fmt.Fprintf(&b, "  %s:\n", s.name)
		for _, l := range lines {
			fmt.Fprintf(&b, "    %s\n", l)
		}
		if s.name == "db" {
			volumes = "volumes: {data: {}}\n"
		}
		if s.network {
			networks = "networks: {back: {}}\n"
		}
	}
	return b.String() + volumes + networks
}

// files are the file at the beginning, and those that it is edited to.
func (g *generator) files() []string { return append([]string{g.compose(nil)}, g.variants...) }

func (g *generator) step(at time.Duration, verb string, args ...any) {
	s := Step{At: at, Verb: verb}
	for _, a := range args {
		if text := fmt.Sprint(a); text != "" { // the whole stack has no name
			s.Args = append(s.Args, text)
		}
	}
	g.steps = append(g.steps, s)
}

// running is a service that is meant to run.
func (g *generator) running() *service {
	for {
		if s := pick(g, g.services...); !s.oneShot {
			return s
		}
	}
}

// soon is before Composure has started again what has ended.
const soon = 5 * time.Millisecond

// publisher is the container that publishes the port; none does: another one.
func (g *generator) publisher(other string) string {
	for _, s := range g.services {
		if s.port != "" {
			return s.containers()[0]
		}
	}
	return other
}

// action is something that people, hosts or applications do.
func (g *generator) action(at time.Duration) {
	s := g.running()
	c := pick(g, s.containers()...)
	long := g.between(10*time.Second, 150*time.Second)
	actions := []func(){
		// applications
		func() { g.step(at, "crash", s.name, pick(g, 0, 1, 137, 139)) },
		func() { g.step(at, "afflict", s.name, sick, long, 0) },
		func() { g.step(at, "afflict", s.name, sick, long, 0) },
		func() {
			g.step(at, "afflict", s.name, crashing, long, pick(g, 1, 2, 0))
			g.step(at, "crash", s.name, 1)
		},
		func() { g.step(at, "afflict", s.name, stubborn, long, 0); g.step(at, "afflict", s.name, sick, long, 0) },
		func() {
			g.step(at, "afflict", s.name, sluggish, long, pick(g, 10, 40))
			g.step(at, "docker", "restart", c)
		},
		func() { g.step(at, "afflict", s.name, unstarted, long, 0); g.step(at, "crash", s.name, 1) },
		func() {
			for _, other := range g.services { // best one whose limit may be raised
				if other.raise > 0 {
					s = other
				}
			}
			g.step(at, "afflict", s.name, gluttony, long, pick(g, 100<<20, 500<<20))
			g.step(at, "oom", s.name)
		},
		func() { g.step(at, "oom", s.name) },
		func() { g.step(at, "answer", 7001, pick(g, 0, 500, 503), long) },
		// people with docker
		func() { g.step(at, "docker", pick(g, "stop", "kill", "restart", "remove"), c) },
		func() { g.step(at, "docker", "recreate", c, "BY=hand") },
		func() { g.step(at, "docker", "rename", c, "renamed-by-hand") },
		func() { g.step(at, "docker", "policy", c, "no") },
		func() { g.step(at, "docker", "memory", c, pick(g, 32<<20, 128<<20)) },
		func() { g.step(at, "docker", "disconnect", c, "shop_default") },
		func() {
			g.step(at, "docker", "pause", c)
			if g.odds(70) {
				g.step(at+long, "docker", "unpause", c)
			}
		},
		func() { g.step(at, "docker", "kill", g.publisher(c)); g.step(at+soon, "foreign", "thief", "7001") },
		func() { g.step(at, "docker", "kill", g.publisher(c)); g.step(at+soon, "hostport", "7001", long) },
		// people with composure
		func() {
			who := pick(g, "", s.name)
			g.step(at, "composure", "pause", who)
			if g.odds(70) {
				g.step(at+long, "composure", "resume", who)
			}
		},
		func() { g.step(at, "composure", "restart", pick(g, "--graceful", "--hard"), s.name) },
		func() { g.step(at, "composure", "rollback", s.name) },
		func() { g.step(at, "composure", "release", s.name) },
		func() { g.step(at, "composure", "reconcile", "--once", "--timeout", pick(g, "20s", "2m")) },
		func() { g.edit(at, s) },
		func() { g.edit(at, s) },
		// hosts
		func() { g.step(at, "kill", pick(g, "same", "other"), g.between(0, time.Minute)) },
		func() { g.deadly(at) },
		func() { g.deadly(at) },
		func() { g.step(at, "term", g.between(0, time.Minute)) },
		func() { g.step(at, "second", long) },
		func() {
			g.step(at, "daemon", pick(g, "dies", "restarts", "restores", "sleeps"), g.between(2*time.Second, 2*time.Minute))
		},
		func() { g.step(at, "skew", pick(g, -time.Hour, -time.Minute, time.Minute, time.Hour)) },
	}
	pick(g, actions...)()
}

// deadly kills the remediator in the middle of what it does.
func (g *generator) deadly(at time.Duration) {
	g.step(at, "killcall", pick(g, "before", "after"), 1+g.IntN(6), pick(g, "same", "other"), g.between(0, time.Minute))
}

// edit changes the file, and may have it deployed.
func (g *generator) edit(at time.Duration, s *service) {
	changes := []func(lines []string) []string{
		func(lines []string) []string { return replaced(lines, ":1", ":2") },
		func(lines []string) []string { return replaced(lines, ":1", ":broken") },
		func(lines []string) []string { return append(lines, "environment: {EDITED: 'yes'}") },
		func(lines []string) []string { return append(lines, "cpus: 0.5") },
	}
	change := pick(g, changes...)
	g.variants = append(g.variants, g.compose(func(other *service, lines []string) []string {
		if other != s {
			return lines
		}
		return change(lines)
	}))
	g.step(at, "edit", len(g.variants))
	switch {
	case g.auto:
	case g.odds(50):
		g.step(at+time.Second, "composure", "reconcile", "--once", "--timeout", "2m")
	case g.odds(60):
		g.step(at+pick(g, 0, time.Second, 5*time.Second), "deploy")
	}
	if g.odds(50) {
		g.step(at+g.between(10*time.Second, 3*time.Minute), "edit", 0)
	}
}

// replaced changes the image's line.
func replaced(lines []string, old, fresh string) []string {
	own := slices.Clone(lines)
	own[0] = strings.Replace(own[0], old, fresh, 1)
	return own
}

// fault is a time in which something that Composure uses goes wrong.
func (g *generator) fault(at time.Duration) {
	long := g.between(5*time.Second, 2*time.Minute)
	portion := pick(g, 0.05, 0.3, 1)
	kinds := []func(){
		func() { g.step(at, "engine", pick(g, "500", "lost", "drop", "hang"), long, portion, 0) },
		func() { g.step(at, "engine", pick(g, "500", "drop"), long, portion, 0) },
		func() { g.step(at, "engine", "late", long, portion, g.between(time.Second, 3*time.Minute)) },
		func() { g.step(at, "engine", "slow", long, portion, g.between(100*time.Millisecond, 10*time.Second)) },
		func() { g.step(at, "engine", "stale", long, portion, 0) },
		func() { g.step(at, "events", long, portion) },
		func() { g.step(at, "store", pick(g, "down", "full", "lost"), long) },
		func() { g.step(at, "people", long) },
	}
	pick(g, kinds...)()
}

// malice is what meets Composure where it would be hurt: between the decision and the act, between the act and its answer,
// between an act and the next one.
func (g *generator) malice(at time.Duration) {
	s := g.running()
	for _, other := range g.services { // best one whose illness shows
		if strings.Contains(strings.Join(other.lines, "\n"), "healthcheck") && g.odds(50) {
			s = other
		}
	}
	if g.odds(25) { // ill again before it is proven well
		for range 5 {
			long := g.between(20*time.Second, 40*time.Second)
			g.step(at, "afflict", s.name, sick, long, 0)
			at += long + g.between(15*time.Second, time.Minute)
		}
		return
	}
	g.step(at, "afflict", s.name, sick, 5*time.Minute, 0)
	kinds := []func(){
		func() { g.step(at, "meddle") },
		func() { g.step(at, "engine", "drop", 5*time.Minute, 1, 0) },
		func() {
			for range 3 {
				at += g.between(20*time.Second, 80*time.Second)
				g.step(at, "kill", "same", time.Second)
			}
		},
	}
	pick(g, kinds...)()
}
