package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"composure/controller/incident"
	"composure/controller/notify"
	"composure/controller/observe"
	"composure/controller/store"
)

// announce puts what people are to be told into the outbox, before anything is sent.
func (m *healMemory) announce(ctx context.Context, a incident.Announcement) error {
	payload, err := notify.Payload(a)
	if err != nil {
		return fmt.Errorf("encode the announcement: %w", err)
	}
	queued, err := m.Enqueue(ctx, store.Notification{
		ID: a.Key, Stack: m.stack, Incident: a.Incident, Tier: string(a.Tier), Kind: a.Kind, Payload: payload, Created: a.At, Channels: m.post.to(a.Tier),
	})
	if queued {
		m.log.Warn("people are called", "incident", a.Incident, "tier", a.Tier, "kind", a.Kind, "reason", a.Reason)
		m.post.wake()
	}
	return err
}

// KeepEvidence stores what was collected about the service of an incident. The same evidence is stored once.
func (m *healMemory) KeepEvidence(ctx context.Context, i incident.Incident, evidence []observe.Evidence) error {
	var errs []error
	for _, e := range evidence {
		data, err := json.Marshal(e)
		if err != nil {
			return fmt.Errorf("encode the evidence: %w", err)
		}
		errs = append(errs, m.AddEvidence(ctx, store.Evidence{
			ID: fmt.Sprintf("%s/%.12s/%d", i.ID, e.ID, e.At.UnixMicro()), Stack: m.stack, Service: i.Service, Incident: i.ID, Kind: "examination", At: e.At, Data: data,
		}))
	}
	return errors.Join(errs...)
}

// announceAgain puts what open and recent incidents have to say into the outbox: a process that died between recording
// an incident and announcing it loses nobody's call. What is there already stays as it is.
func (m *healMemory) announceAgain(ctx context.Context) error {
	open, recent, err := m.Incidents(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, i := range append(open, recent...) {
		for _, a := range incident.Announcements(i) {
			errs = append(errs, m.announce(ctx, a))
		}
	}
	return errors.Join(errs...)
}
