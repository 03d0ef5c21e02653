package store

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"time"
)

// SampleOutcome is what one probe of a service said.
type SampleOutcome uint8

// Outcomes of a probe. The numbers are stored.
const (
	SampleUnknown SampleOutcome = 0
	SampleSuccess SampleOutcome = 1
	SampleFailure SampleOutcome = 2
)

// Series that are kept of every service beside its probes, under names that no probe can have.
const (
	SeriesVerdict = "@verdict" // success: well; failure: not; unknown: not decided yet
	SeriesMemory  = "@memory"  // Bytes
)

// Sample is one answer of a probe: when, how long it took, what it said; or one value of a series. Times are kept to the
// millisecond, latencies to the microsecond, bytes to the KiB.
type Sample struct {
	Stack   string
	Service string
	Probe   string // or a series
	At      time.Time
	Latency time.Duration
	Outcome SampleOutcome
	Bytes   int64 // of SeriesMemory
}

// series is what one row of samples belongs to.
type series struct {
	stack, service, probe string
	hour                  int64 // since 1970
}

// AddSamples records probes, in one transaction: collect a minute's worth, a sync to disk for each would not be idle.
// A sample takes about eight bytes.
func (s *Store) AddSamples(ctx context.Context, samples ...Sample) error {
	packed := map[series][]byte{}
	count := map[series]int{}
	for _, v := range samples {
		k := series{v.Stack, v.Service, v.Probe, v.At.Unix() / 3600}
		packed[k] = appendSample(packed[k], v)
		count[k]++
	}
	order := slices.SortedFunc(maps.Keys(packed), func(a, b series) int {
		return cmp.Or(cmp.Compare(a.stack, b.stack), cmp.Compare(a.service, b.service), cmp.Compare(a.probe, b.probe), cmp.Compare(a.hour, b.hour))
	})
	if len(order) == 0 {
		return nil
	}
	return s.tx(ctx, "add samples", func(tx *sql.Tx) error {
		add, err := tx.PrepareContext(ctx, s.addSeries())
		if err != nil {
			return err
		}
		defer add.Close()
		for _, k := range order {
			if _, err := add.ExecContext(ctx, k.stack, k.service, k.probe, k.hour, count[k], packed[k]); err != nil {
				return err
			}
		}
		return nil
	})
}

// addSeries is the statement that appends to a series. What was just appended is not appended again: the answer to the first time
// was lost.
func (s *Store) addSeries() string {
	bytes := map[dialect]string{sqlite: "BLOB", postgres: "BYTEA"}[s.kind] // what SQLite concatenates is text to it
	return `INSERT INTO samples (stack, service, probe, hour, count, data) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (stack, service, probe, hour) DO UPDATE
		SET count = samples.count + excluded.count, data = CAST(samples.data || excluded.data AS ` + bytes + `)
		WHERE substr(samples.data, length(samples.data) - length(excluded.data) + 1) <> excluded.data`
}

// Samples returns the probes of a service since a time, oldest first.
func (s *Store) Samples(ctx context.Context, stack, service string, since time.Time) ([]Sample, error) {
	rows, err := collect(ctx, s.db, func(rows *sql.Rows) ([]Sample, error) {
		k := series{stack: stack, service: service}
		var data []byte
		if err := rows.Scan(&k.probe, &k.hour, &data); err != nil {
			return nil, err
		}
		return readSamples(k, data)
	}, `SELECT probe, hour, data FROM samples WHERE stack = $1 AND service = $2 AND hour >= $3 ORDER BY hour, probe`,
		stack, service, since.Unix()/3600)
	if err != nil {
		return nil, fmt.Errorf("list samples: %w", err)
	}
	all := slices.Concat(rows...)
	all = slices.DeleteFunc(all, func(v Sample) bool { return v.At.Before(since.Truncate(time.Millisecond)) })
	slices.SortStableFunc(all, func(a, b Sample) int { return a.At.Compare(b.At) })
	return all, nil
}

// appendSample packs a sample: milliseconds into the hour, microseconds of latency or KiB, outcome.
func appendSample(b []byte, v Sample) []byte {
	value := v.Latency.Microseconds()
	if v.Probe == SeriesMemory {
		value = v.Bytes >> 10
	}
	b = binary.AppendUvarint(b, uint64(v.At.UnixMilli()%time.Hour.Milliseconds()))
	b = binary.AppendUvarint(b, uint64(max(0, value)))
	return append(b, byte(v.Outcome))
}

func readSamples(k series, data []byte) ([]Sample, error) {
	var all []Sample
	for len(data) > 0 {
		ms, n := binary.Uvarint(data)
		value, m := binary.Uvarint(data[max(n, 0):])
		if n <= 0 || m <= 0 || len(data) <= n+m {
			return nil, fmt.Errorf("samples of %s %s are damaged", k.service, k.probe)
		}
		v := Sample{Stack: k.stack, Service: k.service, Probe: k.probe, Outcome: SampleOutcome(data[n+m]),
			At: time.UnixMilli(k.hour*time.Hour.Milliseconds() + int64(ms)).UTC()}
		if k.probe == SeriesMemory {
			v.Bytes = int64(value) << 10
		} else {
			v.Latency = time.Duration(value) * time.Microsecond
		}
		all = append(all, v)
		data = data[n+m+1:]
	}
	return all, nil
}
