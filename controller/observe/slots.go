package observe

import (
	"cmp"
	"maps"
	"regexp"
	"slices"
	"time"

	"github.com/docker/docker/api/types/mount"

	"composure/spec"
)

// Slot is one place of a service: the container that fills it, or nobody.
type Slot struct {
	Number    int
	Container *Container // who fills it; nil: missing
	Replaced  *Container // the old container of a recreation that has not ended; Container is then the new one
	Surplus   bool       // more containers than replicas
}

// Slots deals the observed containers of a service out to its replicas, as docker compose does: a container keeps its
// number, whatever it is, and too many are surplus from the top: what has the number of another one, which a recreation
// left, in any case, then the highest numbers. A missing one gets the lowest number that is free, not
// the next above the highest: numbers of containers whose creation is still under way stay theirs.
// The two containers of an unfinished recreation share a slot, unless the old one is dead: there is no way back to it.
func Slots(svc *spec.Service, s *Snapshot) []Slot {
	containers := s.Of(svc.Name)
	replaced := map[string]bool{}
	byID := map[string]*Container{}
	for i := range containers {
		byID[containers[i].ID] = &containers[i]
	}
	for _, c := range containers {
		if old := byID[c.Label(spec.LabelRecreates)]; old != nil && !old.Dead() {
			replaced[old.ID] = true
		}
	}
	var slots []Slot
	taken := map[int]bool{}
	for i := range containers {
		c := &containers[i]
		taken[c.Number] = true
		if !replaced[c.ID] {
			slot := Slot{Number: c.Number, Container: c}
			if old := c.Label(spec.LabelRecreates); replaced[old] {
				slot.Replaced = byID[old]
			}
			slots = append(slots, slot)
		}
	}
	slices.SortStableFunc(slots, func(a, b Slot) int { return bySeniority(a, b, containers) })
	slots, kept := twinsLast(slots)
	for i := range slots {
		slots[i].Surplus = i >= min(kept, svc.Replicas)
	}
	for number := 1; kept < svc.Replicas; number++ {
		if !taken[number] {
			slots, kept = append(slots, Slot{Number: number}), kept+1
		}
	}
	return slots
}

// bySeniority puts the slot that is kept first: the lower number; of two containers with one number (a recreation that
// docker compose did not end) the one that runs, else the one with the shorter name, since temporary names are longer. One
// that nobody needs comes after them, and a dead one last.
func bySeniority(a, b Slot, all []Container) int {
	rank := func(s Slot) int {
		switch {
		case s.Container.Running():
			return 0
		case s.Container.Dead():
			return 3
		case Needless(*s.Container, all):
			return 2
		}
		return 1
	}
	return cmp.Or(cmp.Compare(a.Number, b.Number), cmp.Compare(rank(a), rank(b)), cmp.Compare(len(a.Container.Name), len(b.Container.Name)))
}

// Aside is what the name of a container ends in that a recreation has put aside: no one else gives such a name.
func Aside(id string) string { return ".old-" + id[:min(12, len(id))] }

// NeverRan says whether a container was created, and no start of it came about.
func NeverRan(c Container) bool { return c.Status() == "created" && c.StartedAt().IsZero() }

// Needless says whether a container has never run, and has the name of one that a recreation has put aside and that runs, without
// being the new container of that recreation: it was created while the engine did not show that one, as if there were none.
func Needless(c Container, all []Container) bool {
	return NeverRan(c) && slices.ContainsFunc(all, func(other Container) bool {
		return other.Running() && c.Label(spec.LabelRecreates) != other.ID && other.Service == c.Service && other.Number == c.Number && other.Name == c.Name+Aside(other.ID)
	})
}

// twinsLast puts those that are not the first of their number behind all others, and says how many are.
func twinsLast(sorted []Slot) (slots []Slot, numbers int) {
	first, twins := make([]Slot, 0, len(sorted)), []Slot(nil)
	for i, slot := range sorted {
		if i > 0 && slot.Number == sorted[i-1].Number {
			twins = append(twins, slot)
		} else {
			first = append(first, slot)
		}
	}
	return append(first, twins...), len(first)
}

// Current is the container of a service that others share a namespace with: the one of its first slot.
func Current(svc *spec.Service, s *Snapshot) *Container {
	for _, slot := range Slots(svc, s) {
		if slot.Container != nil {
			return slot.Container
		}
	}
	return nil
}

// Facts are what the file does not know about the container in a slot.
func Facts(stack *spec.Stack, svc *spec.Service, slot Slot, s *Snapshot) spec.Facts {
	return FactsOf(stack, s)(svc, slot)
}

// FactsOf is Facts for all slots of a stack: what is common to them is looked for once, among all containers.
func FactsOf(stack *spec.Stack, s *Snapshot) func(*spec.Service, Slot) spec.Facts {
	compose := s.compose(stack.Name)
	return func(svc *spec.Service, slot Slot) spec.Facts { return facts(stack, svc, slot, s, compose) }
}

func facts(stack *spec.Stack, svc *spec.Service, slot Slot, s *Snapshot, compose string) spec.Facts {
	f := spec.Facts{
		APIVersion:   s.Engine.APIVersion,
		Compose:      compose,
		ImageID:      s.Refs[svc.Image],
		ContainerIDs: map[string]string{},
		Carried:      map[string]string{},
		Proxies:      s.Engine.Proxies,
	}
	for _, name := range svc.Namespaces {
		if other := stack.Service(name); other != nil {
			if c := Current(other, s); c != nil {
				f.ContainerIDs[name] = c.ID
			}
		}
	}
	if slot.Container != nil {
		for _, m := range slot.Container.Inspect.Mounts {
			if m.Type == mount.TypeVolume && anonymous.MatchString(m.Name) {
				f.Carried[m.Destination] = m.Name
			}
		}
	}
	return f
}

// anonymous volumes are named by the engine: 64 hexadecimal digits.
var anonymous = regexp.MustCompile(`^[0-9a-f]{64}$`)

// compose is the version label of the stack's containers: the generation of docker compose that made them. Where
// they differ the newest container decides; where all are gone, the newest of the stack's networks.
func (s *Snapshot) compose(project string) string {
	version, newest := "", ""
	for _, c := range s.Containers {
		if v := c.Label(spec.LabelVersion); v != "" && c.Inspect.Created >= newest {
			version, newest = v, c.Inspect.Created
		}
	}
	if version != "" {
		return version
	}
	var last time.Time
	for _, name := range slices.Sorted(maps.Keys(s.Networks)) {
		n := s.Networks[name]
		if v := n.Labels[spec.LabelVersion]; v != "" && n.Labels[spec.LabelProject] == project && !n.Created.Before(last) {
			version, last = v, n.Created
		}
	}
	return version
}
