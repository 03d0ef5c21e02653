package plan

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"composure/controller/drift"
	"composure/controller/observe"
	"composure/spec"
)

// networks plans the networks that the file defines and the engine lacks, and the end of those that it has twice.
func (p *planner) networks() {
	for _, n := range p.Stack.Networks {
		if !p.concerns(n.Key, func(svc *spec.Service) []string { return svc.NetworkKeys }) {
			continue
		}
		if _, there := p.Snapshot.Networks[n.Name]; !there {
			p.resource("network "+n.Name, n.External, "does not exist", Step{Op: NetworkCreate, Target: n.Name, Network: n})
		}
		if twins := p.Snapshot.Twins[n.Name]; len(twins) > 0 { // one after the other
			p.twin(n, twins[0])
		}
	}
}

// twin plans the removal of a network that nothing is attached to and that has the name of the stack's own.
func (p *planner) twin(n *spec.Network, twin observe.Twin) {
	subject := "network " + n.Name
	if n.External || twin.Used {
		p.lacks(subjectKey(subject), subject, "there are several of this name; stop what uses it, and `docker network rm` all but one by their ids")
		return
	}
	p.resource(subject, false, "there are two of this name, and nothing is attached to this one", Step{Op: NetworkRemove, Target: n.Name, ID: twin.ID, Network: n})
}

// volumes plans the volumes that the file defines and the engine lacks.
func (p *planner) volumes() {
	for _, v := range p.Stack.Volumes {
		if _, there := p.Snapshot.Volumes[v.Name]; there || !p.concerns(v.Key, func(svc *spec.Service) []string { return svc.VolumeKeys }) {
			continue
		}
		if why := p.keptEmpty(v); why != "" {
			p.lacks("volume/"+v.Name, "volume "+v.Name, why)
		} else {
			p.resource("volume "+v.Name, v.External, "does not exist", Step{Op: VolumeCreate, Target: v.Name, Volume: v})
		}
	}
}

// concerns says whether a network or volume is one of a service that the plan is about: those of others, and of services that
// nothing is done about, are left alone, also when they are missing.
func (p *planner) concerns(key string, keys func(*spec.Service) []string) bool {
	used := false
	for _, svc := range p.Stack.Services {
		if !slices.Contains(keys(svc), key) {
			continue
		}
		used = true
		if _, byHand := p.Asked[svc.Name]; (byHand || acts(svc)) && (p.Services == nil || p.Services[svc.Name]) {
			return true
		}
	}
	return !used && p.Services == nil
}

// keptEmpty is why no empty volume is made in the place of one that held data, or "".
func (p *planner) keptEmpty(v *spec.Volume) string {
	for _, svc := range p.Stack.Services {
		if p.Ill[svc.Name].HandsOff && slices.Contains(svc.VolumeKeys, v.Key) && !p.Deploy {
			return "is gone, and no empty one is made in its place: people decide; `composure reconcile --once` begins with an empty one"
		}
	}
	return ""
}

// resource plans what makes a network or volume right. What is external belongs to somebody else.
func (p *planner) resource(subject string, external bool, cause string, step Step) {
	key, alone := subjectKey(subject), p.leftAlone(step)
	switch why := p.gap(subject); {
	case why != "" && !p.Deploy && p.Asked == nil: // unknown is not missing: what needs it waits, and nobody is called
		p.wait(key, "", "could not be read: "+why, time.Time{})
	case why != "":
		p.lacks(key, subject, "could not be read: "+why)
	case external:
		p.lacks(key, subject, "is external and does not exist; create it, or correct its name in the file")
	case p.Busy[key] != "":
		p.wait(key, "", "in progress: "+p.Busy[key], time.Time{})
	case alone != "":
		p.leaveAlone(key, "", subject, cause+", and is left alone: "+alone)
	default:
		p.try(Job{Key: key, Kind: string(step.Op), Cause: cause, Steps: []Step{step}}, 0)
	}
	if failures, last := p.failures(key, string(step.Op)); failures >= max(p.Tries, 1) {
		p.blocked[subject] = last.Reason
	}
}

// leftAlone is why nothing is made or removed for the stack, or for the services that use a network or volume, while all of them
// are paused; or "".
func (p *planner) leftAlone(step Step) (why string) {
	if why = p.paused(""); why != "" {
		return why
	}
	for _, svc := range p.Stack.Services {
		uses := step.Network != nil && slices.Contains(svc.NetworkKeys, step.Network.Key) || step.Volume != nil && slices.Contains(svc.VolumeKeys, step.Volume.Key)
		if !uses {
			continue
		}
		if why = p.Paused[svc.Name]; why == "" {
			return ""
		}
	}
	return why
}

