// Package observe looks at what there is: it collects one Snapshot of a stack from an engine, all of it, every pass.
//
// A Snapshot is plain data. What could not be read is a Gap, never a guess: unknown is neither healthy nor a failure.
package observe

import (
	"context"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/volume"
)

// Snapshot is what the engine said about one stack at one time.
type Snapshot struct {
	At         time.Time
	Engine     Engine
	Containers []Container                      // of the project, one-off ones too; sorted by service, number, name
	Networks   map[string]network.Inspect       // by the engine's name: those the stack names or owns, without their endpoints
	Twins      map[string][]Twin                // by name: what else has it
	Volumes    map[string]volume.Volume         // by the engine's name: those the stack names or owns
	Images     map[string]image.InspectResponse // by id: those the services name and those the containers run
	Refs       map[string]string                // image reference of a service → local image id; "" when missing
	HostFiles  map[string]HostFile              // by path: regular files of this host that the stack's containers mount read-only; nil when the engine is on another host
	SameDirs   map[string]bool                  // project directories in labels that are the stack's own by another path, such as through a symbolic link
	Gaps       []Gap
	List       [32]byte // identifies what the list of containers said
}

// HostFile is a file of the host at one time.
type HostFile struct {
	ModTime time.Time
}

// Engine is who answered.
type Engine struct {
	ID         string // of the engine, kept across its restarts: what tells two hosts apart
	Version    string
	APIVersion string // negotiated
	OS, Arch   string
	Builder    string        // 1: classic, 2: BuildKit
	Ahead      time.Duration // how far its clock is ahead of this host's; 0 while they agree
	Local      bool          // on this very host, so that the paths it mounts can be looked at
	Self       string        // id of the container that Composure itself runs in, which is never touched; empty: none of this engine's
	Shared     []string      // in a container: the directories and files of the host that it sees under the host's own path
	LogDriver  string        // what a container gets that asks for none; empty: unknown
	Runtime    string        // the same
	Root       string        // directory of its data; empty: unknown
	Drops      []string      // limits, as keys of the compose file, that its kernel cannot set: it leaves them out of a request with a warning

	Proxies map[string]string // variables that the docker configuration gives to every container
}

// Container is one container of the project. Inspect is the engine's own answer and never nil.
type Container struct {
	ID        string
	Name      string // without the leading slash
	Service   string
	Number    int
	OneOff    bool
	Inspect   *container.InspectResponse
	Ahead     time.Duration         // how far the engine's clock, by which Inspect is stamped, was ahead of this host's
	Seen      time.Time             // when its present run began by this host's clock, where the engine's stamp cannot be right; else zero
	Unchecked time.Time             // when the engine last ran its healthcheck, where it does not any more; zero: it does
	Lost      []Process             // of its last run, which the engine has lost: it says that the container has ended, and they run on; seen on this host only
	Files     map[string]CopiedFile // by path: content that was copied in; only what the stack names; the zero value when missing
}

// CopiedFile is a regular file in a container. The zero value is one that is missing.
type CopiedFile struct {
	Digest   string // sha256 (hex) of its content
	UID, GID int
	Mode     int64 // permissions, with setuid, setgid and sticky
}

// Gap is a fact that could not be read.
type Gap struct {
	Subject string // "container web-1", "container web-1 files", "network app_default", "image api:1", "volumes"
	Service string // of the container that could not be read; empty otherwise
	Err     string
}

// Source is the engine as a look reads it. Implementations are safe for concurrent use, bound every call in
// time, and mark "there is none" with errors that IsNotFound recognises.
type Source interface {
	// Engine returns who answers; it also proves that the engine is there.
	Engine(ctx context.Context) (Engine, error)
	// Containers lists every container, in any state, that carries the project label.
	Containers(ctx context.Context, project string) ([]container.Summary, error)
	Container(ctx context.Context, id string) (*container.InspectResponse, error)
	// Networks and Volumes list those that carry the project label.
	Networks(ctx context.Context, project string) ([]network.Inspect, error)
	Volumes(ctx context.Context, project string) ([]volume.Volume, error)
	Network(ctx context.Context, name string) (network.Inspect, error)
	Volume(ctx context.Context, name string) (volume.Volume, error)
	// Image resolves a reference or an id.
	Image(ctx context.Context, ref string) (image.InspectResponse, error)
	// CopiedFile reads a regular file in a container.
	CopiedFile(ctx context.Context, id, path string) (CopiedFile, error)
}

