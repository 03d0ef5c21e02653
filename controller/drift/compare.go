package drift

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/docker/docker/api/types/image"

	"composure/controller/observe"
	"composure/spec"
)

// contrast is one container beside what it must be.
type contrast struct {
	c        *comparison
	svc      *spec.Service
	slot     observe.Slot
	observed *observe.Container
	desired  *spec.Container
	want     *shape
	have     *shape
	same     bool // its config hash is one of the file's, or was taken away: nothing says that the file was edited

	recorded bool // the next two are known
	applied  *spec.Container
	before   *shape
}

// newContrast brings both sides into one form.
func newContrast(c *comparison, svc *spec.Service, slot observe.Slot, desired *spec.Container) *contrast {
	p := &contrast{c: c, svc: svc, slot: slot, observed: slot.Container, desired: desired}
	p.have = observedShape(p.observed, c.networkKeys)
	p.want = desiredShape(c.Stack, *desired, c.networkKeys)
	normalise(p.want, p.have, p.image(), c.Snapshot)
	p.have.removed = removedNetworks(p.observed, c.networkKeys, c.Snapshot)
	hash := p.observed.Label(spec.LabelConfigHash)
	p.same = hash == "" || slices.Contains(desired.Hashes, hash)
	fromEngineSharing(&p.want.host, &p.have.host, c.Snapshot, p.same)
	if p.same {
		fromEngineUlimits(&p.want.host, &p.have.host, c.Snapshot)
		return p
	}
	c.report.Edited = true
	if applied, _ := p.record(); applied != nil {
		fromEngineUlimits(&p.want.host, &p.have.host, c.Snapshot)
		takenOut(p.want, desired, applied)
	}
	return p
}

// image is what the container was made from; nil: unknown.
func (p *contrast) image() *image.InspectResponse {
	if found, ok := p.c.Snapshot.Images[p.observed.Inspect.Image]; ok {
		return &found
	}
	return nil
}

// record is what the container had to be when the file was last applied; nil when that is not recorded, or cannot be
// built any more. Only a drift asks for it, and an edit; most containers have none.
func (p *contrast) record() (*spec.Container, *shape) {
	if p.recorded {
		return p.applied, p.before
	}
	p.recorded = true
	svc := p.c.appliedService(p.svc.Name)
	if svc == nil {
		return nil, nil
	}
	applied, err := p.c.Applied.Container(svc, p.slot.Number, p.c.facts(p.svc, p.slot))
	if err != nil {
		return nil, nil
	}
	p.applied, p.before = &applied, desiredShape(p.c.Applied, applied, p.c.networkKeys)
	normalise(p.before, observedShape(p.observed, p.c.networkKeys), p.image(), p.c.Snapshot)
	fromEngineSharing(&p.before.host, &p.have.host, p.c.Snapshot, true)
	fromEngineUlimits(&p.before.host, &p.have.host, p.c.Snapshot)
	return p.applied, p.before
}

// drifts runs the table.
func (p *contrast) drifts() []Drift {
	var found []Drift
	for i := range fields {
		f := &fields[i]
		if f.when != nil && !f.when(p.want, p.have) {
			continue
		}
		if f.one != nil && f.one(p.want) == f.one(p.have) {
			continue
		}
		want, have := f.read(p.want), f.read(p.have)
		for _, element := range differing(want, have, f.both) {
			if shares(want[element], have[element]) && completed(p.svc, *p.observed) { // it needs that no more, and is not run again for it
				continue
			}
			found = append(found, p.drift(f, element, want, have))
		}
	}
	return found
}

// read returns the values of a field by element.
func (f *field) read(s *shape) elements {
	if f.one == nil {
		return f.get(s)
	}
	if value := f.one(s); value != "" {
		return elements{"": value}
	}
	return nil
}

// differing returns the elements in which two values differ, sorted.
func differing(want, have elements, both bool) []string {
	var names []string
	for element, value := range want {
		other, there := have[element]
		if (there || !both) && (!there || other != value) {
			names = append(names, element)
		}
	}
	for element := range have {
		if _, there := want[element]; !there && !both {
			names = append(names, element)
		}
	}
	slices.Sort(names)
	return names
}

// drift describes one element that differs.
func (p *contrast) drift(f *field, element string, want, have elements) Drift {
	desired, wanted := want[element]
	observed, there := have[element]
	d := Drift{
		Service: p.svc.Name, Container: p.observed.Name, Field: f.path(element),
		Desired: either(desired, f.nothing()), Observed: either(observed, f.nothing()),
		Pos: p.pos(f, element), Remedy: f.remedy,
	}
	d.Origin = p.origin(f, element)
	d.Cause = p.cause(d.Origin, wanted && desired != "", there && observed != "", f.note)
	switch {
	case wanted && slices.Contains(p.c.Snapshot.Engine.Drops, f.name):
		d.Remedy, d.Cause = RemedyReport, "not in effect: the kernel of this host does not support it, and the engine left it out"
	case f.leaves && !p.set(f) && d.Origin == OriginLive:
		d.Remedy, d.Cause = RemedyReport, "the file leaves it to the engine: this daemon has another default, or it was set by hand; set it in the file to be sure"
	case f.drops && wanted && (observed == "" || observed == "false"):
		d.Remedy, d.Cause = RemedyReport, "not in effect: taken away by hand, or this host's kernel does not support it"
	case f.remedy == RemedyInPlace && (f.sticky && !wanted || f.clash != nil && f.clash(p.want, p.have)):
		d.Remedy = RemedyRecreate
	}
	if shares(desired, observed) {
		d.Origin, d.Cause = OriginLive, "the container that it shares this with was replaced"
	}
	if strings.HasPrefix(f.name, "networks") {
		d.network = either(p.c.networkNames[element], strings.TrimSuffix(element, outside))
	}
	if observed == attachedToRemoved {
		d.Origin, d.Cause = OriginLive, "the network was removed and made again; the engine does not start the container before it is attached to the new one"
	}
	if !f.secret {
		element = ""
	}
	p.c.hide(&d, element, f.nothing())
	return d
}

