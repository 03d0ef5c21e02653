package main

import (
	"context"
	"sync"
	"time"

	"composure/controller"
	"composure/controller/observe"
	"composure/controller/store"
	"composure/controller/view"
)

// Probes answer every few seconds, and a sync to disk for each answer would not be idle: answers are written together.
const (
	samplesEvery = 15 * time.Second
	maxSamples   = 10_000 // that wait; beyond them the oldest go
)

// sampleBuffer keeps the answers of probes until they are written. It is safe for concurrent use.
type sampleBuffer struct {
	mu   sync.Mutex
	kept []store.Sample
}

// take implements observe.ProberConfig.Sample.
func (b *sampleBuffer) take(s observe.Sample) {
	outcomes := map[observe.ProbeState]store.SampleOutcome{observe.ProbeOK: store.SampleSuccess, observe.ProbeFailing: store.SampleFailure}
	b.keep(store.Sample{Service: s.Service, Probe: s.Probe, At: s.At, Latency: s.Latency, Outcome: outcomes[s.State]})
}

func (b *sampleBuffer) keep(s store.Sample) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.kept = append(b.kept, s)
	if len(b.kept) > maxSamples {
		b.kept = b.kept[len(b.kept)-maxSamples:]
	}
}

func (b *sampleBuffer) drain() []store.Sample {
	b.mu.Lock()
	defer b.mu.Unlock()
	kept := b.kept
	b.kept = nil
	return kept
}

// writeSamples writes what probes answered until ctx ends, and the rest then.
func (m *healMemory) writeSamples(ctx context.Context) {
	ticker := time.NewTicker(samplesEvery)
	defer ticker.Stop()
	said := "" // the same trouble is told once
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-ticker.C:
			m.beats.minute(time.Now(), m.samples.keep)
		}
		samples := m.samples.drain()
		for i := range samples {
			samples[i].Stack = m.stack
		}
		if len(samples) == 0 {
			continue
		}
		write, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		if err := m.AddSamples(write, samples...); err == nil {
			said = ""
		} else if said != err.Error() {
			said = err.Error()
			m.log.Warn("response times not recorded", "error", err)
		}
		cancel()
	}
}

// beats notes how every service is: when that changes, and once a minute, with its memory. It is safe for concurrent use.
type beats struct {
	mu   sync.Mutex
	turn controller.Turn // the last one that says something
	last map[string]store.Sample
	done time.Time // the minute in which everything was noted last
}

// turned notes what has changed. While the engine is away, or somebody else has the stack, nothing is known.
func (b *beats) turned(t controller.Turn, keep func(store.Sample)) {
	b.mu.Lock()
	b.turn = t
	b.mu.Unlock()
	if t.Pass.Snapshot != nil {
		b.note(t.Pass.Snapshot.At, keep)
	}
}

// minute notes everything in a minute that has nothing yet.
func (b *beats) minute(now time.Time, keep func(store.Sample)) {
	b.mu.Lock()
	done := b.done.Equal(now.Truncate(time.Minute))
	b.mu.Unlock()
	if !done {
		b.note(now, keep)
	}
}

// note keeps what has changed, and everything in a minute that has nothing yet, unless the look that it rests on should
// have been repeated by now.
func (b *beats) note(now time.Time, keep func(store.Sample)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p := b.turn.Pass; p.Snapshot == nil || p.File == nil || p.Elsewhere || now.After(b.turn.Next.Add(samplesEvery)) {
		return
	}
	b.done = now.Truncate(time.Minute)
	if b.last == nil {
		b.last = map[string]store.Sample{}
	}
	for _, s := range view.Series(shownPass(b.turn.Pass), now) {
		key := s.Service + " " + s.Probe
		last := b.last[key]
		if s.At.Truncate(time.Minute).Equal(last.At.Truncate(time.Minute)) && (s.Probe == store.SeriesMemory || s.Outcome == last.Outcome) {
			continue
		}
		b.last[key] = s
		keep(s)
	}
}
