// Package drift compares what a stack must be with what was observed, field by field. It is pure: the same stack and
// snapshot give the same report, in the same order.
package drift

import (
	"time"

	"composure/controller/observe"
	"composure/spec"
)

// Origin says whose doing a drift is.
type Origin string

// Origins, from three states: the file now, the file as last applied, the container now.
const (
	OriginFile Origin = "file" // the file was edited and not deployed yet
	OriginLive Origin = "live" // the container was changed by hand
	OriginBoth Origin = "both"
)

// Remedy is the class of what a deployment would do about a drift, in rising order of impact.
type Remedy string

// Remedy classes.
const (
	RemedyReport   Remedy = "report"   // a human must act; the cause says how
	RemedyInPlace  Remedy = "in-place" // nothing that runs is interrupted: updated, connected, renamed, started, or created where it is missing
	RemedyRestart  Remedy = "restart"
	RemedyRecreate Remedy = "recreate"
)

// Drift is one field that differs.
type Drift struct {
	Service   string // empty: the drift is about a network or volume, or about a container of no service of the file
	Container string // name; empty: the service as a whole
	Subject   string // what is compared when it is no container: "network app_default", "volume app_data"
	Field     string // as in the compose file where it has a key there, such as "mem_limit", "environment.LOG_LEVEL", "ports.80/tcp"; else one of the Field constants
	Desired   string // rendered and, where the key looks like a secret, masked
	Observed  string
	Pos       spec.Position
	Origin    Origin
	Remedy    Remedy
	Cause     string    // one sentence: what happened and what it means
	Override  *Override // the recorded divergence that explains it; nil: none. No pass and no deployment fights it

	network string // of fields below networks: the engine's name of the network
}

// Fields that are no key of the compose file.
const (
	FieldUnique    = "unique"    // there are several networks of one name
	FieldExistence = "existence" // a container, network or volume is missing
	FieldReplicas  = "replicas"  // a replica is missing beside others
	FieldSurplus   = "surplus"   // a container more than the replicas
	FieldOrphan    = "orphan"    // a container of a service that the file does not have
	FieldLeftover  = "leftover"  // what an interrupted recreation left
	FieldName      = "name"
	FieldState     = "state"
	FieldHealth    = "health"
	FieldImage     = "image"
	FieldSevered   = "network_mode.joined" // the shared network is that of an earlier run of its owner
)

// Override is a deliberate divergence from the file, recorded with who wants it, why, and until when.
type Override struct {
	Service string // empty: the stack
	Field   string // such as "mem_limit", "environment" (and all below it), "state"; empty: every field
	Value   string // rendered: only a container that has this value is covered; empty: any
	Owner   string // a person, or composure itself after a remedy
	Reason  string
	Until   time.Time // zero: until released
}

// Input is all that a report depends on.
type Input struct {
	Stack     *spec.Stack       // what the file says now
	Applied   *spec.Stack       // what it said when it was last applied; nil: nothing is recorded
	Snapshot  *observe.Snapshot // what there is
	Overrides []Override        // what is meant to differ
	Paused    map[string]string // by service, "" for the stack: why a deployment leaves it alone, and the way out
}

// Report is everything that differs, sorted by service, container, field, and what could not be compared.
type Report struct {
	Stack  string
	Drifts []Drift
	Impact []Impact // one a service of the file, in the file's order of names
	Gaps   []Gap
	Edited bool // the config hash of a container says that the file was edited since: only what was applied last tells all that differs
}

// Impact is what a deployment would do to a service now.
type Impact struct {
	Service    string
	Remedy     string   // none, in-place, restart, recreate, create; report is none
	DataAtRisk []string // sentences: what a recreation of the service would put at risk
	Held       string   // why a deployment would not do it now, and the way out; empty: it would, or there is nothing to do
}

// Gap is what could not be compared, because it could not be read.
type Gap struct {
	Subject string
	Why     string
}
