// Package plan decides what to do about a stack: from drift, verdicts and what was tried before it computes jobs of
// single engine operations, each with the cause that called for it, and one Held line for everything it decided
// against. It is pure, and so is the plan: `--dry-run` prints it, the log says it, tests compare it.
package plan

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"

	"composure/controller/observe"
	"composure/spec"
)

// Operation is one call to the engine.
type Operation string

// Operations. None of them can remove a volume.
const (
	NetworkCreate Operation = "create network"
	NetworkRemove Operation = "remove network"
	VolumeCreate  Operation = "create volume"
	ImagePull     Operation = "pull image"
	ImageBuild    Operation = "build image"
	Create        Operation = "create"
	Start         Operation = "start"
	Restart       Operation = "restart"
	Stop          Operation = "stop"
	Unpause       Operation = "unpause"
	Update        Operation = "update"
	Rename        Operation = "rename"
	Connect       Operation = "connect"
	Disconnect    Operation = "disconnect"
	Remove        Operation = "remove"
	Kill          Operation = "kill"
	Capture       Operation = "capture logs of"
	Dump          Operation = "dump the stacks of" // a signal sent inside the container
	EndSessions   Operation = "end idle sessions of"
)

// Step is one operation on one target.
type Step struct {
	Op     Operation
	Target string // name of the container, network, volume or image as it is before the step
	ID     string // of the container; empty: the one that this job creates
	To     string // rename: the new name; connect and disconnect: the network
	Detail string // what a person wants to know of it, such as "memory 256 MiB"
	Waits  []Wait // what must be true first and is not; the job stops before this step until it is
	Expect Expect // what the target must still be right before the call (safety rule 4)
	Holder string // create and rename: id of the container that was seen with the new name; empty: none was
	Beside string // start: id of the other container of its recreation, which must not be running right before; empty: there is none

	Network  *spec.Network
	Volume   *spec.Volume
	Service  *spec.Service     // pull and build; whose database it is
	Sessions []observe.Session // to be ended, as far as they are still what they were
	Create   *spec.Container
	Update   *container.UpdateConfig
	Endpoint *network.EndpointSettings
	Grace    *time.Duration // nil: the container's own
	Signal   string         // dump: such as USR1
}

// Wait is a condition that is not met yet.
type Wait struct {
	On   string // whose: a service, or "network app_default", "volume app_data", "image api:1"
	Text string // such as "postgres to be healthy"
}

// Expect is the state of a container that a step was planned for. Zero fields are not checked.
type Expect struct {
	Name      string
	StartedAt string // as the engine writes it: the same run of the container
	Revived   bool   // or a later run that the engine has begun by itself
	Stopped   bool   // the container must not be running
	Paused    bool   // it was paused when the step was planned; else what takes it down must not find it paused
}

// Job is an ordered list of steps on one subject. Jobs of different keys are independent of one another.
type Job struct {
	Key     string // "service/api/1", "network/app_default": at most one in flight
	Service string // empty for networks and volumes
	Kind    string // remedy, with what identifies the try, such as "recreate:3fa9c2d1"
	Cause   string
	Steps   []Step
	Counts  bool // against the service's budget: a rung of the ladder
}

// Due returns the steps that may run now: those before the first that waits.
func (j Job) Due() []Step {
	for i, s := range j.Steps {
		if len(s.Waits) > 0 {
			return j.Steps[:i]
		}
	}
	return j.Steps
}

// Ends says whether the job ends a recreation that was begun, one way or the other: what must not be left half done.
func (j Job) Ends() bool {
	switch verb(j.Kind) {
	case "undo", "revert", "finish":
		return true
	}
	return false
}

// Waits returns what the job waits for, or nothing.
func (j Job) Waits() []Wait {
	for _, s := range j.Steps {
		if len(s.Waits) > 0 {
			return s.Waits
		}
	}
	return nil
}

// Held is something decided against, with the reason.
type Held struct {
	Key       string
	Service   string
	Reason    string
	Until     time.Time // when to look again; zero: on the next event
	Exhausted bool      // the budget is used up, or nothing is allowed: people are called
	Final     bool      // nothing that happens by itself will change it: a human, or a new run, must
}

// Plan is what to do now. Jobs and Held are in the order of dependencies, then of names.
type Plan struct {
	Jobs      []Job
	Held      []Held
	Decisions []Decision // to be recorded: they change what the next pass restores
	Notes     []string   // what a human should know and nothing is done about (orphans, changed volumes)
}

