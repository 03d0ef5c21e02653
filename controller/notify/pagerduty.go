package notify

import (
	"cmp"
	"context"
	"errors"
	"time"

	"composure/controller/incident"
)

// pagerDuty sends events to the Events API v2: trigger, acknowledge, resolve. An incident is one alert per tier: its
// dedup_key joins repeats and reminders to it.
type pagerDuty struct{ address, key string }

func newPagerDuty(settings map[string]string) (sender, error) {
	p := pagerDuty{address: cmp.Or(settings["url"], "https://events.pagerduty.com/v2/enqueue"), key: settings["routing_key"]}
	if p.key == "" {
		return nil, errors.New("routing_key: is missing")
	}
	return p, endpoint(p.address)
}

const (
	pagerDutySummary = 1024 // characters that the API takes
	pagerDutyDedup   = 255
)

type pagerDutyEvent struct {
	RoutingKey  string            `json:"routing_key"`
	EventAction string            `json:"event_action"`
	DedupKey    string            `json:"dedup_key"`
	Client      string            `json:"client,omitempty"`
	Payload     *pagerDutyPayload `json:"payload,omitempty"` // of a trigger
}

type pagerDutyPayload struct {
	Summary       string           `json:"summary"`
	Source        string           `json:"source"`
	Severity      string           `json:"severity"`
	Timestamp     time.Time        `json:"timestamp"`
	Component     string           `json:"component,omitempty"`
	Group         string           `json:"group,omitempty"`
	Class         string           `json:"class,omitempty"`
	CustomDetails pagerDutyDetails `json:"custom_details"`
}

type pagerDutyDetails struct {
	Incident string         `json:"incident"`
	Message  string         `json:"message_id"`
	Tier     incident.Tier  `json:"tier"`
	Reason   string         `json:"reason"`
	Summary  string         `json:"summary"`
	State    incident.State `json:"state"`
	Proof    []string       `json:"proof"`
	Steps    []string       `json:"decision_tree"`
	Next     string         `json:"next"`
}

// pagerDutyActions are the event actions for what is announced; anything else is a trigger.
var pagerDutyActions = map[string]string{"acknowledged": "acknowledge", "resolved": "resolve"}

// pagerDutySeverities translate ours.
var pagerDutySeverities = map[string]string{"critical": "critical", "high": "error", "medium": "warning", "low": "info"}

func (p pagerDuty) send(ctx context.Context, m Message) error {
	i := m.Body
	event := pagerDutyEvent{
		RoutingKey: p.key, EventAction: cmp.Or(pagerDutyActions[m.event()], "trigger"), Client: "Composure",
		DedupKey: shorten("composure/"+m.Incident+"/"+string(m.Tier), pagerDutyDedup),
	}
	if event.EventAction == "trigger" {
		event.Payload = &pagerDutyPayload{
			Summary: shorten(m.title(200)+": "+m.Reason, pagerDutySummary), Source: cmp.Or(i.Stack, "composure"),
			Severity: cmp.Or(pagerDutySeverities[i.Severity], "error"), Timestamp: m.At.UTC(), Component: i.Service, Group: i.Stack, Class: i.Cause,
			CustomDetails: pagerDutyDetails{
				Incident: i.ID, Message: m.ID, Tier: m.Tier, Reason: m.Reason, Summary: i.Summary, State: i.State,
				Proof: list(i.Proof), Steps: list(i.Steps), Next: "composure incidents show " + i.ID,
			},
		}
	}
	return post(ctx, p.address, nil, event)
}
