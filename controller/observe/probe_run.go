package observe

import (
	"context"
	"fmt"
	"time"

	"composure/spec"
)

// eager is how often a probe asks while nothing is known about a container that has just started, so that a recovery
// is seen at once. Failures still count only once an interval. Commands are not run that often.
const eager = time.Second

// answer is what one attempt of a probe said.
type answer struct {
	state   ProbeState
	at      time.Time // when it was asked
	latency time.Duration
	status  int // of HTTP
	detail  string
}

func okay(format string, args ...any) answer {
	return answer{state: ProbeOK, detail: fmt.Sprintf(format, args...)}
}

func failing(format string, args ...any) answer {
	return answer{state: ProbeFailing, detail: fmt.Sprintf(format, args...)}
}

func unknown(format string, args ...any) answer {
	return answer{state: ProbeUnknown, detail: fmt.Sprintf(format, args...)}
}

// runner makes one probe of one run of a container again and again.
type runner struct {
	target target
	stop   context.CancelFunc
	log    logReader

	// Under the prober's lock.
	result  ProbeResult
	raw     ProbeState // of the last attempt that counted
	counted time.Time  // the last failure that counted
}

func newRunner(t target) *runner {
	return &runner{target: t, result: ProbeResult{
		Service: t.container.Service, Container: t.container.ID, Name: t.probe.Name, Kind: t.kind, State: ProbeUnknown,
		Detail: "not asked yet", Spec: t.probe,
	}}
}

func (r *runner) key() runnerKey {
	return runnerKey{r.target.container.ID, r.target.container.StartedAt(), r.target.probe.Name}
}

// run asks until ctx ends. An interval is from start to start.
func (r *runner) run(ctx context.Context, p *Prober) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		asked := time.Now()
		a := r.attempt(ctx, p.cfg, p.current())
		if ctx.Err() != nil {
			return // a cut attempt is no answer
		}
		p.record(r, a)
		timer.Reset(max(r.pause(p)-time.Since(asked), 0))
	}
}

// pause is the time from one attempt to the next.
func (r *runner) pause(p *Prober) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	interval := max(r.target.probe.Interval, 100*time.Millisecond)
	if r.result.State == ProbeUnknown && r.raw != ProbeUnknown && r.target.kind != "exec" {
		return min(interval, eager)
	}
	return interval
}

// attempt asks once, bounded by the probe's timeout.
func (r *runner) attempt(ctx context.Context, cfg ProberConfig, seen look) answer {
	limited, cancel := context.WithTimeout(ctx, r.target.probe.Timeout)
	defer cancel()
	at := time.Now()
	a := r.ask(limited, place{cfg: cfg, seen: seen, probe: r.target.probe, self: r.target.container.now(seen.snapshot)})
	a.at, a.latency = at, time.Since(at)
	a.detail = line(a.detail, secretValues(seen.stack, r.target.container))
	return a
}

// ask makes the probe of its kind.
func (r *runner) ask(ctx context.Context, at place) answer {
	switch p := r.target.probe; {
	case p.HTTP != nil:
		return at.http(ctx, *p.HTTP)
	case p.TCP != nil:
		return at.tcp(ctx, p.TCP.Port)
	case p.Postgres != nil:
		return at.postgres(ctx, p.Postgres.DSN)
	case p.Exec != nil:
		return at.exec(ctx, p.Exec.Command)
	case p.Log != nil:
		return r.log.find(ctx, at, p.Log.Pattern)
	}
	return at.handshake(ctx)
}

// count applies the thresholds to one answer and says whether the state changed by it. An answer that is not like the
// one before begins a new row; so many in a row, and it is the state. A failure within the startup time, or within an
// interval of one that counted, is not counted.
func (r *runner) count(a answer) (changed bool) {
	before, consecutive, since := r.result.State, r.result.Consecutive, r.result.Since
	r.result.note(a)
	r.result.State, r.result.Since = before, since
	if a.state == ProbeFailing && a.at.Before(r.target.container.StartedAt().Add(r.target.startup)) {
		r.raw, r.result.Consecutive, r.result.Last = "", 0, ProbeUnknown
		r.result.Detail = "starting: " + a.detail
		return false
	}
	if a.state == r.raw && a.state == ProbeFailing && before == ProbeUnknown && a.at.Before(r.counted.Add(r.target.probe.Interval-eager/2)) {
		r.result.Consecutive = consecutive
		return false
	}
	if a.state == r.raw {
		r.result.Consecutive = consecutive + 1
	}
	if a.state == ProbeFailing {
		r.counted = a.at
	}
	r.raw = a.state
	if a.state == before || r.result.Consecutive < threshold(r.target.probe, a.state) {
		return false
	}
	r.result.State, r.result.Since = a.state, a.at
	return true
}

// threshold is how many equal answers in a row make a state. What could not be asked is forgotten as slowly as a failure counts.
func threshold(p spec.Probe, state ProbeState) int {
	if state == ProbeOK {
		return p.Successes
	}
	return p.Failures
}

// note puts an answer into a result as it is.
func (r *ProbeResult) note(a answer) {
	r.State, r.Last, r.Since, r.At, r.Latency, r.Status, r.Detail, r.Consecutive = a.state, a.state, a.at, a.at, a.latency, a.status, a.detail, 1
}

// now is the container as it was seen last: its addresses change with its networks.
func (c Container) now(s *Snapshot) Container {
	for _, other := range s.Containers {
		if other.ID == c.ID {
			return other
		}
	}
	return c
}
