package diagnose

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"

	"composure/controller/drift"
	"composure/controller/observe"
	"composure/spec"
)

// patient is one service with all that is known of the container that stands for it: of several, the one that does worst.
type patient struct {
	in       *Input
	svc      *spec.Service
	c        *observe.Container    // nil: there is none, or it could not be read
	unread   string                // why it could not be read
	evidence *observe.Evidence     // of this very container; nil: not collected
	probes   []observe.ProbeResult // of this very container, the last of each, sorted by name
	database string                // the PostgreSQL service that it is or uses
	backends []string              // services that it needs
	signs    map[string][]string   // cause → lines of the log that speak for it
}

func newPatient(in *Input, svc *spec.Service) *patient {
	p := &patient{in: in, svc: svc}
	for _, g := range in.Snapshot.Gaps {
		if g.Service == svc.Name {
			p.unread = either(g.Err, "it could not be read")
		}
	}
	worst := 0
	for _, slot := range observe.Slots(svc, in.Snapshot) {
		if slot.Surplus {
			continue
		}
		if slot.Container != nil && slot.Container.Inspect.State == nil {
			p.unread = "the engine does not say what state it is in"
			continue
		}
		candidate := &patient{in: in, svc: svc, c: slot.Container, unread: p.unread}
		candidate.collected()
		if rank := candidate.rank(); rank > worst || worst == 0 {
			p, worst = candidate, rank
		}
	}
	p.signs = p.read()
	return p
}

// collected picks what belongs to this run of this container: an answer about the one before says nothing, but in a
// series of restarts by the engine, where each run ends as the one before.
func (p *patient) collected() {
	if p.c == nil {
		return
	}
	for i, e := range p.in.Evidence[p.svc.Name] {
		current := e.Run.IsZero() || e.Run.Equal(p.c.StartedAt()) || p.c.Inspect.RestartCount > 0
		if e.ID == p.c.ID && current {
			p.evidence = &p.in.Evidence[p.svc.Name][i]
		}
	}
	results := slices.Clone(p.in.Probes)
	if p.evidence != nil {
		results = append(results, p.evidence.Probes...)
	}
	last := map[string]observe.ProbeResult{}
	for _, r := range results {
		if r.Service != p.svc.Name || r.Container != p.c.ID {
			continue
		}
		// A single attempt has not passed the thresholds: it counts where no standing result is known, and where the
		// engine says, too, that the service is not well. A line of the log that was found once stays found.
		if before, standing := last[r.Name]; !standing || p.unhealthy() && r.Kind != "log" && r.At.After(before.At) {
			last[r.Name] = r
		}
	}
	for name, r := range last {
		if p.unhealthy() && r.Kind != "log" && r.Last != "" {
			r.State = r.Last
			last[name] = r
		}
	}
	for _, r := range last {
		p.probes = append(p.probes, r)
	}
	slices.SortFunc(p.probes, func(a, b observe.ProbeResult) int { return strings.Compare(a.Name, b.Name) })
}

// rank orders containers of a service: the higher, the earlier the tree says no. It is at least 1.
func (p *patient) rank() int {
	switch {
	case p.missing():
		return 6
	case p.c != nil && p.ended() && !p.completed():
		return 5
	case p.unhealthy():
		return 4
	case len(p.failingProbes()) > 0:
		return 3
	case p.starting():
		return 2
	}
	return 1
}

// missing says whether there is no container where there must be one.
func (p *patient) missing() bool { return p.c == nil && p.unread == "" && p.svc.Replicas > 0 }

// live says whether the process runs and is scheduled.
func (p *patient) live() bool { return p.c != nil && p.c.Running() && p.c.Status() != "paused" }

// ended says whether there is a container whose process is gone, for now or for good, or never was.
func (p *patient) ended() bool { return p.c != nil && !p.c.Running() }

// completed says whether a job that is not meant to run for good has ended well.
func (p *patient) completed() bool {
	return p.ended() && p.c.Status() == "exited" && p.c.Inspect.State.ExitCode == 0 && !drift.MeantToRun(p.svc, *p.c)
}

func (p *patient) unhealthy() bool { return p.live() && p.c.Health() == "unhealthy" }
func (p *patient) starting() bool  { return p.live() && p.c.Health() == "starting" }

// down says whether the service does no work at all.
func (p *patient) down() bool {
	return p.missing() || (p.ended() && !p.completed()) || p.unhealthy() || p.looping()
}

// fails says whether the engine or a probe shows that the service does not do what others need it for.
func (p *patient) fails() bool {
	return p.down() || p.starting() || (p.c != nil && p.c.Status() == "paused") || len(p.failingProbes()) > 0
}

