package store

import (
	"context"
	"fmt"
	"time"
)

// Retention says how much is kept. What is open, undelivered or in force is kept whatever its age. Zero fields keep all.
type Retention struct {
	Incidents      time.Duration // resolved incidents, with timeline, evidence and notifications, by age
	MaxIncidents   int           // of a stack, resolved ones
	Attempts       time.Duration // closed attempts, or on no service, of no open incident, by age
	MaxAttempts    int           // of a stack, newest
	MaxRevisions   int           // of a stack, newest; the newest stable ones that a service could go back to stay too
	Evidence       time.Duration // of resolved incidents, by age
	EvidenceBytes  int64         // in the whole store, as stored; the oldest goes first, of open incidents last
	Samples        time.Duration // by age
	MaxSamples     int           // of one probe of a service, in whole hours
	MaxBaselines   int           // of one check, newest
	EndedOverrides time.Duration // by age of their end
}

// DefaultRetention keeps what a review after an incident asks for, in some ten megabytes.
func DefaultRetention() Retention {
	const day = 24 * time.Hour
	return Retention{
		Incidents: 365 * day, MaxIncidents: 1000, Attempts: 90 * day, MaxAttempts: 10000, MaxRevisions: 100, Evidence: 90 * day,
		EvidenceBytes: 64 << 20, Samples: 7 * day, MaxSamples: 100000, MaxBaselines: 20, EndedOverrides: 90 * day,
	}
}

// purge is one statement that removes what a limit no longer covers.
type purge struct {
	what  string
	when  bool // the limit is set
	text  string
	limit int64
}

// Prune removes what r no longer covers and returns how many rows went. Each statement is a transaction of its own: a
// long clean-up blocks nobody for long, and one that is interrupted goes on the next time.
func (s *Store) Prune(ctx context.Context, r Retention, now time.Time) (removed int64, err error) {
	for _, p := range purges(r, now) {
		if !p.when {
			continue
		}
		res, err := s.db.ExecContext(ctx, p.text, p.limit)
		if err != nil {
			return removed, fmt.Errorf("prune %s: %w", p.what, err)
		}
		n, err := res.RowsAffected()
		if err != nil {
			return removed, fmt.Errorf("prune %s: %w", p.what, err)
		}
		removed += n
	}
	// What belonged to an incident goes after it.
	for _, text := range []string{
		`DELETE FROM incident_events WHERE NOT EXISTS (SELECT 1 FROM incidents i WHERE i.id = incident_events.incident) AND at < $1`,
		`DELETE FROM evidence WHERE NOT EXISTS (SELECT 1 FROM incidents i WHERE i.id = evidence.incident) AND at < $1`,
		`DELETE FROM outbox WHERE NOT EXISTS (SELECT 1 FROM incidents i WHERE i.id = outbox.incident) AND created_at < $1
			AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.notification = outbox.id AND d.delivered_at = 0)`,
		`DELETE FROM deliveries WHERE NOT EXISTS (SELECT 1 FROM outbox o WHERE o.id = deliveries.notification) AND next_at < $1`,
		`DELETE FROM revision_services WHERE NOT EXISTS (SELECT 1 FROM revisions r WHERE r.seq = revision_services.seq) AND CAST($1 AS BIGINT) > 0`,
	} {
		// Written a moment before its incident, something is no orphan yet: only what is a day old is.
		if _, err := s.db.ExecContext(ctx, text, micros(now.Add(-24*time.Hour))); err != nil {
			return removed, fmt.Errorf("prune what belonged to incidents: %w", err)
		}
	}
	return removed, nil
}

