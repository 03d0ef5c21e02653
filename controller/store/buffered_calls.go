package store

import (
	"context"
	"slices"
	"time"
)

// What each write costs in the buffer beside its payload.
const overhead = 512

// Begin records intents before they are acted on, as Store.Begin does.
func (b *Buffered) Begin(ctx context.Context, l *Lease, attempts ...Attempt) error {
	if l == nil {
		return ErrFenced
	}
	attempts, bytes := slices.Clone(attempts), overhead
	for i := range attempts {
		attempts[i].Fence = l.Fence
		bytes += overhead + len(attempts[i].Payload)
	}
	return b.write(ctx, write{what: "record the intent", bytes: bytes, do: func(ctx context.Context, s *Store) error { return s.Begin(ctx, l, attempts...) }}, true)
}

// Finish records how an attempt ended, as Store.Finish does.
func (b *Buffered) Finish(ctx context.Context, l *Lease, id, outcome, reason string, at time.Time) error {
	return b.write(ctx, write{what: "record the outcome", bytes: overhead + len(reason), do: func(ctx context.Context, s *Store) error {
		return s.Finish(ctx, l, id, outcome, reason, at)
	}}, true)
}

// Verdict records whether an attempt worked, as Store.Verdict does.
func (b *Buffered) Verdict(ctx context.Context, l *Lease, id, verdict string, at time.Time) error {
	return b.write(ctx, write{what: "record the verdict", bytes: overhead, do: func(ctx context.Context, s *Store) error {
		return s.Verdict(ctx, l, id, verdict, at)
	}}, true)
}

// CloseAttempts closes what was tried on a service until a time, as Store.CloseAttempts does.
func (b *Buffered) CloseAttempts(ctx context.Context, service, verdict string, at time.Time) error {
	return b.write(ctx, write{what: "close the attempts", bytes: overhead, do: func(ctx context.Context, s *Store) error {
		return s.CloseAttempts(ctx, b.stack, service, verdict, at)
	}}, true)
}

// OpenAttempts is Store.OpenAttempts of the stack.
func (b *Buffered) OpenAttempts(ctx context.Context) ([]Attempt, error) {
	return b.Attempts(ctx, AttemptFilter{Open: true})
}

// Attempts is Store.Attempts of the stack. While the store is down it knows those of open incidents, without a verdict,
// and of the last 48 hours.
func (b *Buffered) Attempts(ctx context.Context, f AttemptFilter) ([]Attempt, error) {
	f.Stack = b.stack
	return read(ctx, b, func(ctx context.Context, s *Store) ([]Attempt, error) { return s.Attempts(ctx, f) })
}

// SaveRevision records what was applied, as Store.SaveRevision does.
func (b *Buffered) SaveRevision(ctx context.Context, r Revision) error {
	return b.write(ctx, write{what: "save the revision", bytes: overhead + len(r.Model), do: func(ctx context.Context, s *Store) error {
		b.last = nil
		return s.SaveRevision(ctx, r)
	}}, true)
}

// MarkStable records that a service was proven stable, as Store.MarkStable does.
func (b *Buffered) MarkStable(ctx context.Context, service, revision string, at time.Time) error {
	return b.write(ctx, write{what: "mark the revision stable", bytes: overhead, do: func(ctx context.Context, s *Store) error {
		b.last = nil
		return s.MarkStable(ctx, b.stack, service, revision, at)
	}}, true)
}

// LastRevision is Store.LastRevision of the stack, as of the last Refresh where the database tells who has written since: each
// pass asks for it, and only deployments change it. What it returns is not to be changed.
func (b *Buffered) LastRevision(ctx context.Context) (Revision, error) {
	if known, _ := b.known(); known != nil {
		return *known, nil
	}
	return read(ctx, b, func(ctx context.Context, s *Store) (Revision, error) {
		last, err := s.LastRevision(ctx, b.stack)
		if err == nil {
			b.last = &last
		}
		return last, err
	})
}

// known is the last revision, and all incidents, where they cannot be others by now; nil: the store has to be asked.
func (b *Buffered) known() (*Revision, []Incident) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.down != nil || b.mark == (mark{}) {
		return nil, nil
	}
	return b.last, b.incidents
}

// Revision is Store.Revision of the stack.
func (b *Buffered) Revision(ctx context.Context, id string) (Revision, error) {
	return read(ctx, b, func(ctx context.Context, s *Store) (Revision, error) { return s.Revision(ctx, b.stack, id) })
}

