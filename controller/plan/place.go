package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"composure/controller/drift"
	"composure/controller/observe"
	"composure/spec"
)

// place is one slot of a service with all that a remedy looks at.
type place struct {
	key      string
	svc      *spec.Service
	slot     observe.Slot
	desired  spec.Container
	drifts   []drift.Drift // of the slot's container
	judge    Judgement     // of the slot's container
	needs    []Wait        // what must exist before a container of the service can be created
	waits    []Wait        // what must be true before a container of the service is started
	lacks    []Wait        // networks that it is to be on and that do not exist
	moving   string        // key of another slot of the service that is being replaced now
	history  []Attempt     // of this key
	renewed  string        // dependency made anew in this run, after which this service is to be restarted
	follows  bool          // the command is not about it, but about what it depends on
	joins    bool          // the services whose namespaces it shares have proven that they run
	deploy   bool
	hangs    bool               // the application is deadlocked: its stacks are worth a dump
	precious bool               // it has written more outside its volumes than healing may drop, or nobody knows how much
	weighing bool               // how much that is, is being measured
	commit   string             // from which the image of the service was built
	stealer  string             // container outside the stack that holds a port of this one and may be stopped
	server   *observe.Container // runs the PostgreSQL whose sessions may be ended
	idle     []observe.Session  // those that have been idle in a transaction for longer than the policy's limit
	snap     *observe.Snapshot
}

// place prepares a slot; nil when it cannot be planned, which is then held.
func (p *planner) place(svc *spec.Service, slot observe.Slot, image *Wait) *place {
	pl := &place{
		key: fmt.Sprintf("service/%s/%d", svc.Name, slot.Number), svc: svc, slot: slot, deploy: p.Deploy, snap: p.Snapshot,
	}
	facts := p.facts(svc, slot)
	pin := p.Pinned[svc.Name]
	moved := !p.Deploy && pin != "" && pin != facts.ImageID
	if moved {
		facts.ImageID = pin
	}
	desired, err := p.Stack.Container(svc, slot.Number, facts)
	if err == nil && moved {
		config := *desired.Config
		config.Image, desired.Config = pin, &config
	}
	if err != nil {
		p.impossible = true
		p.final(pl.key, svc.Name, err.Error())
		return nil
	}
	for _, u := range desired.Unable {
		if u.Ignored {
			continue
		}
		p.impossible = true
		p.final(pl.key, svc.Name, fmt.Sprintf("%s: %s: %s", u.Pos, u.Key, u.Why))
		return nil
	}
	if why := p.unread(svc, slot.Container); why != "" {
		p.final(pl.key, svc.Name, why)
		return nil
	}
	pl.desired = desired
	for _, a := range p.History {
		if a.Key == pl.key {
			pl.history = append(pl.history, a)
		}
	}
	if c := slot.Container; c != nil {
		pl.judge = p.Judge[c.ID]
		p.broken[pl.key] = pl.judge.Verdict == Failed || pl.judge.Verdict == Pending && !c.Running()
		pl.weighing = p.Weighing[c.ID]
		bytes, known := p.Written[c.ID]
		ran := !c.StartedAt().IsZero()
		pl.precious = ran && !pl.weighing && (!known || bytes > svc.Policy.Remediation.HardLimit)
		pl.drifts = p.byContainer[c.Name]
	}
	pl.hangs = p.Ill[svc.Name].Cause == "application_deadlock"
	if holder := p.Ill[svc.Name].Holder; slices.Contains(p.Stack.Policy.Ports, holder) {
		pl.stealer = holder
	}
	pl.server, pl.idle = p.sitters(svc)
	pl.commit = p.Commits[svc.Name]
	pl.lacks = slices.DeleteFunc(p.lacking(desired), func(w Wait) bool { return p.gap(w.On) != "" }) // unknown is not missing
	pl.needs = p.needs(svc, desired, image)
	pl.waits = slices.Concat(p.waits(svc), p.yields(svc, desired), p.ambiguous(desired))
	pl.renewed = p.renewed(svc, slot.Container)
	pl.joins = p.proven(svc.Namespaces)
	return pl
}

// unread returns why a slot must not be acted on: its container could not be read, or the slot only looks empty, or its recreation
// ended, because some container of the service could not be.
func (p *planner) unread(svc *spec.Service, c *observe.Container) string {
	for _, g := range p.Snapshot.Gaps {
		name, isContainer := strings.CutPrefix(g.Subject, "container ")
		switch {
		case !isContainer:
		case c != nil && c.Name == name:
			return "could not be read: " + g.Err
		case g.Service == svc.Name && !strings.HasSuffix(name, " files") && (c == nil || p.predecessorUnseen(c)):
			return g.Subject + " could not be read: " + g.Err
		}
	}
	return ""
}

// predecessorUnseen says whether a container replaces one that the snapshot does not have: it is gone, unless it could not be read.
func (p *planner) predecessorUnseen(c *observe.Container) bool {
	old := c.Label(spec.LabelRecreates)
	return old != "" && !slices.ContainsFunc(p.Snapshot.Containers, func(other observe.Container) bool { return other.ID == old })
}

// begun says whether this deployment has started the container already: what fails then is its answer. A migration that
// failed is not run again because somebody deployed once.
func (pl *place) begun() bool {
	return pl.deploy && slices.ContainsFunc(pl.history, func(a Attempt) bool {
		return a.Outcome == Done && slices.Contains([]string{"create", "start", "restart"}, verb(a.Kind))
	})
}

// digest identifies what the container must be, its image included, by 8 hexadecimal digits. Where the project stands and
// which files describe it is not part of that, nor is the generation of docker compose.
func (pl *place) digest() string {
	c := pl.desired
	config := *c.Config
	config.Labels = map[string]string{}
	for name, value := range c.Config.Labels {
		if name == spec.LabelImage || !strings.HasPrefix(name, "com.docker.compose.") {
			config.Labels[name] = value
		}
	}
	data, err := json.Marshal([]any{config, c.Host, c.Networks, c.Platform, c.Files})
	if err != nil {
		data = []byte(c.Hash)
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:4])
}

// all returns the drifts of a class that may be acted on, those of them that every filter accepts. A pending edit of
// the file is only applied by the deployment verb; what a recorded override explains is never fought.
func (pl *place) all(class drift.Remedy, filters ...func(drift.Drift) bool) []drift.Drift {
	var found []drift.Drift
next:
	for _, d := range pl.drifts {
		if d.Remedy != class || d.Override != nil || (!pl.deploy && d.Origin == drift.OriginFile) {
			continue
		}
		for _, accepts := range filters {
			if !accepts(d) {
				continue next
			}
		}
		found = append(found, d)
	}
	return found
}

// because renders the cause of a job from the drifts that call for it.
func because(drifts []drift.Drift) string {
	var parts []string
	for _, d := range drifts {
		part := d.Field
		if at := d.Pos; at.Line > 0 {
			part += fmt.Sprintf(" (%s:%d)", base(at.File), at.Line)
		}
		parts = append(parts, part)
	}
	if len(parts) > 4 {
		parts = append(parts[:4], fmt.Sprintf("and %d more", len(parts)-4))
	}
	return strings.Join(parts, ", ")
}

func base(path string) string {
	return path[strings.LastIndexByte(path, '/')+1:]
}
