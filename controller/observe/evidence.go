package observe

import (
	"time"

	"composure/spec"
)

// ProbeState is what a probe knows.
type ProbeState string

// States of a probe. Unknown is neither: the probe itself could not be made (a wrong password, no such tool in the
// container), or it has not answered often enough for its thresholds.
const (
	ProbeOK      ProbeState = "ok"
	ProbeFailing ProbeState = "failing"
	ProbeUnknown ProbeState = "unknown"
)

// ProbeResult is one probe of one container after its thresholds.
type ProbeResult struct {
	Service     string
	Container   string // id: a result holds until the container is another
	Name        string
	Kind        string // http, tcp, postgres, exec, log, handshake
	State       ProbeState
	Last        ProbeState // what the last attempt said, before any threshold
	Since       time.Time  // of the state
	At          time.Time  // of the last attempt
	Latency     time.Duration
	Status      int        // of HTTP
	Detail      string     // what was seen, on one line, without secrets
	Consecutive int        // equal raw answers in a row
	Spec        spec.Probe `json:"-"` // may name passwords: no part of what is kept
}

// Need is a kind of evidence that a diagnosis asks for.
type Need string

// Needs. The cheap ones (logs, health log, stats, processes) answer within 150 ms and are collected before an urgent
// action; the others have their own bounds.
const (
	NeedLogs      Need = "logs"      // log tail
	NeedStats     Need = "stats"     // memory and CPU, two samples
	NeedProcesses Need = "processes" // of the container
	NeedPorts     Need = "ports"     // listening, mapped, reachable, held by whom
	NeedProbes    Need = "probes"    // the probes made once, now
	NeedDatabase  Need = "database"  // the PostgreSQL that the service is or uses
	NeedPeers     Need = "peers"     // reachable from another service's network
	NeedCheck     Need = "check"     // the healthcheck made once, now, with more time than it has
	NeedDisk      Need = "disk"      // space of the engine's data root and of volumes, as far as a container shows it
)

// Evidence is what was collected about one container when something was wrong with it. Zero fields were not asked for;
// what was asked for and could not be read is a Gap. Texts are the container's own: bounded, secrets masked, and never
// trusted.
type Evidence struct {
	Service   string
	Container string // name
	ID        string
	At        time.Time
	Run       time.Time // start of the container's run that it is about, by the engine's clock; zero: unknown
	Log       []string  // last lines, oldest first
	Earlier   int       // so many of them are older than the container's current run
	LastLog   time.Time // when the last of them was written; zero: unknown
	Health    []HealthEntry
	Check     *HealthEntry // the healthcheck made by hand; nil: not asked for, or it could not be run
	Processes []Process
	Stats     *Stats
	Ports     []PortCheck
	Probes    []ProbeResult
	Database  *Database
	Disks     []Disk
	OOM       time.Time // of the engine's oom event in this run of the container; zero: none
	Dump      string    // stack dump, when one was asked for
	Gaps      []Gap
}

// HealthEntry is one entry of the engine's health log.
type HealthEntry struct {
	Start, End time.Time
	ExitCode   int
	Output     string
}

// Disk is one file system that a container writes to.
type Disk struct {
	Path       string // in the container
	Size, Free int64  // bytes
}

// Process is one process of a container.
type Process struct {
	PID     int // on the host
	Command string
}

// Stats are resource figures of a container.
type Stats struct {
	MemoryUsage int64   // bytes, without the page cache that can be dropped (as the docker CLI computes it)
	MemoryLimit int64   // bytes; 0: none
	CPU         float64 // share of one CPU between the two samples; 1 is one CPU
	CPUUnknown  bool    // it could not be sampled twice: CPU says nothing
	PIDs        int
	At          time.Time `json:",omitzero"` // of a sample, by this host's clock
}

// PortCheck is one published or probed port.
type PortCheck struct {
	Port      spec.Port
	Listening *bool  // a process in the container listens; nil: unknown
	Mapped    bool   // the engine says that it is published
	Reachable *bool  // from the host, at the container's own address or the published one
	Network   *bool  // from another service's network
	Holder    Holder // who else holds the published port
	Detail    string
}

// Holder is who holds a port.
type Holder struct {
	PID       int    // of a process of the host
	Command   string // its name, without arguments
	Container string // name of a container
}

// Database is what a PostgreSQL server said.
type Database struct {
	Service           string // that runs it; empty: outside the stack
	Reachable         bool
	Accepting         bool // past startup and recovery
	SelectOne         bool // logged in and answered
	LoginRefused      bool // unknown, not a failure: the password may have been rotated
	InRecovery        bool
	Full              bool // it has no connection left for an application; the figures may be unknown then
	Connections       int  // of clients, without the one that asked
	MaxConnections    int
	IdleInTransaction int
	LongestIdle       time.Duration // in a transaction
	LongRunning       int           // active queries over a minute
	Blocked           int           // sessions that wait for a lock
	SystemIdentifier  string        // of the cluster: another one is another database
	Idle              []Session     // those idle in transaction, the longest first
	Detail            string
}

// Session is a client's session of a database server that is idle in a transaction.
type Session struct {
	PID     int
	Since   time.Time     // of this very state, as the server says
	For     time.Duration // how long that was when it was seen
	User    string
	Program string // application_name
}