// loops is how many restarts by the engine make a container that does not stay up a crash loop.
const loops = 5

// looping says whether the container runs only for the moment: the engine has restarted it again and again.
func (p *patient) looping() bool {
	return p.live() && p.c.Inspect.RestartCount >= loops && p.c.StartKnown(p.in.Now) && p.up() < p.svc.Policy.MinHealthy
}

func (p *patient) failingProbes() []observe.ProbeResult {
	if !p.live() {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(p.probes), func(r observe.ProbeResult) bool { return r.State != observe.ProbeFailing })
}

// support lists the facts of the engine and the probes that show a failure: what a signature needs beside it.
func (p *patient) support() []string {
	var facts []string
	if p.c == nil {
		return nil
	}
	state := p.c.Inspect.State
	if p.ended() && state.Error != "" {
		facts = append(facts, "the engine cannot start it: "+reason(state.Error))
	}
	if p.ended() && p.c.Status() != container.StateCreated && (state.ExitCode != 0 || state.Restarting) {
		facts = append(facts, "it "+exit(state)+p.restarts())
	}
	if p.looping() {
		facts = append(facts, fmt.Sprintf("it runs for %s%s", p.up(), p.restarts()))
	}
	if p.unhealthy() {
		facts = append(facts, checksFailed(p.c.Inspect.State.Health))
	}
	for _, r := range p.failingProbes() {
		facts = append(facts, fmt.Sprintf("the probe %s fails: %s", r.Name, said(r)))
	}
	if p.overdue() {
		facts = append(facts, fmt.Sprintf("its healthcheck still says starting %s after the start, and it allows itself %s", p.up(), p.allowance()))
	}
	return facts
}

// up is how long the container has run.
func (p *patient) up() time.Duration { return p.in.Now.Sub(p.c.StartedAt()).Round(time.Second) }

// began is when the service stopped being well, as far as its state says.
func (p *patient) began() time.Time {
	if t := p.in.Began[p.svc.Name]; !t.IsZero() {
		return t
	}
	if p.ended() && !p.c.FinishedAt().IsZero() {
		return p.c.FinishedAt()
	}
	began := p.in.Now
	for _, r := range p.failingProbes() {
		if !r.Since.IsZero() && r.Since.Before(began) {
			began = r.Since
		}
	}
	return began
}

// environment is the running container's own, or nothing when there is none.
func (p *patient) environment() []string {
	if p.c == nil || p.c.Inspect.Config == nil {
		return nil
	}
	return p.c.Inspect.Config.Env
}

// policy is the restart policy in effect: it can have been changed by hand.
func (p *patient) policy() string {
	if p.c != nil && p.c.Inspect.HostConfig != nil && p.c.Inspect.HostConfig.RestartPolicy.Name != "" {
		return string(p.c.Inspect.HostConfig.RestartPolicy.Name)
	}
	name, _, _ := strings.Cut(p.svc.Restart, ":")
	return either(name, "no")
}

var (
	databaseImage = regexp.MustCompile(`(?i)(postgres|postgis|pgvector|timescale|mysql|mariadb|percona|mongo|redis|valkey|keydb|cassandra|cockroach|mssql|clickhouse|elasticsearch|opensearch|influxdb|couchdb|neo4j)`)
	notServer     = regexp.MustCompile(`(?i)(exporter|pgadmin|pgbouncer|admin|backup|client|proxy|commander|insight)`)
)

// isPostgres says whether the service runs a PostgreSQL server.
func (p *patient) isPostgres() bool {
	return observe.IsPostgres(p.svc.Image, p.environment())
}

// isDatabase says whether the service runs a database server of any common kind.
func (p *patient) isDatabase() bool {
	return p.isPostgres() || serves(p.svc.Image, databaseImage) || p.sets("MYSQL_ROOT_PASSWORD", "MARIADB_ROOT_PASSWORD", "MYSQL_ALLOW_EMPTY_PASSWORD", "MONGO_INITDB_ROOT_USERNAME")
}

// serves says whether an image of that name is the server itself and not a tool for it.
func serves(image string, kind *regexp.Regexp) bool {
	name, _, _ := strings.Cut(path.Base(image), "@")
	name, _, _ = strings.Cut(name, ":")
	return kind.MatchString(name) && !notServer.MatchString(name)
}

// sets says whether the container's environment has one of the variables.
func (p *patient) sets(keys ...string) bool {
	return slices.ContainsFunc(p.environment(), func(variable string) bool {
		key, _, _ := strings.Cut(variable, "=")
		return slices.Contains(keys, key)
	})
}

func either(text, other string) string {
	if text == "" {
		return other
	}
	return text
}
