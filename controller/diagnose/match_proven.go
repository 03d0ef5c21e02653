package diagnose

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"composure/controller/observe"
	"composure/spec"
)

// The causes that a fact of the engine or a measurement proves, in the order of the table.

// lostData: a count fell below its baseline, the database is another one than it was, or a volume is gone.
func lostData(p *patient) []string {
	service := p.svc.Name
	facts := LostRows(p.svc, p.in.Baseline[service], p.in.Measured[service], p.in.Broken[service])
	now := p.in.Systems[service]
	if d := p.server(); now == "" && d != nil && p.isPostgres() {
		now = d.SystemIdentifier
	}
	if before := p.in.Clusters[service]; before != "" && now != "" && now != before {
		facts = append(facts, fmt.Sprintf("the database cluster is another one: its system identifier is %s and was %s", quoted(now), quoted(before)))
	}
	if p.in.Volumes {
		facts = append(facts, LostVolumes(p.svc, p.in.Stack, p.in.Snapshot)...)
	}
	return facts
}

// noTable is how PostgreSQL says that a table, a column or a schema is not there.
var noTable = regexp.MustCompile(`\((42P01|42703|3F000)\)`)

// LostRows lists the queries of a service whose figure fell below the baseline, or whose table is gone. A command or an
// endpoint that fails says nothing about rows.
func LostRows(svc *spec.Service, before, now map[string]float64, broken map[string]string) []string {
	var facts []string
	for _, check := range svc.Policy.Integrity {
		name := check.Name
		was, known := before[name]
		value, measured := now[name]
		switch {
		case check.SQL == "" || !known:
		case measured && value < was:
			facts = append(facts, fmt.Sprintf("%s is %g, and the baseline is %g", quoted(name), value, was))
		case noTable.MatchString(broken[name]):
			facts = append(facts, fmt.Sprintf("%s was %g, and now the server says: %s", quoted(name), was, quoted(broken[name])))
		}
	}
	return facts
}

// LostVolumes lists the volumes of a service that keeps rows (a database, or one with integrity checks) which are not
// there any more. Only where they are known to have been there does that mean anything.
func LostVolumes(svc *spec.Service, stack *spec.Stack, seen *observe.Snapshot) []string {
	unread := slices.ContainsFunc(seen.Gaps, func(g observe.Gap) bool { return strings.HasPrefix(g.Subject, "volume") })
	if unread || svc.Replicas == 0 || (len(svc.Policy.Integrity) == 0 && !serves(svc.Image, databaseImage)) {
		return nil
	}
	var facts []string
	for _, v := range stack.Volumes {
		if _, there := seen.Volumes[v.Name]; !there && slices.Contains(svc.VolumeKeys, v.Key) {
			facts = append(facts, "its volume "+v.Name+" is gone")
		}
	}
	return facts
}

// damaged is how PostgreSQL itself says that data, an index or a file cannot be read.
var damaged = regexp.MustCompile(`\((XX001|XX002|58030)\)`)

// corrupted: the database says so in its log and an integrity check has failed, neither is enough alone; or the server has
// refused a check because of damage.
func corrupted(p *patient) []string {
	var facts []string
	for _, check := range slices.Sorted(maps.Keys(p.in.Broken[p.svc.Name])) {
		said := p.in.Broken[p.svc.Name][check]
		if len(p.signs["data_corruption_suspected"]) > 0 || damaged.MatchString(said) {
			facts = append(facts, fmt.Sprintf("the integrity check %s failed: %s", quoted(check), quoted(said)))
		}
	}
	return facts
}

// lostProcess: the engine says that the container has ended, and the host that it has not.
func lostProcess(p *patient) []string {
	if p.c == nil || len(p.c.Lost) == 0 {
		return nil
	}
	facts := []string{p.c.WhyLost()}
	if said := p.c.Inspect.State.Error; said != "" {
		facts = append(facts, "the engine says: "+reason(said))
	}
	return facts
}

var noImage = regexp.MustCompile(`(?i)no such image`)

func noSuchImage(p *patient) []string {
	if p.live() || p.unread != "" {
		return nil
	}
	if p.c != nil && noImage.MatchString(clip(p.c.Inspect.State.Error)) {
		return []string{"the engine says: " + reason(p.c.Inspect.State.Error)}
	}
	if id, known := p.in.Snapshot.Refs[p.svc.Image]; known && id == "" && p.c == nil {
		return []string{fmt.Sprintf("the engine has no image %s, and there is no container", p.svc.Image)}
	}
	return nil
}