// LastStable is Store.LastStable of the stack.
func (b *Buffered) LastStable(ctx context.Context, service string, except ServiceRevision) (StableRevision, error) {
	return read(ctx, b, func(ctx context.Context, s *Store) (StableRevision, error) {
		return s.LastStable(ctx, b.stack, service, except)
	})
}

// SetOverride records an override of the stack, as Store.SetOverride does.
func (b *Buffered) SetOverride(ctx context.Context, o Override) error {
	o.Stack = b.stack
	return b.write(ctx, write{what: "set the override", bytes: overhead + len(o.Value), do: func(ctx context.Context, s *Store) error {
		return s.SetOverride(ctx, o)
	}}, true)
}

// EndOverride ends an override of the stack, as Store.EndOverride does.
func (b *Buffered) EndOverride(ctx context.Context, service, kind, field, by string, at time.Time) error {
	return b.write(ctx, write{what: "end the override", bytes: overhead, do: func(ctx context.Context, s *Store) error {
		return s.EndOverride(ctx, b.stack, service, kind, field, by, at)
	}}, true)
}

// Overrides is Store.Overrides of the stack.
func (b *Buffered) Overrides(ctx context.Context, now time.Time) ([]Override, error) {
	return read(ctx, b, func(ctx context.Context, s *Store) ([]Override, error) { return s.Overrides(ctx, b.stack, now) })
}

// SaveState replaces the state of a service of the stack.
func (b *Buffered) SaveState(ctx context.Context, v State) error {
	return b.write(ctx, write{what: "save the state", row: "state " + v.Service, bytes: overhead + len(v.Document), do: func(ctx context.Context, s *Store) error {
		return s.SaveState(ctx, b.stack, v)
	}}, true)
}

// DeleteState forgets the state of a service of the stack.
func (b *Buffered) DeleteState(ctx context.Context, service string) error {
	return b.write(ctx, write{what: "delete the state", bytes: overhead, do: func(ctx context.Context, s *Store) error {
		return s.DeleteState(ctx, b.stack, service)
	}}, true)
}

// States is Store.States of the stack.
func (b *Buffered) States(ctx context.Context) ([]State, error) {
	return read(ctx, b, func(ctx context.Context, s *Store) ([]State, error) { return s.States(ctx, b.stack) })
}

// SaveBaseline records a baseline of the stack.
func (b *Buffered) SaveBaseline(ctx context.Context, v Baseline) error {
	v.Stack = b.stack
	return b.write(ctx, write{what: "save the baseline", bytes: overhead + len(v.Value), do: func(ctx context.Context, s *Store) error {
		return s.SaveBaseline(ctx, v)
	}}, true)
}

// Baselines is Store.Baselines of the stack.
func (b *Buffered) Baselines(ctx context.Context) ([]Baseline, error) {
	return read(ctx, b, func(ctx context.Context, s *Store) ([]Baseline, error) { return s.Baselines(ctx, b.stack) })
}

// SaveIncident is Store.SaveIncident. What was written while the store was down stands, whatever others have written meanwhile.
func (b *Buffered) SaveIncident(ctx context.Context, i Incident) error {
	i.Stack = b.stack
	return b.write(ctx, write{what: "save the incident", row: "incident " + i.ID, bytes: overhead + len(i.Document), do: func(ctx context.Context, s *Store) error {
		i := i
		b.incidents = nil
		if s != b.store {
			i.Was = nil
		}
		return s.SaveIncident(ctx, i)
	}}, true)
}

// Incidents is Store.Incidents of the stack. While the store is down it knows the open ones and those of the last 48 hours. All of
// them are kept in mind like the last revision.
func (b *Buffered) Incidents(ctx context.Context, f IncidentFilter) ([]Incident, error) {
	f.Stack = b.stack
	all := f == IncidentFilter{Stack: b.stack}
	if _, known := b.known(); all && known != nil {
		return slices.Clone(known), nil
	}
	return read(ctx, b, func(ctx context.Context, s *Store) ([]Incident, error) {
		found, err := s.Incidents(ctx, f)
		if err == nil && all {
			b.incidents = append([]Incident{}, found...)
		}
		return found, err
	})
}