func purges(r Retention, now time.Time) []purge {
	before := func(age time.Duration) int64 { return micros(now.Add(-age)) }
	return []purge{
		{"incidents", r.Incidents > 0, `DELETE FROM incidents WHERE resolved_at > 0 AND resolved_at < $1`, before(r.Incidents)},
		{"incidents", r.MaxIncidents > 0, `DELETE FROM incidents WHERE id IN (SELECT id FROM (
			SELECT id, ROW_NUMBER() OVER (PARTITION BY stack ORDER BY resolved_at DESC, id) AS place FROM incidents WHERE resolved_at > 0
			) AS placed WHERE place > $1)`, int64(r.MaxIncidents)},
		{"attempts", r.Attempts > 0, `DELETE FROM attempts WHERE (verdict <> '' OR service = '') AND started_at < $1
			AND incident NOT IN (SELECT id FROM incidents WHERE resolved_at = 0)`, before(r.Attempts)},
		{"attempts", r.MaxAttempts > 0, `DELETE FROM attempts WHERE (verdict <> '' OR service = '') AND id IN (SELECT id FROM (
			SELECT id, ROW_NUMBER() OVER (PARTITION BY stack ORDER BY started_at DESC, id) AS place FROM attempts
			) AS placed WHERE place > $1) AND incident NOT IN (SELECT id FROM incidents WHERE resolved_at = 0)`, int64(r.MaxAttempts)},
		{"revisions", r.MaxRevisions > 0, `DELETE FROM revisions WHERE seq IN (SELECT seq FROM (
			SELECT seq, ROW_NUMBER() OVER (PARTITION BY stack ORDER BY seq DESC) AS place FROM revisions) AS placed WHERE place > $1)
			AND seq NOT IN (SELECT MAX(seq) FROM revision_services WHERE stable_at > 0 GROUP BY stack, service)
			AND seq NOT IN (SELECT MAX(v.seq) FROM revision_services v
				JOIN (SELECT stack, service, MAX(seq) AS seq FROM revision_services GROUP BY stack, service) n ON n.stack = v.stack AND n.service = v.service
				JOIN revision_services c ON c.seq = n.seq AND c.service = v.service
				WHERE v.stable_at > 0 AND NOT (v.config_hash = c.config_hash AND v.image_id = c.image_id) GROUP BY v.stack, v.service)`, int64(r.MaxRevisions)},
		{"evidence", r.Evidence > 0, `DELETE FROM evidence WHERE at < $1
			AND incident NOT IN (SELECT id FROM incidents WHERE resolved_at = 0)`, before(r.Evidence)},
		{"evidence", r.EvidenceBytes > 0, `DELETE FROM evidence WHERE id IN (SELECT id FROM (
			SELECT e.id, SUM(e.stored) OVER (ORDER BY CASE WHEN i.resolved_at = 0 THEN 0 ELSE 1 END, e.at DESC, e.id) AS total
			FROM evidence e LEFT JOIN incidents i ON i.id = e.incident) AS summed WHERE total > $1)`, r.EvidenceBytes},
		{"samples", r.Samples > 0, `DELETE FROM samples WHERE hour < $1`, now.Add(-r.Samples).Unix() / 3600},
		{"samples", r.MaxSamples > 0, `DELETE FROM samples WHERE (stack, service, probe, hour) IN (SELECT stack, service, probe, hour FROM (
			SELECT stack, service, probe, hour, SUM(count) OVER (PARTITION BY stack, service, probe ORDER BY hour DESC) AS total
			FROM samples) AS summed WHERE total > $1)`, int64(r.MaxSamples)},
		{"baselines", r.MaxBaselines > 0, `DELETE FROM baselines WHERE (stack, service, name, captured_at) IN (
			SELECT stack, service, name, captured_at FROM (SELECT stack, service, name, captured_at,
			ROW_NUMBER() OVER (PARTITION BY stack, service, name ORDER BY captured_at DESC) AS place FROM baselines
			) AS placed WHERE place > $1)`, int64(r.MaxBaselines)},
		{"overrides", r.EndedOverrides > 0, `DELETE FROM overrides
			WHERE (ended_at > 0 AND ended_at < $1) OR (until_at > 0 AND until_at < $1)`, before(r.EndedOverrides)},
	}
}