// set says whether the file sets a scalar field, before the engine's defaults are in it.
func (p *contrast) set(f *field) bool {
	return f.one(desiredShape(p.c.Stack, *p.desired, p.c.networkKeys)) != ""
}

// hide masks all of a value when its key says that it is a secret, else the secrets inside it: what looks like one, and the
// values that are ones elsewhere in the stack. nothing is how the report shows that there is no value.
func (c *comparison) hide(d *Drift, key, nothing string) {
	plain := [2]string{d.Desired, d.Observed}
	for _, value := range []*string{&d.Desired, &d.Observed} {
		if *value != nothing {
			*value = spec.Hide(spec.Mask(key, *value), c.known())
		}
	}
	if known := c.known(); plain[0] != nothing && plain[1] != nothing && (spec.Hide(plain[0], known) != plain[0] || spec.Hide(plain[1], known) != plain[1]) {
		desired := d.Desired
		d.Desired, d.Observed = spec.HideBeside(d.Desired, d.Observed), spec.HideBeside(d.Observed, desired)
	}
	if d.Desired == d.Observed {
		d.Cause += "; they differ in a secret, which is not shown"
	}
}

// known are the values of the stack and of its containers that are secrets, wherever they appear; the longest first, since one may
// begin like another.
func (c *comparison) known() []string {
	if c.secrets == nil {
		c.secrets = append([]string{}, c.Stack.Secrets()...)
		for i := range c.Snapshot.Containers {
			for _, value := range c.Snapshot.Containers[i].Secrets() {
				if !slices.Contains(c.secrets, value) {
					c.secrets = append(c.secrets, value)
				}
			}
		}
		slices.SortStableFunc(c.secrets, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	}
	return c.secrets
}

// path is the field of an element as a report names it.
func (f *field) path(element string) string {
	switch {
	case element == "":
		return f.name
	case strings.Contains(f.name, "*"):
		return strings.Replace(f.name, "*", element, 1)
	}
	return f.name + "." + element
}

// nothing is how a report shows that an element is not there.
func (f *field) nothing() string { return either(f.absent, "unset") }

// pos is where the file sets the element: the first of the field's keys that stands in it, else the place where the
// first one would stand.
func (p *contrast) pos(f *field, element string) spec.Position {
	keys := f.keys
	if len(keys) == 0 {
		keys = []string{f.name}
	}
	service := p.svc.Pos()
	for _, key := range keys {
		if pos := p.svc.Pos(keyPath(key, element)...); pos != service {
			return pos
		}
	}
	return p.svc.Pos(keyPath(keys[0], element)...)
}

func keyPath(key, element string) []string {
	path := strings.Split(key, ".")
	if i := slices.Index(path, "*"); i >= 0 {
		path[i] = element
		return path
	}
	if element != "" {
		path = append(path, element)
	}
	return path
}

// origin tells from three states whose doing a difference is. Where nothing is recorded the config hash speaks for the
// file as it was applied.
func (p *contrast) origin(f *field, element string) Origin {
	_, before := p.record()
	if before == nil {
		return originByHash(p.same)
	}
	value := func(s *shape) [2]string {
		v, there := f.read(s)[element]
		if !there {
			return [2]string{}
		}
		return [2]string{"set", v}
	}
	return originOf(value(p.want), value(before), value(p.have))
}

func originByHash(same bool) Origin {
	if same {
		return OriginLive
	}
	return OriginFile
}

// originOf compares three states of one value that differs between the file and the container.
func originOf[T comparable](want, applied, have T) Origin {
	switch applied {
	case want:
		return OriginLive
	case have:
		return OriginFile
	}
	return OriginBoth
}

// cause is cause where something is recorded, and does not claim more than the config hash says where nothing is.
func (p *contrast) cause(origin Origin, wanted, there bool, note string) string {
	if _, before := p.record(); before != nil || p.same {
		return cause(origin, wanted, there, note)
	}
	text := "the file was edited since the container was made"
	if note != "" {
		text += "; " + note
	}
	return text
}

// cause is one sentence on whose doing it is, and what it means.
func cause(origin Origin, wanted, there bool, note string) string {
	verbs := map[Origin][3]string{ // added, removed, changed
		OriginLive: {"added to the container by hand", "removed from the container by hand", "changed on the container by hand"},
		OriginFile: {"removed from the file and not deployed yet", "added to the file and not deployed yet", "edited in the file and not deployed yet"},
		OriginBoth: {"removed from the file, and changed on the container by hand as well", "added to the file, and changed on the container by hand as well", "edited in the file, and changed on the container by hand as well"},
	}[origin]
	text := verbs[2]
	switch {
	case !wanted:
		text = verbs[0]
	case !there:
		text = verbs[1]
	}
	if note != "" {
		text += "; " + note
	}
	return text
}

// invert turns key → value around.
func invert(m map[string]string) map[string]string {
	inverted := make(map[string]string, len(m))
	for _, key := range slices.Sorted(maps.Keys(m)) {
		inverted[m[key]] = key
	}
	return inverted
}