// Running says whether the container's process runs, paused or not. A container in a restart loop is not running.
func (c Container) Running() bool {
	s := c.Inspect.State
	return s != nil && s.Running && !s.Restarting
}

// Status is the engine's word for the state: created, running, paused, restarting, removing, exited, dead.
func (c Container) Status() string {
	if c.Inspect.State == nil {
		return "unknown"
	}
	return string(c.Inspect.State.Status)
}

// Dead says whether the engine tried to remove the container and could not: nothing is left of it but its entry, which can
// be renamed and removed, and neither updated nor started.
func (c Container) Dead() bool { return c.Status() == "dead" }

// Health is healthy, unhealthy, starting, unknown, or "none" when no healthcheck is configured. A paused or stopped container
// keeps whatever it had last (engine fact): ask Running first. The engine calls a container that was paused unhealthy
// without a failed check on record: until a check has run again that is "unknown", and so is what it does not check any more.
func (c Container) Health() string {
	if c.Inspect.State == nil || c.Inspect.State.Health == nil {
		return "none"
	}
	if h := c.Inspect.State.Health; c.stalled() || h.Status == container.Unhealthy && h.FailingStreak == 0 {
		return "unknown"
	}
	return string(c.Inspect.State.Health.Status)
}

// Created is when the container was created.
func (c Container) Created() time.Time { return c.ours(parseTime(c.Inspect.Created)) }

// StartedAt is when the container last started; zero when it never did. Where the engine's stamp cannot be right it is
// when the run was first seen.
func (c Container) StartedAt() time.Time {
	if !c.Seen.IsZero() {
		return c.Seen
	}
	if c.Inspect.State == nil {
		return time.Time{}
	}
	return c.ours(parseTime(c.Inspect.State.StartedAt))
}

// StartKnown says whether the engine's stamp of the start can be right at a time. One of the future was made by a clock that was
// set back since: how long the container has been up is not known.
func (c Container) StartKnown(now time.Time) bool {
	return c.Inspect.State != nil && !c.ours(parseTime(c.Inspect.State.StartedAt)).After(now.Add(clocksDiffer))
}

// clocksDiffer is by how much two clocks that agree may differ.
const clocksDiffer = 2 * time.Second

// FinishedAt is when the container last ended; zero when it never did.
func (c Container) FinishedAt() time.Time {
	if c.Inspect.State == nil {
		return time.Time{}
	}
	return c.ours(parseTime(c.Inspect.State.FinishedAt))
}

// ours is a stamp of the engine's by this host's clock.
func (c Container) ours(stamp time.Time) time.Time {
	if stamp.IsZero() {
		return stamp
	}
	return stamp.Add(-c.Ahead)
}

// startSlack is how much earlier than its start a container's first lines may be stamped where no earlier end is known.
const startSlack = time.Second

// LogFrom is, by the engine's clock, a time before the first line of the container's last run and, where the engine tells,
// after the run before it. The engine notes a start after the process runs: the first lines of a log are older than
// StartedAt.
func (c Container) LogFrom() time.Time {
	own := c
	own.Ahead, own.Seen = 0, time.Time{}
	start, before := own.StartedAt(), own.FinishedAt()
	switch {
	case start.IsZero():
		return start
	case before.IsZero() && own.Created().Before(start):
		return own.Created()
	case !before.IsZero() && before.Before(start):
		return before
	}
	return start.Add(-startSlack)
}

// killTakes is how long after the kernel's kill for memory the engine may take to note the end of the process.
const killTakes = 5 * time.Second

// EndedBy says whether a kill for memory at a time was the end of the container's last ended run.
func (c Container) EndedBy(kill time.Time) bool {
	end := c.FinishedAt()
	return !kill.After(end) && end.Sub(kill) <= killTakes
}

// Label returns a label of the container, or "".
func (c Container) Label(name string) string {
	if c.Inspect.Config == nil {
		return ""
	}
	return c.Inspect.Config.Labels[name]
}

// parseTime reads the engine's RFC 3339 time; the engine writes 0001-01-01 for never.
func parseTime(text string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil || t.Year() <= 1 {
		return time.Time{}
	}
	return t
}

// Of returns the containers of a service that are not one-off, by number.
func (s *Snapshot) Of(service string) []Container {
	var found []Container
	for _, c := range s.Containers {
		if c.Service == service && !c.OneOff {
			found = append(found, c)
		}
	}
	return found
}
