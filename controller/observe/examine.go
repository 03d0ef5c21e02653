package observe

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/docker/docker/api/types/container"

	"composure/spec"
)

// Bounds of collecting.
const (
	otherTimeout = 5 * time.Second // everything, together
	logLines     = 200
	healthKept   = 5 // entries of the health log, as the runbook reads
)

// Bedside is the engine as an Examiner reads it.
type Bedside interface {
	Live
	// LogsTimed returns the last lines of a log, each after its time in RFC 3339 and a space.
	LogsTimed(ctx context.Context, id string, tail, maxBytes int) (string, error)
	// Top lists the processes of a running container with their ids on the host.
	Top(ctx context.Context, id string) (container.TopResponse, error)
	// Stats takes one sample, without the figures of the one before.
	Stats(ctx context.Context, id string) (container.StatsResponse, error)
	// AllContainers lists what runs, of whatever project.
	AllContainers(ctx context.Context) ([]container.Summary, error)
}

// ExaminerConfig is what an Examiner needs.
type ExaminerConfig struct {
	Engine     Bedside
	EngineHost string   // where published ports are reached when the engine is on another host; empty: this one
	Dial       DialFunc // nil: net.Dialer
}

// Examiner collects evidence. It keeps nothing and is safe for concurrent use.
type Examiner struct {
	engine Bedside
	cfg    ProberConfig
}

// NewExaminer returns an examiner.
func NewExaminer(cfg ExaminerConfig) *Examiner {
	return &Examiner{cfg.Engine, ProberConfig{Engine: cfg.Engine, EngineHost: cfg.EngineHost, Dial: cmpDial(cfg.Dial)}}
}

// Examine collects what is needed about each container of a service, all at a time, within 5 s or until ctx ends. What
// could not be read in time is a Gap of the evidence. It changes nothing in any container. A service without a container gets one evidence without one: who holds its ports.
func (e *Examiner) Examine(ctx context.Context, stack *spec.Stack, snapshot *Snapshot, service string, needs []Need) []Evidence {
	svc := stack.Service(service)
	if svc == nil {
		return nil
	}
	containers := snapshot.Of(service)
	if len(containers) == 0 {
		containers = []Container{{Service: service, Inspect: &container.InspectResponse{
			ContainerJSONBase: &container.ContainerJSONBase{}, Config: &container.Config{},
		}}}
	}
	ctx, cancel := context.WithTimeout(ctx, otherTimeout)
	defer cancel()
	found := make([]Evidence, len(containers))
	var all sync.WaitGroup
	for i, c := range containers {
		x := &examination{engine: e.engine, svc: svc, needs: needs, place: place{
			cfg: e.cfg, seen: look{stack, snapshot}, self: c, probe: spec.Probe{From: "host", Timeout: dialTimeout},
		}}
		all.Go(func() { found[i] = x.collect(ctx) })
	}
	all.Wait()
	return found
}

// CheapTime is how long an urgent action waits for evidence that is Cheap.
const CheapTime = 150 * time.Millisecond

// Cheap says whether all that is needed answers in a moment, or not at all: logs, figures, processes.
func Cheap(needs []Need) bool {
	cheap := []Need{NeedLogs, NeedStats, NeedProcesses}
	return !slices.ContainsFunc(needs, func(n Need) bool { return !slices.Contains(cheap, n) })
}

// examination collects the evidence of one container. Its tasks run in parallel and write under the lock.
type examination struct {
	place
	engine Bedside
	svc    *spec.Service
	needs  []Need

	mu       sync.Mutex
	evidence Evidence
	secrets  []string
	cpu      cpuReading // the first one; zero: none
}

func (x *examination) collect(ctx context.Context) Evidence {
	c := x.self
	x.secrets = secretValues(x.seen.stack, c)
	x.evidence = Evidence{Service: c.Service, Container: c.Name, ID: c.ID, At: time.Now(), Run: c.StartedAt(), Health: x.health()}
	var all sync.WaitGroup
	for need, read := range map[Need]func(context.Context) error{
		NeedLogs: x.logs, NeedStats: x.stats, NeedProcesses: x.processes, NeedPorts: x.ports, NeedProbes: x.probes,
		NeedCheck: x.check, NeedDatabase: x.databases, NeedPeers: x.ports, NeedDisk: x.disks,
	} {
		if !slices.Contains(x.needs, need) || (need == NeedPeers && slices.Contains(x.needs, NeedPorts)) {
			continue
		}
		all.Go(func() {
			if err := read(ctx); err != nil {
				x.gap(need, err)
			}
		})
	}
	all.Wait()
	x.cpuSince()
	slices.SortFunc(x.evidence.Gaps, func(a, b Gap) int { return strings.Compare(a.Subject, b.Subject) })
	return x.evidence
}

