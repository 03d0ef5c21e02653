package drift

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"composure/controller/observe"
	"composure/spec"
)

// Compute compares all of a stack. It never changes its input.
func Compute(in Input) Report {
	c := &comparison{Input: in, facts: observe.FactsOf(in.Stack, in.Snapshot), networkKeys: networkKeys(in.Stack), report: Report{Stack: in.Stack.Name}, risks: map[string][]string{}}
	c.networkNames = invert(c.networkKeys)
	services := slices.Clone(in.Stack.Services)
	slices.SortFunc(services, func(a, b *spec.Service) int { return cmp.Compare(a.Name, b.Name) })
	for _, g := range in.Snapshot.Gaps {
		c.gap(g.Subject, g.Err)
	}
	for _, svc := range services {
		c.service(svc)
	}
	c.orphans()
	c.networks()
	c.volumes()
	c.override()
	for _, svc := range services {
		c.report.Impact = append(c.report.Impact, c.impact(svc))
	}
	c.sort()
	return c.report
}

// comparison collects the report on one Input.
type comparison struct {
	Input
	facts        func(*spec.Service, observe.Slot) spec.Facts
	networkKeys  map[string]string // the engine's name of a network → its key in the file
	networkNames map[string]string // the other way round
	report       Report
	risks        map[string][]string // service → what a recreation would put at risk
	secrets      []string            // values that are not shown; nil: not asked for yet
}

func (c *comparison) add(d Drift) { c.report.Drifts = append(c.report.Drifts, d) }
func (c *comparison) gap(subject, why string) {
	c.report.Gaps = append(c.report.Gaps, Gap{subject, why})
}
func (c *comparison) risk(service, text string)  { c.risks[service] = append(c.risks[service], text) }
func (c *comparison) unread(subject string) bool { return c.gapOf(subject) != nil }

func (c *comparison) gapOf(subject string) *observe.Gap {
	for i, g := range c.Snapshot.Gaps {
		if g.Subject == subject {
			return &c.Snapshot.Gaps[i]
		}
	}
	return nil
}

// service compares one service, slot by slot.
func (c *comparison) service(svc *spec.Service) {
	unread := 0 // containers that exist and could not be read
	for _, g := range c.Snapshot.Gaps {
		if g.Service == svc.Name && strings.HasPrefix(g.Subject, "container ") && !strings.HasSuffix(g.Subject, " files") {
			unread++
		}
	}
	slots := observe.Slots(svc, c.Snapshot)
	for _, slot := range slots {
		desired, err := c.Stack.Container(svc, slot.Number, c.facts(svc, slot))
		if err != nil {
			c.gap("service "+svc.Name, err.Error())
			return
		}
		for _, u := range desired.Unable {
			if !u.Ignored {
				c.gap(u.Key, u.Why)
			}
		}
		switch {
		case slot.Container == nil && unread > 0:
			unread--
		case slot.Container == nil:
			c.missing(svc, slot, desired, slots)
		case slot.Surplus:
			c.surplus(svc, slot, desired, slots)
		default:
			c.container(svc, slot, desired)
		}
	}
}

// missing is a slot that nobody fills.
func (c *comparison) missing(svc *spec.Service, slot observe.Slot, desired spec.Container, slots []observe.Slot) {
	existing := 0
	for _, s := range slots {
		if s.Container != nil && !s.Surplus {
			existing++
		}
	}
	d := Drift{
		Service: svc.Name, Container: desired.Name, Field: FieldExistence, Desired: "exists", Observed: "missing",
		Pos: c.Stack.Pos("services", svc.Name), Origin: OriginFile, Remedy: RemedyInPlace, Cause: "not created yet",
	}
	if existing > 0 {
		d.Field, d.Desired, d.Observed = FieldReplicas, fmt.Sprint(svc.Replicas), fmt.Sprint(existing)
		d.Pos = firstPos(svc, "scale", "deploy.replicas")
		d.Cause = "fewer containers than replicas"
	}
	if c.Applied != nil {
		if before := c.Applied.Service(svc.Name); before != nil && existing < before.Replicas {
			d.Origin, d.Cause = OriginLive, "the container was removed"
		}
	}
	c.add(d)
}

