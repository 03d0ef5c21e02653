package notify

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"composure/controller/incident"
)

// webhook posts the JSON document of schema.json (composure.notification/v1), with the token as a bearer token.
type webhook struct{ address, token string }

func newWebhook(settings map[string]string) (sender, error) {
	w := webhook{address: settings["url"], token: settings["token"]}
	if strings.ContainsAny(w.token, "\r\n\x00") {
		return nil, errors.New("token: holds a line break")
	}
	return w, endpoint(w.address)
}

func (w webhook) send(ctx context.Context, m Message) error {
	header := http.Header{"Idempotency-Key": {m.ID}}
	if w.token != "" {
		header.Set("Authorization", "Bearer "+w.token)
	}
	return post(ctx, w.address, header, documentOf(m))
}

// document is the webhook's JSON; schema.json describes it. Fields are only ever added. Times that did not come yet are
// left out.
type document struct {
	Schema   string           `json:"schema"`
	ID       string           `json:"id"`
	Event    string           `json:"event"`
	Kind     string           `json:"kind"`
	Tier     incident.Tier    `json:"tier"`
	Reason   string           `json:"reason"`
	At       time.Time        `json:"at"`
	Title    string           `json:"title"`
	Incident documentIncident `json:"incident"`
}

type documentIncident struct {
	ID             string         `json:"id"`
	Stack          string         `json:"stack"`
	Service        string         `json:"service"`
	Cause          string         `json:"cause"`
	Severity       string         `json:"severity"`
	Summary        string         `json:"summary"`
	State          incident.State `json:"state"`
	RecurrenceOf   string         `json:"recurrence_of,omitempty"`
	Began          time.Time      `json:"began"`
	Detected       time.Time      `json:"detected"`
	Diagnosed      time.Time      `json:"diagnosed,omitzero"`
	FirstAction    time.Time      `json:"first_action,omitzero"`
	Mitigated      time.Time      `json:"mitigated,omitzero"`
	Resolved       time.Time      `json:"resolved,omitzero"`
	AcknowledgedBy string         `json:"acknowledged_by,omitempty"`
	AcknowledgedAt time.Time      `json:"acknowledged_at,omitzero"`
	Actions        int            `json:"actions"`
	FailedActions  int            `json:"failed_actions"`
	Impact         documentImpact `json:"impact"`
	Proof          []string       `json:"proof"`
	Steps          []string       `json:"steps"`
	Timeline       []documentLine `json:"timeline"`
	Evidence       []string       `json:"evidence"`
}

type documentImpact struct {
	Endpoints          []string `json:"endpoints"`
	Services           []string `json:"services"`
	DataIntegrity      string   `json:"data_integrity"`
	CustomersConfirmed bool     `json:"customers_confirmed"`
}

type documentLine struct {
	At   time.Time `json:"at"`
	Kind string    `json:"kind"`
	Text string    `json:"text"`
}

func documentOf(m Message) document {
	i := m.Body
	d := document{
		Schema: "composure.notification/v1", ID: m.ID, Event: m.event(), Kind: m.Kind, Tier: m.Tier, Reason: m.Reason, At: m.At.UTC(), Title: m.title(200),
		Incident: documentIncident{
			ID: i.ID, Stack: i.Stack, Service: i.Service, Cause: i.Cause, Severity: i.Severity, Summary: i.Summary, State: i.State,
			RecurrenceOf: i.Recurrence, Began: i.Began.UTC(), Detected: i.Detected.UTC(), Diagnosed: i.Diagnosed, FirstAction: i.FirstAction,
			Mitigated: i.MitigatedAt, Resolved: i.ResolvedAt, AcknowledgedBy: i.AckBy, AcknowledgedAt: i.AckAt,
			Actions: i.Actions, FailedActions: i.Failed, Timeline: []documentLine{},
			Impact: documentImpact{list(i.Impact.Endpoints), list(i.Impact.Services), i.Impact.Data, i.Impact.Confirmed},
			Proof:  list(i.Proof), Steps: list(i.Steps), Evidence: list(i.Evidence),
		},
	}
	for _, e := range i.Timeline {
		d.Incident.Timeline = append(d.Incident.Timeline, documentLine(e))
	}
	return d
}

// list is never null in JSON.
func list(texts []string) []string { return append([]string{}, texts...) }
