package main

// bug is one mistake that could be made in Composure. The program's own source knows nothing of it: it is put into a copy
// that is compiled for the simulation alone.
type bug struct {
	name, what string
	changes    []change
}

// change replaces a text that stands once in a file. The new one asks planted, which says whether this process is to
// have the bug. more is declared beside it.
type change struct{ file, old, new, more string }

// bugs break, each, a rule that Composure must keep.
var bugs = []bug{
	{"skip-reinspect", "acts without a second look at the target", []change{{
		file: "controller/act/act.go",
		old:  `} else if err = matches(target, s.Expect); err == nil {`,
		new:  `} else if err = matches(target, s.Expect); err == nil || planted("skip-reinspect") {`,
	}}},
	{"stale-snapshot", "acts on what was seen five seconds ago, without a second look", []change{{
		file: "controller/pass.go",
		old:  "	snapshot, err := c.observe(ctx)\n",
		new: `	snapshot, err := c.observe(ctx)
	if last := plantedLast[c]; err == nil && planted("stale-snapshot") {
		if last != nil && snapshot.At.Sub(last.At) < 5*time.Second {
			old := *last
			snapshot = &old
		} else {
			kept := *snapshot
			plantedLast[c] = &kept
		}
	}
`,
		more: `var plantedLast = map[*Controller]*observe.Snapshot{}`,
	}, {
		file: "controller/act/act.go",
		old:  "	switch {\n	case want.Name != \"\" && c.Name",
		new:  "	switch {\n	case planted(\"stale-snapshot\"):\n		return nil\n	case want.Name != \"\" && c.Name",
	}}},
	{"remove-volumes", "removes containers together with their volumes", []change{{
		file: "controller/engine/container.go",
		old:  `RemoveVolumes: false}`,
		new:  `RemoveVolumes: planted("remove-volumes")}`,
	}}},
	{"outside-the-stack", "stops whatever holds a port, without being told to", []change{{
		file: "controller/plan/place.go",
		old:  `holder := p.Ill[svc.Name].Holder; slices.Contains(p.Stack.Policy.Ports, holder) {`,
		new:  `holder := p.Ill[svc.Name].Holder; slices.Contains(p.Stack.Policy.Ports, holder) || planted("outside-the-stack") {`,
	}}},
	{"forget-budget", "forgets at its start what was tried before", []change{{
		file: "cmd/composure/healmemory.go",
		old:  "	var attempts []plan.Attempt\n	for _, a := range rows {",
		new:  "	var attempts []plan.Attempt\n	if planted(\"forget-budget\") {\n		rows = nil\n	}\n	for _, a := range rows {",
	}}},
	{"act-before-record", "does not record an intent before the act", []change{{
		file: "cmd/composure/healmemory.go",
		old:  "	if err == nil {\n		err = m.Buffered.Begin(ctx, m.lease, attempt)\n	}",
		new:  "	if err == nil && !planted(\"act-before-record\") {\n		err = m.Buffered.Begin(ctx, m.lease, attempt)\n	}",
	}}},
	{"forgive-early", "gives a service its whole budget back as soon as it runs", []change{{
		file: "controller/run.go",
		old:  `; p.Snapshot.At.Before(ripe) {`,
		new:  `; p.Snapshot.At.Before(ripe) && !planted("forgive-early") {`,
	}}},
	{"timeout-is-nothing", "takes an engine that did not answer for one that did nothing", []change{{
		file: "controller/pass.go",
		old:  "errors.Is(err, context.Canceled):\n		return plan.Unknown",
		new:  "errors.Is(err, context.Canceled):\n		if planted(\"timeout-is-nothing\") {\n			return plan.Stale\n		}\n		return plan.Unknown",
	}}},
	{"no-backoff", "tries again at once", []change{{
		file: "controller/plan/ladder.go",
		old:  `pl.key, len(tried))); p.Now.Before(until) {`,
		new:  `pl.key, len(tried))); p.Now.Before(until) && !planted("no-backoff") {`,
	}}},
	{"whole-service", "restarts the replicas that are well as well", []change{{
		file: "controller/plan/compute.go",
		old:  `ill = ill && p.Sick[c.ID] //`,
		new:  `ill = ill && (p.Sick[c.ID] || planted("whole-service")) //`,
	}}},
	{"ignore-pause", "does not hear that a stack or service was paused by command", []change{{
		file: "controller/plan/ladder.go",
		old:  "{ return cmp.Or(p.Paused[\"\"], p.Paused[service]) }",
		new:  "{\n	if planted(\"ignore-pause\") {\n		return \"\"\n	}\n	return cmp.Or(p.Paused[\"\"], p.Paused[service])\n}",
	}}},
	{"touch-paused", "restarts a container that a person has paused", []change{{
		file: "controller/plan/ladder.go",
		old:  `c != nil && c.Status() == "paused" {`,
		new:  `c != nil && c.Status() == "paused" && !planted("touch-paused") {`,
	}}},
	{"fight-override", "forgets half a minute later that it has raised a memory limit", []change{{
		file: "cmd/composure/overrides.go",
		old:  "		if !ok {\n			continue\n		}\n		switch o.Kind {\n		case overrideMemory:\n",
		new:  "		if !ok || planted(\"fight-override\") && o.Kind == overrideMemory && time.Since(o.Created) > 30*time.Second {\n			continue\n		}\n		switch o.Kind {\n		case overrideMemory:\n",
		more: "var _ = time.Second",
	}}},
	{"run-again", "runs a one-shot again that has completed", []change{{
		file: "controller/verify/verify.go",
		old:  "		return ended(c, rule)\n",
		new:  "		if planted(\"run-again\") && rule.OneShot && now.Sub(c.FinishedAt()) > 4*time.Minute {\n			rule.MeantToRun = true\n		}\n		return ended(c, rule)\n",
	}}},
	{"both-run", "starts the new container of a recreation while the old one runs", []change{{
		file: "controller/plan/recreate.go",
		old:  "	if !looping {\n		steps = append(steps, halt(old, aside)...)\n	}\n	steps = append(steps, Step{Op: Start",
		new:  "	if !looping && !planted(\"both-run\") {\n		steps = append(steps, halt(old, aside)...)\n	}\n	steps = append(steps, Step{Op: Start",
	}}},
	{"leave-old", "does not remove the old container of a recreation", []change{{
		file: "controller/act/act.go",
		old:  "	case plan.Remove:\n		return a.Engine.Remove(",
		new:  "	case plan.Remove:\n		if planted(\"leave-old\") {\n			return nil\n		}\n		return a.Engine.Remove(",
	}}},
	{"skip-lease", "acts although another process has the stack", []change{{
		file: "cmd/composure/healmemory.go",
		old:  "	return m.lease == nil || at.Before(m.taken)",
		new:  "	return !planted(\"skip-lease\") && (m.lease == nil || at.Before(m.taken))",
	}, {
		file: "cmd/composure/healmemory.go",
		old:  "	if m.lease == nil {\n		return \"\", fmt.Errorf(\"the stack is not leased",
		new:  "	if m.lease == nil && planted(\"skip-lease\") {\n		m.inFlight++\n		return store.NewID(), nil\n	}\n	if m.lease == nil {\n		return \"\", fmt.Errorf(\"the stack is not leased",
	}}},
	{"wait-for-jobs", "looks at nothing else while something is done", []change{{
		file: "controller/pass.go",
		old:  "	busy, _ := c.inFlight()\n	p.InFlight = len(busy)\n	if c.OnPass",
		new:  "	if planted(\"wait-for-jobs\") {\n		c.jobs.Wait()\n	}\n	busy, _ := c.inFlight()\n	p.InFlight = len(busy)\n	if c.OnPass",
	}}},
	{"escalate-twice", "calls people again and again, as if for the first time", []change{{
		file: "controller/incident/escalate.go",
		old:  "	if _, told := i.Escalated[tier]; told {\n		return",
		new:  "	if at, told := i.Escalated[tier]; told && (!planted(\"escalate-twice\") || a.Now.Sub(at) < time.Second) {\n		return",
	}, {
		file: "controller/incident/escalate.go",
		old:  "	key := strings.Join([]string{i.ID, string(tier), kind}, \"/\")\n",
		new:  "	key := strings.Join([]string{i.ID, string(tier), kind}, \"/\")\n	if planted(\"escalate-twice\") {\n		key += at.String()\n	}\n",
	}, {
		file: "cmd/composure/announce.go",
		old:  "Incident: a.Incident, Tier: string(a.Tier)",
		new:  "Incident: plantedIncident(a), Tier: string(a.Tier)",
		more: `// plantedIncident gets an announcement past the store, which takes one of a kind only.
func plantedIncident(a incident.Announcement) string {
	if planted("escalate-twice") {
		return a.Key
	}
	return a.Incident
}`,
	}}},
	{"never-escalate", "calls nobody", []change{{
		file: "controller/incident/escalate.go",
		old:  "	a.announced = append(a.announced, i.announcement(tier, \"escalated\", why, a.Now))",
		new:  "	if !planted(\"never-escalate\") {\n		a.announced = append(a.announced, i.announcement(tier, \"escalated\", why, a.Now))\n	}",
	}, {
		file: "controller/incident/escalate.go",
		old:  "		all = append(all, i.announcement(tier, \"escalated\", i.Reasons[tier], called))\n",
		new:  "		if !planted(\"never-escalate\") {\n			all = append(all, i.announcement(tier, \"escalated\", i.Reasons[tier], called))\n		}\n",
	}}},
}
