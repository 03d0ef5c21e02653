package diagnose

import (
	"fmt"
	"strings"
	"time"

	"composure/controller/observe"
)

// askApplication is step 4 of the runbook: does it answer? A gateway's 502, 503 or 504 is about what stands behind it.
func askApplication(p *patient) Step {
	if !p.live() {
		return p.idle()
	}
	var asked []observe.ProbeResult
	for _, r := range p.probes {
		if r.Kind != "postgres" && r.Kind != "handshake" {
			asked = append(asked, r)
		}
	}
	if len(asked) == 0 {
		return unasked("no probe is configured")
	}
	s := Step{Answer: Unclear, Checked: "its probes"}
	counts := map[observe.ProbeState]int{}
	for _, r := range asked {
		counts[r.State]++
		s.Details = append(s.Details, fmt.Sprintf("%s: %s: %s", r.Name, r.State, said(r)))
	}
	s.Seen = fmt.Sprintf("%d answer, %d fail, %d unknown", counts[observe.ProbeOK], counts[observe.ProbeFailing], counts[observe.ProbeUnknown])
	switch {
	case counts[observe.ProbeFailing] > 0:
		s.Answer = No
	case counts[observe.ProbeUnknown] == 0:
		s.Answer = Yes
	}
	if gateway := p.gateway(); gateway != "" {
		s.Details = append(s.Details, gateway)
	}
	return s
}

// gateway tells what a failing probe's 502, 503 or 504 points to, or "".
func (p *patient) gateway() string {
	for _, r := range p.failingProbes() {
		if (r.Status == 502 || r.Status == 503 || r.Status == 504) && len(p.backends) > 0 {
			return fmt.Sprintf("HTTP %d at %s points to its backend: %s", r.Status, p.svc.Name, strings.Join(p.backends, ", "))
		}
	}
	return ""
}

// memory are the figures of a container, or zero: those of the evidence, or of the last sample when it used more then, since
// that may be why it was looked at.
func (p *patient) memory() observe.Stats {
	var s observe.Stats
	if p.evidence != nil && p.evidence.Stats != nil {
		s = *p.evidence.Stats
	}
	if p.c == nil {
		return s
	}
	sampled := p.in.Samples[p.c.ID]
	if now := p.c.Inspect.HostConfig; sampled.MemoryLimit > 0 && now != nil && now.Memory > 0 {
		sampled.MemoryLimit = now.Memory // it may have been raised since
	}
	if share(sampled) > share(s) {
		return sampled
	}
	return s
}

// share is how much of its limit a container uses; 0 when it has none or that is unknown.
func share(s observe.Stats) float64 {
	if s.MemoryLimit <= 0 {
		return 0
	}
	return float64(s.MemoryUsage) / float64(s.MemoryLimit)
}

func (p *patient) memoryShare() float64 { return share(p.memory()) }

// memoryHigh says whether memory is above the share that the file calls a finding (the runbook's 85 %).
func (p *patient) memoryHigh() bool {
	alert := p.svc.Policy.Memory.Alert
	return alert > 0 && p.memoryShare() > alert
}

// warmUp is how long a process grows because it starts.
const warmUp = 30 * time.Second

// memoryChange is by which share memory grew since the last sample of this run of the container. One of the run before, or
// of the start, is no measure.
func (p *patient) memoryChange() (change float64, known bool) {
	if p.c == nil || p.evidence == nil || p.evidence.Stats == nil {
		return 0, false
	}
	before, known := p.in.Samples[p.c.ID]
	if !known || before.MemoryUsage <= 0 || (!before.At.IsZero() && before.At.Before(p.c.StartedAt().Add(warmUp))) {
		return 0, false
	}
	return float64(p.evidence.Stats.MemoryUsage-before.MemoryUsage) / float64(max(before.MemoryUsage, smallMemory)), true
}

// A disk with less than both is full: large ones keep a reserve for root, small ones a few blocks.
const (
	fullShare = 0.01
	fullBytes = 64 << 20
)

func (p *patient) fullDisks() []string {
	var full []string
	if p.evidence == nil {
		return nil
	}
	for _, d := range p.evidence.Disks {
		if d.Size > 0 && d.Free < fullBytes && float64(d.Free) < fullShare*float64(d.Size) {
			full = append(full, fmt.Sprintf("%s has %s left of %s", quoted(d.Path), size(d.Free), size(d.Size)))
		}
	}
	return full
}
