package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// Notification is one message to people about an incident, for one tier. Safety rule 3 allows it once.
type Notification struct {
	ID       string // empty: a fresh one
	Stack    string
	Incident string
	Tier     string
	Kind     string // such as "escalated", "resolved"
	Payload  []byte // sealed in the store
	Created  time.Time
	Channels []string // where it is delivered, each on its own
}

// Delivery is one notification on its way through one channel.
type Delivery struct {
	Notification
	Channel  string
	Attempts int       // including this one
	Next     time.Time // when it is due again unless Delivered is called
	Error    string    // of the last attempt
}

// Enqueue puts a notification into the outbox. It returns false, and changes nothing, when one of the same incident,
// tier and kind is or was there: an escalation cannot happen twice, whoever asks for it.
func (s *Store) Enqueue(ctx context.Context, n Notification) (queued bool, err error) {
	if n.ID == "" {
		n.ID = NewID()
	}
	err = s.tx(ctx, "queue the notification", func(tx *sql.Tx) error {
		queued = false
		res, err := tx.ExecContext(ctx, `INSERT INTO outbox (id, stack, incident, tier, kind, created_at, payload)
			VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (incident, tier, kind) DO NOTHING`,
			n.ID, n.Stack, n.Incident, n.Tier, n.Kind, micros(n.Created), s.key.seal("outbox "+n.ID, n.Payload))
		if err != nil {
			return err
		}
		if err := found(res); errors.Is(err, ErrNotFound) {
			return nil
		} else if err != nil {
			return err
		}
		queued = true
		for _, channel := range n.Channels {
			_, err := tx.ExecContext(ctx, `INSERT INTO deliveries (notification, channel, stack, attempts, next_at, delivered_at, error)
				VALUES ($1, $2, $3, 0, $4, 0, '') ON CONFLICT (notification, channel) DO NOTHING`, n.ID, channel, n.Stack, micros(n.Created))
			if err != nil {
				return err
			}
		}
		return nil
	})
	return queued && err == nil, err
}

// longestWait is longer than any delivery is put off: one that is due later was put off by a clock that has been set back since.
const longestWait = 2 * time.Hour

// ClaimDue returns up to limit deliveries of a stack through a channel that are due, those that were never tried first, then
// the oldest, and keeps them from other processes for claim: a process that dies while delivering leaves them due again after
// it. Delivery is at least once.
func (s *Store) ClaimDue(ctx context.Context, stack, channel string, now time.Time, claim time.Duration, limit int) ([]Delivery, error) {
	var all []Delivery
	err := s.tx(ctx, "claim deliveries", func(tx *sql.Tx) error {
		// The condition is repeated outside: PostgreSQL checks it again on a row that another process has just claimed.
		claimed, err := collect(ctx, tx, scanDelivery, `UPDATE deliveries SET attempts = attempts + 1, next_at = $4
			WHERE stack = $1 AND channel = $2 AND delivered_at = 0 AND (next_at <= $3 OR next_at > $5) AND notification IN (
				SELECT notification FROM deliveries WHERE stack = $1 AND channel = $2 AND delivered_at = 0 AND (next_at <= $3 OR next_at > $5)
				ORDER BY CASE WHEN attempts = 0 THEN 0 ELSE 1 END, next_at, notification LIMIT $6)
			RETURNING notification, channel, attempts, next_at, error`,
			stack, channel, micros(now), micros(now.Add(claim)), micros(now.Add(longestWait)), limitOrAll(limit))
		if err != nil {
			return err
		}
		all, err = s.withPayload(ctx, tx, claimed)
		return err
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

// Behind returns until when an earlier notification of the same incident and tier is on its way through a channel; zero when
// none is.
func (s *Store) Behind(ctx context.Context, notification, channel string) (time.Time, error) {
	var until int64
	err := s.db.QueryRowContext(ctx, `SELECT COALESCE(MAX(d.next_at), 0) FROM outbox own
		JOIN outbox o ON o.incident = own.incident AND o.tier = own.tier AND o.created_at < own.created_at
		JOIN deliveries d ON d.notification = o.id AND d.channel = $2 AND d.delivered_at = 0
		WHERE own.id = $1`, notification, channel).Scan(&until)
	if err != nil {
		return time.Time{}, fmt.Errorf("find earlier notifications: %w", err)
	}
	return moment(until), nil
}

// RetryNow makes the deliveries of a stack due that have failed and wait for their next try: what they failed for may have
// been put right.
func (s *Store) RetryNow(ctx context.Context, stack string, now time.Time) error {
	return s.exec(ctx, "try the deliveries again", `UPDATE deliveries SET next_at = $2
		WHERE stack = $1 AND delivered_at = 0 AND error <> '' AND next_at > $2`, stack, micros(now))
}

// Delivered records that a channel has taken a notification.
func (s *Store) Delivered(ctx context.Context, notification, channel string, at time.Time) error {
	return s.exec(ctx, "record the delivery", `UPDATE deliveries SET delivered_at = $3, error = ''
		WHERE notification = $1 AND channel = $2`, notification, channel, micros(at))
}

// Retry records why a delivery failed and when it is due again.
func (s *Store) Retry(ctx context.Context, notification, channel, reason string, next time.Time) error {
	return s.exec(ctx, "record the failed delivery", `UPDATE deliveries SET next_at = $3, error = $4
		WHERE notification = $1 AND channel = $2 AND delivered_at = 0`, notification, channel, micros(next), reason)
}

func scanDelivery(rows *sql.Rows) (Delivery, error) {
	var d Delivery
	var next int64
	err := rows.Scan(&d.ID, &d.Channel, &d.Attempts, &next, &d.Error)
	d.Next = moment(next)
	return d, err
}

func (s *Store) withPayload(ctx context.Context, q querier, all []Delivery) ([]Delivery, error) {
	readable := all[:0]
	for _, d := range all {
		var created int64
		var sealed []byte
		err := q.QueryRowContext(ctx, `SELECT stack, incident, tier, kind, created_at, payload FROM outbox WHERE id = $1`, d.ID).
			Scan(&d.Stack, &d.Incident, &d.Tier, &d.Kind, &created, &sealed)
		if err != nil {
			return nil, err
		}
		d.Created = moment(created)
		d.Payload, err = s.key.open("outbox "+d.ID, sealed)
		if err != nil { // it keeps no other one from its way
			if _, err := q.ExecContext(ctx, `UPDATE deliveries SET error = $3 WHERE notification = $1 AND channel = $2`, d.ID, d.Channel, err.Error()); err != nil {
				return nil, err
			}
			continue
		}
		readable = append(readable, d)
	}
	return readable, nil
}