// surplus is a container beyond the replicas, or what an interrupted recreation of docker compose left: two containers
// of one number.
func (c *comparison) surplus(svc *spec.Service, slot observe.Slot, desired spec.Container, slots []observe.Slot) {
	d := Drift{
		Service: svc.Name, Container: slot.Container.Name, Field: FieldSurplus,
		Desired: fmt.Sprintf("%d replicas", svc.Replicas), Observed: fmt.Sprintf("container %d", slot.Number),
		Pos: firstPos(svc, "scale", "deploy.replicas"), Origin: OriginLive, Remedy: RemedyReport,
		Cause: "more containers than replicas; it is removed only when asked to (prune)",
	}
	if svc.Replicas == 1 {
		d.Desired = "1 replica"
	}
	twins := slices.ContainsFunc(slots, func(s observe.Slot) bool { return s.Number == slot.Number && s.Container != slot.Container })
	if twins || temporary(slot.Container.Name, desired.Name) {
		d.Field, d.Desired, d.Observed = FieldLeftover, "removed", slot.Container.Status()
		d.Cause = fmt.Sprintf("a recreation was interrupted and left two containers of number %d; this one is removed only when asked to (prune)", slot.Number)
		if Abandoned(*slot.Container, c.Snapshot) {
			why := "never ran"
			if undone(*slot.Container) {
				why = "was undone, its log is kept"
			}
			d.Cause = fmt.Sprintf("a recreation was interrupted and left two containers of number %d; this one %s, and is removed", slot.Number, why)
		}
	}
	if slot.Container.Dead() {
		d.Field, d.Desired, d.Observed = FieldLeftover, "removed", "dead"
		d.Cause = "the engine could not remove it completely; a deployment tries that again"
	}
	if before := c.appliedService(svc.Name); before != nil && before.Replicas > svc.Replicas {
		d.Origin = OriginFile
	}
	c.add(d)
}

// Abandoned says whether a container was made for a recreation of Composure's and never ran, or was undone, which keeps its log
// and gives it a name of its own: when the recreation does not need it any more, such as one that the engine created long after
// everybody had given up on it, it is nobody's. So is one that never ran and has the name that the recreation needs.
func Abandoned(c observe.Container, s *observe.Snapshot) bool {
	ours := c.Label(spec.LabelRecreates) != "" && (observe.NeverRan(c) || undone(c))
	return ours || observe.Needless(c, s.Containers)
}

func undone(c observe.Container) bool { return !c.Running() && strings.HasSuffix(c.Name, Failed(c.ID)) }

// Failed is what the name of a container ends in after its recreation was undone.
func Failed(id string) string { return ".failed-" + id[:min(12, len(id))] }

// temporary says whether a name is one that a recreation gives for a while: <12 hex>_name by docker compose,
// name.<hash> by Composure.
func temporary(name, final string) bool {
	if prefix, ok := strings.CutSuffix(name, "_"+final); ok && len(prefix) == 12 && strings.Trim(prefix, "0123456789abcdef") == "" {
		return true
	}
	return strings.HasPrefix(name, final+".")
}

// container compares the container in a slot.
func (c *comparison) container(svc *spec.Service, slot observe.Slot, desired spec.Container) {
	observed := slot.Container
	side := newContrast(c, svc, slot, &desired)
	if slot.Replaced != nil {
		c.add(Drift{
			Service: svc.Name, Container: slot.Replaced.Name, Field: FieldLeftover, Desired: "removed", Observed: slot.Replaced.Status(),
			Pos: svc.Pos(), Origin: OriginLive, Remedy: RemedyInPlace,
			Cause: fmt.Sprintf("%s replaces it and the recreation has not ended; a deployment finishes or undoes it", observed.Name),
		})
	} else if observed.Name != desired.Name {
		c.add(c.nameDrift(side, observed.Name, desired.Name))
	}
	if !observed.Unchecked.IsZero() && observed.Health() == "unknown" {
		c.gap("container "+observed.Name+" health", observed.WhyUnknown())
	}
	image := side.imageDrift()
	found := append(side.drifts(), side.fileDrifts()...)
	for _, d := range []*Drift{stateDrift(svc, *observed), healthDrift(svc, *observed), side.severedDrift(), image} {
		if d != nil {
			found = append(found, *d)
		}
	}
	c.report.Drifts = append(c.report.Drifts, found...)
	if slices.ContainsFunc(found, func(d Drift) bool { return d.Remedy == RemedyRecreate }) {
		side.atRisk(image != nil)
	}
}