// Decision is a deliberate divergence from the file that healing chose. It is recorded as an override first; what
// follows from it is drift of the next pass.
type Decision struct {
	Service string
	Kind    string // rollback, raise_memory, rebuild
	Value   string // revision; bytes; id of the image
	Reason  string
}

// Due returns the jobs with a step that may run now.
func (p Plan) Due() []Job {
	var due []Job
	for _, j := range p.Jobs {
		if len(j.Due()) > 0 {
			due = append(due, j)
		}
	}
	return due
}

// Yield puts off whatever would begin something new, and says why. What a recreation has begun is brought to its end: the service
// may be down until then.
func (p *Plan) Yield(why string) {
	p.Decisions = nil
	begun := p.Jobs[:0:0]
	for _, j := range p.Jobs {
		if j.Ends() || verb(j.Kind) == "recreate" && j.Steps[0].Op != Create {
			begun = append(begun, j)
			continue
		}
		p.Held = append(p.Held, Held{Key: j.Key, Service: j.Service, Reason: why})
	}
	p.Jobs = begun
}

// Settled says whether nothing is to be done and nothing is held: the stack is converged.
func (p Plan) Settled() bool { return len(p.Jobs) == 0 && len(p.Held) == 0 }

// About says whether anything is to be done about a service, or is held.
func (p Plan) About(service string) bool {
	return slices.ContainsFunc(p.Jobs, func(j Job) bool { return j.Service == service }) ||
		slices.ContainsFunc(p.Held, func(h Held) bool { return h.Service == service })
}

// Concerns says whether anything is to be done about a subject, or is held.
func (p Plan) Concerns(key string) bool {
	return slices.ContainsFunc(p.Jobs, func(j Job) bool { return j.Key == key }) ||
		slices.ContainsFunc(p.Held, func(h Held) bool { return h.Key == key })
}

// Stuck says whether nothing can go on by itself: no step is due, nothing waits for time or for an event.
func (p Plan) Stuck() bool {
	for _, j := range p.Jobs {
		if len(j.Due()) > 0 {
			return false
		}
	}
	for _, h := range p.Held {
		if !h.Final {
			return false
		}
	}
	return !p.Settled()
}

// Wake returns the earliest time at which to look again; zero when only an event can change anything.
func (p Plan) Wake() time.Time {
	var wake time.Time
	for _, h := range p.Held {
		if !h.Until.IsZero() && (wake.IsZero() || h.Until.Before(wake)) {
			wake = h.Until
		}
	}
	return wake
}

// String is the plan as people read it: what `--dry-run` prints.
func (p Plan) String() string {
	var b strings.Builder
	for _, j := range p.Jobs {
		fmt.Fprintf(&b, "%s: %s\n", j.Title(), j.Cause)
		for _, s := range j.Steps {
			fmt.Fprintf(&b, "  %s", s)
			if len(s.Waits) > 0 {
				fmt.Fprintf(&b, "  (waits for %s)", Join(s.Waits))
			}
			b.WriteByte('\n')
		}
	}
	for _, d := range p.Decisions {
		fmt.Fprintf(&b, "decide %s of %s: %s, because of %s\n", d.Kind, d.Service, d.Value, d.Reason)
	}
	for _, h := range p.Held {
		fmt.Fprintf(&b, "held %s: %s", title(h.Key), h.Reason)
		if !h.Until.IsZero() {
			fmt.Fprintf(&b, " (until %s)", h.Until.UTC().Format("15:04:05"))
		}
		b.WriteByte('\n')
	}
	for _, n := range p.Notes {
		fmt.Fprintf(&b, "note %s\n", n)
	}
	if b.Len() == 0 {
		return "nothing to do\n"
	}
	return b.String()
}

// Join renders conditions for people.
func Join(waits []Wait) string {
	texts := make([]string, len(waits))
	for i, w := range waits {
		texts[i] = w.Text
	}
	return strings.Join(texts, ", ")
}

// Title names the job for people, such as "api 1" or "network app_default".
func (j Job) Title() string { return title(j.Key) }

func title(key string) string {
	key = strings.TrimPrefix(key, "service/")
	return strings.Replace(key, "/", " ", 1) // the names of images have more of them
}

// String is one step as people read it.
func (s Step) String() string {
	text := string(s.Op) + " " + s.Target
	switch s.Op {
	case Rename:
		text += " to " + s.To
	case Connect:
		text += " to network " + s.To
	case Disconnect:
		text += " from network " + s.To
	}
	if s.Detail != "" {
		text += " (" + s.Detail + ")"
	}
	return text
}

// Title names what is held for people, such as "api 1".
func (h Held) Title() string { return title(h.Key) }