// keep writes a part of the evidence.
func (x *examination) keep(write func(*Evidence)) {
	x.mu.Lock()
	defer x.mu.Unlock()
	write(&x.evidence)
}

// gap notes what could not be read, and why.
func (x *examination) gap(need Need, err error) {
	x.keep(func(e *Evidence) {
		e.Gaps = append(e.Gaps, Gap{Subject: fmt.Sprintf("%s of %s", need, x.self.Name), Service: x.self.Service, Err: line(err.Error(), x.secrets)})
	})
}

// health is the end of the engine's health log, which the snapshot has already.
func (x *examination) health() []HealthEntry {
	if x.self.Inspect.State == nil || x.self.Inspect.State.Health == nil {
		return nil
	}
	log := x.self.Inspect.State.Health.Log
	var entries []HealthEntry
	for _, r := range log[max(len(log)-healthKept, 0):] {
		entries = append(entries, HealthEntry{Start: r.Start, End: r.End, ExitCode: r.ExitCode, Output: cut(maskText(r.Output, x.secrets), maxLine)})
	}
	return entries
}

// logs reads the end of the container's log. One that never started has none.
func (x *examination) logs(ctx context.Context) error {
	if x.self.ID == "" {
		return nil
	}
	text, err := x.engine.LogsTimed(ctx, x.self.ID, logLines, maxText)
	if err != nil {
		return err
	}
	lines, last := readTimed(text, x.secrets)
	old := earlier(text, x.self.LogFrom(), len(lines))
	if !last.IsZero() { // by this host's clock, as all that it is compared with
		last = last.Add(-x.self.Ahead)
	}
	x.keep(func(e *Evidence) { e.Log, e.Earlier, e.LastLog = lines, old, last })
	return nil
}

// readTimed takes the times off the lines of a log. What was cut at the beginning has none and is left out.
func readTimed(text string, secrets []string) (lines []string, last time.Time) {
	for row := range strings.SplitSeq(strings.TrimSuffix(text, "\n"), "\n") {
		stamp, rest, _ := strings.Cut(row, " ")
		written, err := time.Parse(time.RFC3339Nano, stamp)
		if err != nil {
			continue
		}
		last = written
		lines = append(lines, rest)
	}
	if len(lines) == 0 {
		return nil, last
	}
	// Masked as a whole: a private key has many lines.
	lines = strings.Split(maskText(strings.Join(lines, "\n"), secrets), "\n")
	for i := range lines {
		lines[i] = cut(lines[i], maxLine)
	}
	return lines, last
}

// earlier counts the lines of a log that are older than a time, before the run of the container at hand: an old failure's
// lines stay in the log. It is 0 when masking joined lines, so that nobody knows which is which.
func earlier(text string, from time.Time, kept int) int {
	all, old := 0, 0
	for row := range strings.SplitSeq(strings.TrimSuffix(text, "\n"), "\n") {
		stamp, _, _ := strings.Cut(row, " ")
		written, err := time.Parse(time.RFC3339Nano, stamp)
		if err != nil {
			continue
		}
		all++
		if written.Before(from) {
			old = all
		}
	}
	if all != kept {
		return 0
	}
	return old
}

// processes lists what runs in the container.
func (x *examination) processes(ctx context.Context) error {
	if !x.self.Running() {
		return nil
	}
	top, err := x.engine.Top(ctx, x.self.ID)
	if err != nil {
		return err
	}
	processes := readTop(top, x.secrets)
	x.keep(func(e *Evidence) { e.Processes = processes })
	return nil
}

// probes makes the service's probes once, of this container.
func (x *examination) probes(ctx context.Context) error {
	results := once(ctx, x.cfg, x.seen, x.self.Service)
	results = slices.DeleteFunc(results, func(r ProbeResult) bool { return r.Container != x.self.ID })
	x.keep(func(e *Evidence) { e.Probes = results })
	return nil
}

// databases asks the PostgreSQL that the service is or uses.
func (x *examination) databases(ctx context.Context) error {
	server, found := x.databaseOf(ctx, x.svc)
	if !found {
		return nil
	}
	d, err := x.database(ctx, server)
	if err != nil {
		return err
	}
	d.Detail = line(d.Detail, x.secrets)
	x.keep(func(e *Evidence) { e.Database = d })
	return nil
}