// lacks holds a subject for good, and what needs it.
func (p *planner) lacks(key, subject, reason string) {
	p.final(key, "", reason)
	p.blocked[subject] = reason
}

func (p *planner) gap(subject string) string {
	for _, g := range p.Snapshot.Gaps {
		if g.Subject == subject {
			return g.Err
		}
	}
	return ""
}

// image plans what makes a service's image present, and returns the condition that is not met without it. While
// healing nothing is pulled or built: only the deployment verb fetches.
func (p *planner) image(svc *spec.Service) *Wait {
	subject := "image " + svc.Image
	key, wait := subjectKey(subject), exists(subject)
	missing := p.Snapshot.Refs[svc.Image] == ""
	step, asked := fetch(svc)
	fetched, _ := p.done(key, string(step.Op))
	switch {
	case svc.Replicas == 0:
		return nil
	case p.gap(subject) != "": // unknown is not missing
		p.wait(key, "", "could not be read: "+p.gap(subject), time.Time{})
		return &wait
	case p.Busy[key] != "":
		p.wait(key, "", "in progress: "+p.Busy[key], time.Time{})
		return &wait
	case !missing && (!asked || fetched > 0 || !p.Deploy):
		return nil
	case !p.Deploy && !(missing && again(svc)):
		p.lacks(key, subject, "does not exist here, and nothing is pulled or built while healing; run `composure reconcile --once`")
		return &wait
	case p.Deploy && p.paused(svc.Name) != "":
		p.leaveAlone(key, "", subject, "is not fetched: "+p.paused(svc.Name))
		return &wait
	case missing && svc.Pull.Mode == "never" && svc.Build == nil:
		p.lacks(key, subject, "does not exist here, and pull_policy is never; load it, or change the policy at "+svc.Pos("pull_policy").String())
		return &wait
	}
	for _, j := range p.plan.Jobs {
		if j.Key == key { // another service of the same image asked already
			return &wait
		}
	}
	cause := "does not exist here"
	if !missing {
		cause = "pull_policy is " + svc.Pull.Mode
	}
	p.try(Job{Key: key, Kind: string(step.Op), Cause: cause, Steps: []Step{step}}, 0)
	if failures, last := p.failures(key, string(step.Op)); failures >= max(p.Tries, 1) {
		p.blocked[subject] = last.Reason
	}
	return &wait
}

// again says whether the image is that of an older revision, which is built from its commit: that deploys nothing new.
func again(svc *spec.Service) bool { return svc.Build != nil && svc.Build.Commit != "" }

// fetch is the step that makes an image present, and whether the pull policy asks for it although it is.
func fetch(svc *spec.Service) (step Step, asked bool) {
	if again(svc) {
		return Step{Op: ImageBuild, Target: svc.Image, Service: svc, Detail: fmt.Sprintf("commit %.12s, in a work tree of its own", svc.Build.Commit)}, false
	}
	if svc.Build != nil && svc.Pull.Mode != "always" {
		return Step{Op: ImageBuild, Target: svc.Image, Service: svc}, svc.Pull.Mode == "build"
	}
	return Step{Op: ImagePull, Target: svc.Image, Service: svc}, svc.Pull.Mode == "always" || svc.Pull.Mode == "refresh"
}

// definitions notes what only a human can change: networks and volumes that are not as the file defines them, and mounted
// files that were edited under a container that reads them once.
func (p *planner) definitions() {
	for _, d := range p.Drift.Drifts {
		if d.Remedy != drift.RemedyReport || d.Override != nil {
			continue
		}
		switch {
		case d.Subject != "" && d.Field != drift.FieldExistence:
			p.plan.Notes = append(p.plan.Notes, fmt.Sprintf("%s: %s: %s", d.Subject, d.Field, d.Cause))
		case strings.HasPrefix(d.Field, "volumes."):
			p.plan.Notes = append(p.plan.Notes, fmt.Sprintf("%s: %s: %s", d.Container, d.Field, d.Cause))
		}
	}
}

// subjectKey is the key of the job on "network app_default": "network/app_default".
func subjectKey(subject string) string {
	for i, r := range subject {
		if r == ' ' {
			return subject[:i] + "/" + subject[i+1:]
		}
	}
	return subject
}
