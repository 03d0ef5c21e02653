package observe

import (
	"cmp"
	"context"
	"log/slog"
	"net"
	"reflect"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/docker/docker/api/types/container"

	"composure/spec"
)

// Live is the engine as probes and the collection of evidence read it, beyond Source. Implementations are safe for
// concurrent use and bound every call in time, but for Exec, which ctx bounds.
type Live interface {
	// Exec runs argv in a running container, without a shell, and waits for its end.
	Exec(ctx context.Context, id string, argv []string) (ExecResult, error)
	// LogsSince returns the lines since a time, of the last tail lines, at most maxBytes of them: the latest.
	LogsSince(ctx context.Context, id string, since time.Time, tail, maxBytes int) (string, error)
	// Container inspects; it also proves that the engine answers.
	Container(ctx context.Context, id string) (*container.InspectResponse, error)
}

// ExecResult is how a command in a container ended.
type ExecResult struct {
	ExitCode  int    // 126 and 127 are the engine's: the command cannot be executed, is not there
	Output    string // both streams, the last part of them
	Truncated bool
}

// DialFunc opens a connection, as net.Dialer's DialContext does.
type DialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// Sample is one attempt of a probe, as it answered, before any threshold.
type Sample struct {
	Service   string
	Container string // id
	Probe     string // name
	At        time.Time
	State     ProbeState
	Latency   time.Duration
}

// ProberConfig is what a Prober needs.
type ProberConfig struct {
	Engine     Live
	EngineHost string       // where published ports are reached when the engine is on another host; empty: this one
	Dial       DialFunc     // nil: net.Dialer
	Changed    func()       // called after the state of a probe changed; must not block; nil: nobody asks
	Sample     func(Sample) // called for every attempt, from many goroutines; must not block; nil: nobody asks
	Logger     *slog.Logger // nil: silent
}

// Prober makes the probes of a stack's running containers at their intervals, in the background. It is safe for
// concurrent use. A container that was started anew, or is another, begins unknown.
type Prober struct {
	cfg ProberConfig

	mu      sync.Mutex
	closed  bool
	look    look // the last one synchronised with
	runners map[runnerKey]*runner
	done    sync.WaitGroup
}

// look is a stack and what was seen of it.
type look struct {
	stack    *spec.Stack
	snapshot *Snapshot
}

// runnerKey identifies one probe of one run of a container.
type runnerKey struct {
	container string
	started   time.Time
	probe     string
}

// NewProber returns a prober without probes: Sync gives it some.
func NewProber(cfg ProberConfig) *Prober {
	cfg.Dial = cmpDial(cfg.Dial)
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Prober{cfg: cfg, runners: map[runnerKey]*runner{}}
}

func cmpDial(dial DialFunc) DialFunc {
	if dial == nil {
		return (&net.Dialer{}).DialContext
	}
	return dial
}

// Sync starts and stops probes so that they are those of the containers that run now. It does not wait for any answer
// and costs microseconds when nothing changed. The probes outlive ctx: Close ends them.
func (p *Prober) Sync(ctx context.Context, stack *spec.Stack, snapshot *Snapshot) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	p.look = look{stack, snapshot}
	wanted := map[runnerKey]bool{}
	for _, t := range targets(stack, snapshot) {
		key := runnerKey{t.container.ID, t.container.StartedAt(), t.probe.Name}
		wanted[key] = true
		if r := p.runners[key]; r != nil {
			if reflect.DeepEqual(r.target.probe, t.probe) {
				continue
			}
			r.stop()
		}
		p.start(ctx, key, t)
	}
	for key, r := range p.runners {
		if !wanted[key] {
			r.stop()
			delete(p.runners, key)
		}
	}
}

// start runs one probe until it is stopped.
func (p *Prober) start(ctx context.Context, key runnerKey, t target) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	r := newRunner(t)
	r.stop = cancel
	p.runners[key] = r
	p.done.Go(func() { r.run(ctx, p) })
}

// Results returns the probes of the containers that run, by service, container and name. One whose thresholds are not
// met yet is unknown.
func (p *Prober) Results() []ProbeResult {
	p.mu.Lock()
	defer p.mu.Unlock()
	results := make([]ProbeResult, 0, len(p.runners))
	for _, r := range p.runners {
		results = append(results, r.result)
	}
	sortResults(results)
	return results
}