// cannotRun is how runtimes of all versions say that the command itself is what they cannot run. A device, a mount or a limit that
// fails is reported in much the same words, and with the same exit codes.
var cannotRun = regexp.MustCompile(`(?i)exec format error|executable file not found|exec user process|(?:^|[^/])\bexec:? ["/]|chdir to cwd`)

// unusableImage: the engine could not run the command of it.
func unusableImage(p *patient) []string {
	if !p.ended() {
		return nil
	}
	state := p.c.Inspect.State
	text := clip(state.Error)
	command := cannotRun.MatchString(text)
	var facts []string
	if command {
		facts = append(facts, "the engine cannot run its command: "+reason(text))
	}
	if (command || text == "") && (state.ExitCode == 126 || state.ExitCode == 127) {
		facts = append(facts, "it "+exit(state))
	}
	img, known := p.in.Snapshot.Images[p.c.Inspect.Image]
	if known && state.ExitCode != 0 && img.Architecture != "" && p.in.Snapshot.Engine.Arch != "" && p.svc.Platform == "" &&
		architecture(img.Architecture) != architecture(p.in.Snapshot.Engine.Arch) {
		facts = append(facts, fmt.Sprintf("the image is built for %s and the host is %s", img.Architecture, p.in.Snapshot.Engine.Arch))
	}
	return facts
}

// architecture brings the kernel's and Go's names together.
func architecture(name string) string {
	switch name {
	case "x86_64":
		return "amd64"
	case "aarch64":
		return "arm64"
	case "i386", "i686", "386":
		return "386"
	}
	return name
}

var taken = regexp.MustCompile(`(?i)port is already allocated|address already in use|ports are not available`)

// portTaken: somebody else was seen with a port, or the engine says that it cannot be bound. Who has it comes first: it
// is what a person can act on.
func (p *patient) portTaken() []string {
	var facts []string
	refused := p.ended() && taken.MatchString(clip(p.c.Inspect.State.Error))
	if p.evidence != nil {
		for _, check := range p.evidence.Ports {
			if held(check) && !check.Mapped && (refused || !p.sibling(check.Holder.Container)) {
				facts = append(facts, fmt.Sprintf("port %s is held by %s", either(check.Port.Published, fmt.Sprint(check.Port.Target)), holder(check.Holder)))
			}
		}
	}
	if refused {
		facts = append(facts, "the engine says: "+reason(p.c.Inspect.State.Error))
	}
	return facts
}

// sibling says whether a container is one of the same service: during a recreation two of them share a port in turn.
func (p *patient) sibling(name string) bool {
	return slices.ContainsFunc(p.in.Snapshot.Of(p.svc.Name), func(c observe.Container) bool { return c.Name == name })
}

func networkMissing(p *patient) []string {
	missing, _ := p.detached()
	for i, name := range missing {
		missing[i] = "it is not attached to the network " + name
	}
	return missing
}

var noSpace = regexp.MustCompile(`(?i)no space left on device|disk quota exceeded`)

func noDiskSpace(p *patient) []string {
	if p.c == nil || len(p.support()) == 0 {
		return nil
	}
	facts := p.fullDisks()
	if p.ended() && noSpace.MatchString(clip(p.c.Inspect.State.Error)) {
		facts = append(facts, "the engine says: "+reason(p.c.Inspect.State.Error))
	}
	return facts
}

// atLimit is the share of the limit that counts as all of it.
const atLimit = 0.98

func outOfMemory(p *patient) []string {
	text := p.oom()
	if text == "" {
		return nil
	}
	facts := []string{text}
	if s, known := p.in.Samples[p.c.ID]; known && s.MemoryLimit > 0 && float64(s.MemoryUsage) >= atLimit*float64(s.MemoryLimit) {
		facts = append(facts, fmt.Sprintf("memory was at its limit before: %s of %s", size(s.MemoryUsage), size(s.MemoryLimit)))
	} else if p.c.Inspect.HostConfig != nil && p.c.Inspect.HostConfig.Memory > 0 {
		facts = append(facts, "its limit is "+size(p.c.Inspect.HostConfig.Memory))
	}
	return facts
}
