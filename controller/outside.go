package controller

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"composure/controller/observe"
	"composure/spec"
)

// What runs as the file says is applied, whoever did it. Where somebody deploys by `docker compose up`, or a pipeline does, the
// remediator takes that over, with the images of it, and does not go back to what it applied itself.

// Outside is the origin of a revision that somebody else deployed.
const Outside = "outside"

// DeployedOutside are the services that somebody else has deployed, or taken out, since the last revision: what runs of each is what
// the file says in every replica, and the revision says something else. With an image under the same name that is so when
// the containers have the image that the name means now. An override in force holds against that; one ends with the edit of its service.
func DeployedOutside(file *spec.Stack, d Desired, s *observe.Snapshot) map[string]bool {
	found := map[string]bool{}
	if d.Applied == nil || slices.ContainsFunc(s.Gaps, func(g observe.Gap) bool { return strings.HasPrefix(g.Subject, "container ") }) {
		return found
	}
	facts := observe.FactsOf(file, s)
	of := map[string][]*observe.Container{}
	for i := range s.Containers {
		if c := &s.Containers[i]; !c.OneOff {
			of[c.Service] = append(of[c.Service], c)
		}
	}
	for _, svc := range file.Services {
		before, containers := d.Applied.Service(svc.Name), of[svc.Name]
		if len(containers) != svc.Replicas {
			continue
		}
		moved := len(containers) > 0 && d.Images[svc.Name] != "" && d.Returned[svc.Name].IsZero()
		for _, c := range containers {
			moved = moved && c.Inspect.Image == s.Refs[svc.Image] && c.Inspect.Image != d.Images[svc.Name]
		}
		if !moved && (before == svc || before != nil && !edited(file, svc, d.Applied, before)) { // a file that was not edited is what was applied itself
			continue
		}
		found[svc.Name] = !slices.ContainsFunc(containers, func(c *observe.Container) bool {
			desired, err := file.Container(svc, c.Number, facts(svc, observe.Slot{Number: c.Number, Container: c}))
			return err != nil || !slices.Contains(desired.Hashes, c.Label(spec.LabelConfigHash)) || c.Label(spec.LabelRecreates) != ""
		})
	}
	maps.DeleteFunc(found, func(_ string, outside bool) bool { return !outside })
	for _, svc := range d.Applied.Services {
		if file.Service(svc.Name) == nil && !file.Inactive[svc.Name] && len(of[svc.Name]) == 0 && svc.Replicas > 0 {
			found[svc.Name] = true
		}
	}
	return found
}

// edited says whether a service of the file is another one than was applied.
func edited(file *spec.Stack, svc *spec.Service, applied *spec.Stack, before *spec.Service) bool {
	now, err := file.Container(svc, 1, spec.Facts{})
	then, errThen := applied.Container(before, 1, spec.Facts{})
	same := slices.ContainsFunc(now.Hashes, func(hash string) bool { return slices.Contains(then.Hashes, hash) })
	return err == nil && errThen == nil && (!same || svc.Replicas != before.Replicas)
}

// adoptOutside records what somebody else has deployed, and goes by it from now on, which it reports. What this process has in hand
// is its own.
func (c *Controller) adoptOutside(ctx context.Context, s *observe.Snapshot, busy map[string]string) bool {
	h := c.heal
	if h == nil || h.deploying || h.Memory.Elsewhere(h.read) {
		return false
	}
	services := DeployedOutside(h.file, h.desired, s)
	maps.DeleteFunc(services, func(service string, _ bool) bool { return inHand(busy, service) })
	if len(services) == 0 {
		return false
	}
	names := slices.Sorted(maps.Keys(services))
	err := h.Memory.AdoptServices(ctx, Pass{Stack: c.Stack, File: h.file, Applied: h.desired.Applied, Snapshot: s}, services, Outside)
	if err == nil {
		c.Logger.Info("deployed by somebody else, which is what is restored from now on", "services", strings.Join(names, ", "))
		err = c.restoreDesired(ctx, time.Now())
	}
	if err != nil {
		c.Logger.Warn("deployed by somebody else, which could not be recorded", "services", strings.Join(names, ", "), "error", err)
	}
	return err == nil
}