func (c *comparison) nameDrift(side *contrast, name, want string) Drift {
	svc := side.svc
	d := Drift{
		Service: svc.Name, Container: name, Field: FieldName, Desired: want, Observed: name,
		Pos: firstPos(svc, "container_name"), Origin: OriginLive, Remedy: RemedyInPlace, Cause: "the container was renamed by hand",
	}
	if temporary(name, want) {
		d.Cause = "a recreation was interrupted before it gave the container its name"
	} else if applied, _ := side.record(); applied != nil && applied.Name == name || applied == nil && !side.same {
		d.Origin, d.Cause = OriginFile, "the name was edited in the file and not deployed yet"
	}
	if slices.ContainsFunc(c.Snapshot.Containers, func(other observe.Container) bool { return other.Name == want }) {
		d.Remedy = RemedyReport
		d.Cause += "; another container of the stack has that name, which must be removed first"
	}
	return d
}

// appliedService is the service as it was when the file was last applied, or nil.
func (c *comparison) appliedService(name string) *spec.Service {
	if c.Applied == nil {
		return nil
	}
	return c.Applied.Service(name)
}

// orphans are containers of a service that the file does not have. One-off containers are nobody's business, and those of
// a service whose profile is not active are the business of whoever activates it: docker compose leaves them alone, too.
func (c *comparison) orphans() {
	for _, observed := range c.Snapshot.Containers {
		if observed.OneOff || c.Stack.Service(observed.Service) != nil || c.Stack.Inactive[observed.Service] {
			continue
		}
		d := Drift{
			Container: observed.Name, Field: FieldOrphan, Desired: "no such service", Observed: observed.Status(),
			Pos: c.Stack.Pos("services"), Origin: OriginLive, Remedy: RemedyReport,
			Cause: fmt.Sprintf("the file has no service %q; it is removed only when asked to (prune)", observed.Service),
		}
		if c.appliedService(observed.Service) != nil {
			d.Origin = OriginFile
		}
		c.add(d)
	}
}

// override attaches the recorded divergences to the drifts they explain.
func (c *comparison) override() {
	for i := range c.report.Drifts {
		d := &c.report.Drifts[i]
		for j := range c.Overrides {
			if o := &c.Overrides[j]; o.covers(*d) && (o.Until.IsZero() || c.Snapshot.At.Before(o.Until)) {
				override := *o
				d.Override = &override
				break
			}
		}
	}
}

func (o *Override) covers(d Drift) bool {
	return (o.Service == "" || o.Service == d.Service) &&
		(o.Field == "" || o.Field == d.Field || strings.HasPrefix(d.Field, o.Field+".")) &&
		(o.Value == "" || o.Value == d.Observed)
}

// Differs says whether anything differs that no override explains.
func (r Report) Differs() bool {
	return slices.ContainsFunc(r.Drifts, func(d Drift) bool { return d.Override == nil })
}

// Of returns the part of the report that is about some services; nil stands for all of it. Gaps stay: what could not
// be read may concern any service.
func (r Report) Of(services map[string]bool) Report {
	if services == nil {
		return r
	}
	part := Report{Stack: r.Stack, Gaps: r.Gaps}
	for _, d := range r.Drifts {
		if services[d.Service] {
			part.Drifts = append(part.Drifts, d)
		}
	}
	for _, i := range r.Impact {
		if services[i.Service] {
			part.Impact = append(part.Impact, i)
		}
	}
	return part
}

// sort makes equal findings equal reports.
func (c *comparison) sort() {
	slices.SortStableFunc(c.report.Drifts, func(a, b Drift) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.Subject, b.Subject),
			cmp.Compare(a.Container, b.Container), cmp.Compare(a.Field, b.Field))
	})
	slices.SortStableFunc(c.report.Gaps, func(a, b Gap) int { return cmp.Or(cmp.Compare(a.Subject, b.Subject), cmp.Compare(a.Why, b.Why)) })
	c.report.Gaps = slices.Compact(c.report.Gaps)
}

// firstPos is where the first of the dotted keys stands that the service has.
func firstPos(svc *spec.Service, keys ...string) spec.Position {
	for _, key := range keys {
		if pos := svc.Pos(strings.Split(key, ".")...); pos != svc.Pos() {
			return pos
		}
	}
	return svc.Pos()
}