func sortResults(results []ProbeResult) {
	slices.SortFunc(results, func(a, b ProbeResult) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.Container, b.Container), cmp.Compare(a.Name, b.Name))
	})
}

// Once makes the probes of a service's running containers now, each once, all at a time, and returns what they
// answered, before any threshold. The standing results do not change by it.
func (p *Prober) Once(ctx context.Context, stack *spec.Stack, snapshot *Snapshot, service string) []ProbeResult {
	return once(ctx, p.cfg, look{stack, snapshot}, service)
}

func once(ctx context.Context, cfg ProberConfig, seen look, service string) []ProbeResult {
	var mu sync.Mutex
	var results []ProbeResult
	var all sync.WaitGroup
	for _, t := range targets(seen.stack, seen.snapshot) {
		if t.container.Service != service {
			continue
		}
		all.Go(func() {
			r := newRunner(t)
			r.result.note(r.attempt(ctx, cfg, seen))
			mu.Lock()
			defer mu.Unlock()
			results = append(results, r.result)
		})
	}
	all.Wait()
	sortResults(results)
	return results
}

// Close ends all probes and waits until none is under way.
func (p *Prober) Close() {
	p.mu.Lock()
	p.closed = true
	for key, r := range p.runners {
		r.stop()
		delete(p.runners, key)
	}
	p.mu.Unlock()
	p.done.Wait()
}

// current is the last look.
func (p *Prober) current() look {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.look
}

// record keeps an answer of a runner that still counts, and tells who asked to know.
func (p *Prober) record(r *runner, a answer) {
	p.mu.Lock()
	changed := r.count(a)
	if current := p.runners[r.key()]; current != r {
		changed = false // stopped meanwhile
	}
	result := r.result
	p.mu.Unlock()
	if p.cfg.Sample != nil {
		p.cfg.Sample(Sample{result.Service, result.Container, result.Name, a.at, a.state, a.latency})
	}
	if !changed {
		return
	}
	p.cfg.Logger.Info("probe changed", "service", result.Service, "probe", result.Name, "state", result.State, "detail", result.Detail)
	if p.cfg.Changed != nil {
		p.cfg.Changed()
	}
}

// target is one probe of one running container.
type target struct {
	probe     spec.Probe
	kind      string
	container Container
	startup   time.Duration // no failure counts so long after the start
}

// targets are the probes of all containers that run, whether of the file or by zero configuration.
func targets(stack *spec.Stack, snapshot *Snapshot) []target {
	var found []target
	for _, svc := range stack.Services {
		if svc.Policy.Mode == "ignore" {
			continue
		}
		for _, c := range snapshot.Of(svc.Name) {
			if c.Running() && c.Status() != "paused" && !c.Inspect.State.Dead {
				found = append(found, targetsOf(svc, c)...)
			}
		}
	}
	return found
}

// targetsOf names the probes of one container. Names are made unique: results are told apart by them.
func targetsOf(svc *spec.Service, c Container) []target {
	var found []target
	probes, handshake := svc.Policy.Probes, IsPostgres(svc.Image, c.Inspect.Config.Env)
	for _, probe := range probes {
		handshake = handshake && probe.Postgres == nil
	}
	if handshake {
		probes = append(slices.Clip(probes), handshakeProbe)
	}
	names := map[string]int{}
	for _, probe := range probes {
		t := target{probe: probe, kind: kindOf(probe), container: c, startup: probe.Startup}
		t.probe.Name = cmp.Or(probe.Name, t.kind)
		if names[t.probe.Name]++; names[t.probe.Name] > 1 {
			t.probe.Name += "-" + strconv.Itoa(names[t.probe.Name])
		}
		if check := c.Inspect.Config.Healthcheck; t.startup == 0 && check != nil {
			t.startup = check.StartPeriod
		}
		found = append(found, t)
	}
	return found
}

// kindOf names the kind of a probe; one that asks nothing is the handshake.
func kindOf(p spec.Probe) string {
	switch {
	case p.HTTP != nil:
		return "http"
	case p.TCP != nil:
		return "tcp"
	case p.Postgres != nil:
		return "postgres"
	case p.Exec != nil:
		return "exec"
	case p.Log != nil:
		return "log"
	}
	return "handshake"
}
