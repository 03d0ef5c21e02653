// Package incident keeps the life of an incident: opened once per root cause and service, told as a timeline, mitigated,
// watched, resolved, marked when it comes back, escalated by tier exactly once. It is pure: what happens is a function
// of the incidents before, of what a pass found and did, and of the time.
package incident

import (
	"time"

	"composure/controller/plan"
)

// State of an incident.
type State string

// States, in the order of a life.
const (
	Open         State = "open"         // found, nothing has helped yet
	Acknowledged State = "acknowledged" // a person has taken over; remediation goes on unless they paused it
	Mitigated    State = "mitigated"    // the service runs well again and is watched until it is stable
	Resolved     State = "resolved"
)

// Tier is who is called.
type Tier string

// Tiers of the runbook.
const (
	DevOps    Tier = "devops"
	Emergency Tier = "emergency"
)

// tiers in the order in which they are told.
var tiers = []Tier{DevOps, Emergency}

// Event is one line of a timeline. Times are UTC; the text is one line without secrets.
type Event struct {
	At   time.Time `json:"at"`
	Kind string    `json:"kind"` // began, detected, diagnosed, action, mitigated, reopened, escalated, acknowledged, confirmed, resolved, recurred, note
	Text string    `json:"text"`
}

// Incident is one incident. JSON is how it is stored. Its texts are single lines without secrets: Advance masks what it
// takes in.
type Incident struct {
	ID          string             `json:"id"` // <stack>-<yyyymmdd>-<hhmmss>, with -2 and so on for the next of that second
	Stack       string             `json:"stack"`
	Service     string             `json:"service"` // empty: of the stack as a whole, such as an engine that does not answer
	Cause       string             `json:"cause"`
	Causes      []string           `json:"causes"` // all that it was diagnosed as, the first one first
	Severity    string             `json:"severity"`
	Summary     string             `json:"summary"`
	State       State              `json:"state"`
	Began       time.Time          `json:"began"` // when the service stopped being well
	Detected    time.Time          `json:"detected"`
	Diagnosed   time.Time          `json:"diagnosed"`
	FirstAction time.Time          `json:"first_action"`
	MitigatedAt time.Time          `json:"mitigated_at"`
	ResolvedAt  time.Time          `json:"resolved_at"`
	IllSince    time.Time          `json:"ill_since"`            // start of the illness at hand: Began, or when it was last reopened
	Returned    time.Time          `json:"returned"`             // of the stack: when the engine answered again, or the mass failure was over
	Recurrence  string             `json:"recurrence,omitempty"` // id of the one before, within the policy's time
	ExplainedBy string             `json:"explained_by,omitempty"`
	Proof       []string           `json:"proof"`
	Steps       []string           `json:"steps"`              // the decision tree as walked, a line each
	Examined    bool               `json:"examined,omitempty"` // the evidence was there when the cause was named
	Timeline    []Event            `json:"timeline"`
	Tried       []Action           `json:"tried"`
	Actions     int                `json:"actions"` // attempts that count against the budget
	Failed      int                `json:"failed"`  // of those
	Deadlocks   int                `json:"deadlocks,omitempty"`
	DeadlockAt  time.Time          `json:"deadlock_at"`        // when the last one was counted
	Repaired    int                `json:"repaired,omitempty"` // how often the engine's restart policy has made it good
	RepairedAt  time.Time          `json:"repaired_at"`        // when it last happened
	Escalated   map[Tier]time.Time `json:"escalated,omitempty"`
	Reasons     map[Tier]string    `json:"reasons,omitempty"`  // why
	Reminded    map[Tier]int       `json:"reminded,omitempty"` // how often since
	Announced   time.Time          `json:"announced"`          // last announcement of the open state
	AckBy       string             `json:"ack_by,omitempty"`
	AckAt       time.Time          `json:"ack_at"`
	Impact      Impact             `json:"impact"`
	Evidence    []string           `json:"evidence"` // names of what is kept beside it; Advance never touches it
	Was         string             `json:"-"`        // the document that it was read from; empty: it is new
}

// Impact is what an incident did.
type Impact struct {
	Endpoints []string `json:"endpoints,omitempty"`
	Confirmed bool     `json:"confirmed"`          // a person confirmed that customers saw it
	Data      string   `json:"data"`               // DataVerified, DataCompromised, DataUnchecked
	Services  []string `json:"services,omitempty"` // whose symptoms it explains
}

// Data integrity after an incident.
const (
	DataVerified    = "verified"
	DataCompromised = "compromised"
	DataUnchecked   = "not checked"
)

// Action is one attempt that ended while the incident was open.
type Action struct {
	Key     string       `json:"key"` // of the job, such as "service/api/1"
	Kind    string       `json:"kind"`
	Cause   string       `json:"cause"`
	At      time.Time    `json:"at"` // when it ended
	Counts  bool         `json:"counts"`
	Outcome plan.Outcome `json:"outcome"`
	Reason  string       `json:"reason,omitempty"`
	Verdict plan.Verdict `json:"verdict"` // pending until the service is well again, or until it was of no use
}

// Announcement is what people are to be told. It is put into the outbox before it is delivered; Key, and the kind within
// an incident and a tier, keep it from being told twice.
type Announcement struct {
	Key      string    `json:"key"` // incident, tier and kind: unique
	Incident string    `json:"incident"`
	Tier     Tier      `json:"tier"`
	Kind     string    `json:"kind"` // escalated, reminded-1, reminded-2 …, acknowledged, resolved
	Reason   string    `json:"reason"`
	At       time.Time `json:"at"`
	Body     Incident  `json:"body"` // as it was then
}

// Change is what became of the incidents: those to be saved, and what people are to be told, both in the order of ids.
type Change struct {
	Changed  []Incident
	Announce []Announcement
}
