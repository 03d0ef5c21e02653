package view

import "time"

// States of an action that a program asked for.
const (
	Planned = "planned" // shown, and not done yet
	Running = "running"
	Done    = "done"
	Failed  = "failed"
)

// Action is something that people ask of the remediator: what it would do, and what has become of it.
type Action struct {
	Schema   string     `json:"schema"`
	ID       string     `json:"id,omitempty"` // once it has begun
	Kind     string     `json:"kind"`
	Title    string     `json:"title"`
	Person   string     `json:"person,omitempty"`
	State    string     `json:"state"` // planned, running, done or failed
	Plan     string     `json:"plan,omitempty"`
	Confirm  string     `json:"confirm,omitempty"` // sent with the same request it has the plan carried out, once
	Until    *time.Time `json:"until,omitempty"`   // how long Confirm is good
	Began    *time.Time `json:"began,omitempty"`
	Ended    *time.Time `json:"ended,omitempty"`
	Said     string     `json:"said,omitempty"` // what it said
	Incident string     `json:"incident,omitempty"`
	Service  string     `json:"service,omitempty"`
}

// Actions are those that were begun, the newest first, and those that there are.
type Actions struct {
	Schema  string       `json:"schema"`
	Stack   string       `json:"stack"`
	Kinds   []ActionKind `json:"kinds"`
	Actions []Action     `json:"actions"`
}

// ActionKind is an action that can be asked for.
type ActionKind struct {
	Kind  string `json:"kind"`
	About string `json:"about"`
	Of    string `json:"of"` // what it needs: a service, an incident, or neither
}

// NewActions is the document.
func NewActions(stack string, kinds []ActionKind, begun []Action) Actions {
	return Actions{Schema: "composure.actions/v1", Stack: stack, Kinds: kinds, Actions: append([]Action{}, begun...)}
}

// NewAction is an action that was asked for.
func NewAction(kind, title, service, incident, person string) Action {
	return Action{Schema: "composure.action/v1", Kind: kind, Title: title, Service: service, Incident: incident, Person: person}
}