// AddEvents appends to the timelines of incidents. While the store is down the timeline is not read, only added to.
func (b *Buffered) AddEvents(ctx context.Context, events ...Event) error {
	events, bytes := slices.Clone(events), overhead
	for i := range events {
		if events[i].ID == "" {
			events[i].ID = NewID()
		}
		bytes += overhead + len(events[i].Text) + len(events[i].Data)
	}
	return b.write(ctx, write{what: "add to the timeline", bytes: bytes, do: func(ctx context.Context, s *Store) error { return s.AddEvents(ctx, events...) }}, false)
}

// AddEvidence keeps evidence. While the store is down it is not read, only added to.
func (b *Buffered) AddEvidence(ctx context.Context, e Evidence) error {
	if e.ID == "" {
		e.ID = NewID()
	}
	return b.write(ctx, write{what: "add the evidence", spare: true, bytes: overhead + len(e.Data), do: func(ctx context.Context, s *Store) error {
		return s.AddEvidence(ctx, e)
	}}, false)
}

// EvidenceOf is Store.EvidenceOf; while the store is down there is none.
func (b *Buffered) EvidenceOf(ctx context.Context, incident string) ([]Evidence, error) {
	return read(ctx, b, func(ctx context.Context, s *Store) ([]Evidence, error) { return s.EvidenceOf(ctx, incident) })
}

// AddSamples records probes. While the store is down they are not read, only added to.
func (b *Buffered) AddSamples(ctx context.Context, samples ...Sample) error {
	return b.write(ctx, write{what: "add samples", spare: true, bytes: overhead + 128*len(samples), do: func(ctx context.Context, s *Store) error {
		return s.AddSamples(ctx, samples...)
	}}, false)
}

// Enqueue puts a notification of the stack into the outbox, as Store.Enqueue does.
func (b *Buffered) Enqueue(ctx context.Context, n Notification) (queued bool, err error) {
	n.Stack = b.stack
	if n.ID == "" {
		n.ID = NewID()
	}
	answered := false
	err = b.write(ctx, write{what: "queue the notification", bytes: overhead + len(n.Payload), do: func(ctx context.Context, s *Store) error {
		is, err := s.Enqueue(ctx, n)
		if !answered && err == nil { // the first answer counts: the store's, or the mirror's while it is down
			queued, answered = is, true
		}
		return err
	}}, true)
	return queued, err
}

// ClaimDue is Store.ClaimDue of the stack.
func (b *Buffered) ClaimDue(ctx context.Context, channel string, now time.Time, claim time.Duration, limit int) ([]Delivery, error) {
	due, err := read(ctx, b, func(ctx context.Context, s *Store) ([]Delivery, error) {
		return s.ClaimDue(ctx, b.stack, channel, now, claim, limit)
	})
	if err != nil {
		return nil, err
	}
	for _, d := range due { // memory must not hand them out again when the store goes away in between
		if err := b.mirror.Retry(context.WithoutCancel(ctx), d.ID, d.Channel, d.Error, d.Next); err != nil {
			return nil, err
		}
	}
	return due, nil
}

// Behind is Store.Behind.
func (b *Buffered) Behind(ctx context.Context, notification, channel string) (time.Time, error) {
	return read(ctx, b, func(ctx context.Context, s *Store) (time.Time, error) { return s.Behind(ctx, notification, channel) })
}

// RetryNow is Store.RetryNow of the stack.
func (b *Buffered) RetryNow(ctx context.Context, now time.Time) error {
	return b.write(ctx, write{what: "try the deliveries again", bytes: overhead, do: func(ctx context.Context, s *Store) error {
		return s.RetryNow(ctx, b.stack, now)
	}}, true)
}

// Delivered records that a channel has taken a notification.
func (b *Buffered) Delivered(ctx context.Context, notification, channel string, at time.Time) error {
	return b.write(ctx, write{what: "record the delivery", bytes: overhead, do: func(ctx context.Context, s *Store) error {
		return s.Delivered(ctx, notification, channel, at)
	}}, true)
}

// Retry records why a delivery failed and when it is due again.
func (b *Buffered) Retry(ctx context.Context, notification, channel, reason string, next time.Time) error {
	return b.write(ctx, write{what: "record the failed delivery", row: "try " + notification + " " + channel, bytes: overhead + len(reason), do: func(ctx context.Context, s *Store) error {
		return s.Retry(ctx, notification, channel, reason, next)
	}}, true)
}
