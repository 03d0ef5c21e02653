package view

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"composure/controller/store"
)

// Kinds of overrides beside store.Pause.
const (
	Rollback    = "rollback"
	RaiseMemory = "raise_memory"
	Rebuild     = "rebuild"  // the image that was built anew while healing, until the next deployment
	Handover    = "handover" // a command asks the running remediator to let the stack go for a moment; never shown
)

// OverrideValue is what an override sets, and the config hash of the service when it was recorded: an edited service is
// another decision, and supersedes it. It is how the value of an override is stored.
type OverrideValue struct {
	Value string `json:"value"`
	Basis string `json:"basis,omitempty"`
}

// History is what the store remembers ("composure.history/v1"), newest first.
type History struct {
	Schema    string     `json:"schema"`
	Stack     string     `json:"stack"`
	Revisions []Revision `json:"revisions"`
	Attempts  []Attempt  `json:"attempts"`
	Decisions []Decision `json:"decisions"`
}

// Revision is what was applied at a time.
type Revision struct {
	ID        string            `json:"id"`
	AppliedAt time.Time         `json:"applied_at"`
	Origin    string            `json:"origin"`
	Commit    string            `json:"commit,omitempty"`
	Services  []RevisionService `json:"services"`
}

// RevisionService is a service of a revision.
type RevisionService struct {
	Service    string     `json:"service"`
	ConfigHash string     `json:"config_hash"`
	ImageID    string     `json:"image_id"`
	StableAt   *time.Time `json:"stable_at,omitempty"` // when it was proven stable
}

// Attempt is something that was done, and how it ended.
type Attempt struct {
	Subject    string     `json:"subject"`
	Service    string     `json:"service,omitempty"`
	Kind       string     `json:"kind"`
	Cause      string     `json:"cause"`
	StartedAt  time.Time  `json:"started_at"`
	FinishedAt *time.Time `json:"finished_at,omitempty"`
	Outcome    string     `json:"outcome"`
	Error      string     `json:"error,omitempty"`
	Verdict    string     `json:"verdict,omitempty"`
	Counts     bool       `json:"counts"` // against the budget
}

// Decision is a deliberate divergence, in force or not.
type Decision struct {
	Service string     `json:"service,omitempty"` // empty: the stack
	Kind    string     `json:"kind"`
	Value   string     `json:"value,omitempty"`
	Owner   string     `json:"owner"`
	Reason  string     `json:"reason,omitempty"`
	Created time.Time  `json:"created"`
	Until   *time.Time `json:"until,omitempty"`
	Ended   *time.Time `json:"ended,omitempty"`
	EndedBy string     `json:"ended_by,omitempty"`
}

// Record is what the store remembers that a History shows: revisions and overrides newest first, attempts oldest first,
// as the store returns them.
type Record struct {
	Revisions []store.Revision
	Attempts  []store.Attempt
	Overrides []store.Override
}

// HistoryOf is the newest of a record, of each at most limit; of one service, or of the whole stack when service is
// empty.
func HistoryOf(stack string, r Record, service string, limit int) History {
	h := History{Schema: "composure.history/v1", Stack: stack, Revisions: []Revision{}, Attempts: []Attempt{}, Decisions: []Decision{}}
	for _, v := range r.Revisions {
		if kept := revisionOf(v, service); len(kept.Services) > 0 && len(h.Revisions) < limit {
			h.Revisions = append(h.Revisions, kept)
		}
	}
	for _, t := range slices.Backward(r.Attempts) {
		if (service == "" || t.Service == service) && len(h.Attempts) < limit {
			h.Attempts = append(h.Attempts, attemptOf(t))
		}
	}
	for _, o := range r.Overrides {
		if o.Kind != Handover && (service == "" || o.Service == service) && len(h.Decisions) < limit {
			h.Decisions = append(h.Decisions, DecisionOf(o))
		}
	}
	return h
}

// revisionOf is a revision with the services that are asked for.
func revisionOf(r store.Revision, service string) Revision {
	kept := Revision{ID: r.ID, AppliedAt: r.AppliedAt.UTC(), Origin: r.Origin, Commit: r.Commit}
	for _, s := range r.Services {
		if service == "" || s.Service == service {
			kept.Services = append(kept.Services, RevisionService{s.Service, s.ConfigHash, s.ImageID, When(s.StableAt)})
		}
	}
	return kept
}

func attemptOf(t store.Attempt) Attempt {
	one := Attempt{
		Subject: subject(t.Key), Service: t.Service, Kind: verb(t.Operation), Cause: line(t.Cause), StartedAt: t.StartedAt.UTC(),
		FinishedAt: When(t.FinishedAt), Outcome: t.Outcome, Error: line(t.Error), Verdict: t.Verdict, Counts: t.Rung > 0,
	}
	if one.Outcome == "" {
		one.Outcome = "begun"
	}
	return one
}

// DecisionOf reads an override. A value that cannot be read is not shown; the decision is.
func DecisionOf(o store.Override) Decision {
	var v OverrideValue
	if len(o.Value) > 0 {
		_ = json.Unmarshal(o.Value, &v)
	}
	return Decision{
		Service: o.Service, Kind: o.Kind, Value: v.Value, Owner: line(o.Owner), Reason: line(o.Reason), Created: o.Created.UTC(),
		Until: When(o.Until), Ended: When(o.Ended), EndedBy: line(o.EndedBy),
	}
}

// What is the kind of a decision with its value, such as "rollback to 3fa9c2d1".
func (d Decision) What() string {
	switch d.Kind {
	case Rollback:
		return "rollback to " + d.Value
	case RaiseMemory:
		return "memory raised to " + d.Value + " bytes"
	}
	return d.Kind
}

// By is who applied a revision.
func (r Revision) By() string {
	if r.Commit == "" {
		return r.Origin
	}
	return r.Origin + ", commit " + r.Commit[:min(12, len(r.Commit))]
}

// subject names what a key is about, such as "api 1".
func subject(key string) string {
	kind, rest, _ := strings.Cut(key, "/") // an image has slashes of its own
	if kind == "service" {
		return strings.ReplaceAll(rest, "/", " ")
	}
	return kind + " " + rest
}
