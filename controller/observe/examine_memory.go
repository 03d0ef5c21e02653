package observe

import (
	"context"
	"sync"
	"time"

	"github.com/docker/docker/api/types/container"
)

// MemorySampler takes the figures of every running container once a minute: what usage was before it became a
// finding. It is safe for concurrent use.
type MemorySampler struct {
	engine Sampler

	mu   sync.Mutex
	at   time.Time // of the last round
	last map[string]memorySample
}

// Sampler is the engine as a MemorySampler reads it.
type Sampler interface {
	Stats(ctx context.Context, id string) (container.StatsResponse, error)
}

type memorySample struct {
	at      time.Time
	cpu     time.Duration // used since the start
	figures Stats
	pid     int    // of the main process
	groups  groups // its control groups; empty: not seen from here
}

// sampleEvery is the time between two rounds.
const sampleEvery = time.Minute

// NewMemorySampler returns a sampler without samples.
func NewMemorySampler(engine Sampler) *MemorySampler {
	return &MemorySampler{engine: engine, last: map[string]memorySample{}}
}

// Sample samples the containers that run, one after another: nobody waits for it, and a hundred at a time would be
// felt. It does nothing when the last round is younger than a minute, so it may be called every pass. The CPU share is
// the average since the sample before. A container that cannot be sampled keeps none. It reports whether it sampled.
func (m *MemorySampler) Sample(ctx context.Context, snapshot *Snapshot) bool {
	m.mu.Lock()
	due := m.at.IsZero() || time.Since(m.at) >= sampleEvery
	before := m.last
	if due {
		m.at = time.Now()
	}
	m.mu.Unlock()
	if !due {
		return false
	}
	fresh := map[string]memorySample{}
	for _, c := range snapshot.Containers {
		if !c.Running() || ctx.Err() != nil {
			continue
		}
		previous, known := before[c.ID]
		sample, err := m.one(ctx, c, previous)
		if err != nil {
			continue
		}
		if known && sample.cpu >= previous.cpu {
			sample.figures.CPU = float64(sample.cpu-previous.cpu) / float64(max(sample.at.Sub(previous.at), 1))
			sample.figures.CPUUnknown = false
		}
		fresh[c.ID] = sample
	}
	m.mu.Lock()
	m.last = fresh
	m.mu.Unlock()
	return true
}

// one samples a container: from the kernel's own figures where they are seen, else from the engine's. While its main process is
// the same, so are its control groups, whose names have the container's id in them: they are there, or nothing is.
func (m *MemorySampler) one(ctx context.Context, c Container, before memorySample) (memorySample, error) {
	pid, groups := c.Inspect.State.Pid, before.groups
	if pid != before.pid || groups == "" {
		groups, _ = groupsOf(c)
	}
	if figures, cpu, err := groups.figures(c); err == nil {
		figures.CPUUnknown, figures.At = true, time.Now()
		return memorySample{figures.At, cpu, figures, pid, groups}, nil
	}
	raw, err := m.engine.Stats(ctx, c.ID)
	figures := readStats(raw, c)
	figures.CPUUnknown, figures.At = true, time.Now() // raw.Read is by the engine's clock
	return memorySample{raw.Read, time.Duration(raw.CPUStats.CPUUsage.TotalUsage), figures, 0, ""}, err
}

// Samples returns the last figures by container id.
func (m *MemorySampler) Samples() map[string]Stats {
	m.mu.Lock()
	defer m.mu.Unlock()
	samples := make(map[string]Stats, len(m.last))
	for id, s := range m.last {
		samples[id] = s.figures
	}
	return samples
}
