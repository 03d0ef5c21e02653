package diagnose

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"composure/controller/observe"
)

// finding is the first cause of the table that fits, or nil: the patient is well, or more evidence is needed. What a fact
// proves to be the service's own (own is true) comes before anything that a log line suggests; it holds whether what the
// service needs is well or not.
func (p *patient) finding(ill bool) (f *Finding, own bool) {
	if p.c == nil && p.unread != "" {
		return nil, false
	}
	for i := range causes {
		if c := &causes[i]; ill && c.own && !c.advisory && p.decidable(c) {
			if proof := c.match(p); len(proof) > 0 {
				return p.found(c, proof), true
			}
		}
	}
	for i := range causes {
		if c := &causes[i]; (ill || c.advisory) && p.decidable(c) {
			if proof := p.proof(c); len(proof) > 0 {
				return p.found(c, proof), c.own && c.advisory
			}
		}
	}
	return nil, false
}

// decidable says whether all that a cause needs has been collected, as far as there is anything to collect.
func (p *patient) decidable(c *Cause) bool {
	return c.match != nil && (p.evidence != nil || c.early || !p.collectable())
}

// proof lists the facts that speak for a cause: those that prove it, else, when a line of the log speaks for it, those
// that show the failure.
func (p *patient) proof(c *Cause) []string {
	if facts := c.match(p); len(facts) > 0 {
		return facts
	}
	if c.strict || len(p.signs[c.Code]) == 0 || (c.unless != nil && c.unless(p)) {
		return nil
	}
	return p.support()
}

// found describes what was found.
func (p *patient) found(c *Cause, proof []string) *Finding {
	f := &Finding{
		Service: p.svc.Name, Cause: c.Code, Severity: p.severity(c), Proof: slices.Compact(proof), Log: p.signs[c.Code],
		Summary: fmt.Sprintf("%s: %s", strings.TrimSuffix(c.Title, "."), proof[0]), Urgent: p.down(),
	}
	if p.c != nil {
		f.Container = p.c.Name
	}
	if c.wait != nil {
		f.Wait = c.wait(p)
	}
	if c.Code == "memory_exhaustion" {
		f.Repaired = p.repaired()
	}
	if c.elsewhere && p.database != p.svc.Name {
		f.Dependency = p.database
	}
	return f
}

// severity is the service's own as its policy says, but for causes whose severity lies in their nature: what endangers
// data is always critical, and what the service survives never is.
func (p *patient) severity(c *Cause) string {
	if c.advisory || c.Severity == "critical" {
		return c.Severity
	}
	return either(p.svc.Policy.Severity, c.Severity)
}

// lookAgain is how old evidence may be on which something is waited for.
const lookAgain = 30 * time.Second

// needs lists what is to be collected, in the order of the tree; nothing on a second look, or where there is nothing to
// look at. What is waited for is looked at again, and so is what could not be read in time: a cause may hide in it.
func (p *patient) needs(f *Finding) []observe.Need {
	waits := f != nil && (f.Wait != "" || handsOff(f.Cause)) // people are at work
	again := p.evidence != nil && (waits || len(p.evidence.Gaps) > 0) && p.in.Now.Sub(p.evidence.At) > lookAgain
	if !p.collectable() || (p.evidence != nil && !again) {
		return nil
	}
	needs := []observe.Need{observe.NeedLogs}
	if p.live() {
		needs = append(needs, observe.NeedStats, observe.NeedProcesses)
	}
	if len(p.svc.Policy.Probes) > 0 && p.live() {
		needs = append(needs, observe.NeedProbes)
	}
	if p.checkHangs() && !p.checkedLong() && !slices.ContainsFunc(p.svc.Policy.Probes, asksApplication) {
		needs = append(needs, observe.NeedCheck)
	}
	if len(p.svc.Ports) > 0 || (p.live() && slices.ContainsFunc(p.svc.Policy.Probes, overNetwork)) {
		needs = append(needs, observe.NeedPorts)
	}
	if p.usesPostgres() && (p.live() || p.database != p.svc.Name) {
		needs = append(needs, observe.NeedDatabase)
	}
	if p.live() && len(p.svc.Ports) > 0 && len(p.in.Stack.Services) > 1 {
		needs = append(needs, observe.NeedPeers)
	}
	if len(p.svc.VolumeKeys) > 0 && p.live() {
		needs = append(needs, observe.NeedDisk)
	}
	return needs
}

func handsOff(code string) bool {
	c, _ := Explain(code)
	return c.HandsOff
}

// collectable says whether there is a container that evidence can be about.
func (p *patient) collectable() bool { return p.c != nil }
