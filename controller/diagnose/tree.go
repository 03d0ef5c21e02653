package diagnose

import (
	"strings"

	"composure/controller/observe"
)

// question is one question of the tree. A "no" leads into a procedure of the runbook, whose own questions follow.
type question struct {
	text string
	ask  func(*patient) Step
	jump string
	then []question
}

// tree is the runbook's decision tree, in its order. It stops at the first "no": what comes after it would only show
// the same trouble again, so the procedure that the runbook jumps to is worked through instead.
var tree = []question{
	{text: "container running?", ask: askRunning, jump: "Container Not Running", then: []question{
		{text: "is there an image to run?", ask: askImage},
		{text: "port free?", ask: askPortFree},
		{text: "did it end well?", ask: askEnded},
		{text: "is the log quiet?", ask: askLog},
		{text: "database connected?", ask: askDatabase},
	}},
	{text: "container healthy?", ask: askHealthy, jump: "Container Unhealthy", then: []question{
		{text: "process there?", ask: askProcess},
		{text: "port accessible?", ask: askPort},
		{text: "application responding?", ask: askApplication},
		{text: "memory and CPU left?", ask: askResources},
		{text: "is the log quiet?", ask: askLog},
		{text: "database connected?", ask: askDatabase},
	}},
	{text: "port accessible?", ask: askPort, jump: "Port/Network Issues", then: []question{
		{text: "port free?", ask: askPortFree},
		{text: "attached to its networks?", ask: askAttached},
		{text: "process there?", ask: askProcess},
		{text: "is the log quiet?", ask: askLog},
	}},
	{text: "application responding?", ask: askApplication, jump: "Application Hang", then: []question{
		{text: "process there?", ask: askProcess},
		{text: "memory and CPU left?", ask: askResources},
		{text: "is the log quiet?", ask: askLog},
		{text: "database connected?", ask: askDatabase},
	}},
	{text: "database connected?", ask: askDatabase, jump: "Database Connection Issues", then: []question{
		{text: "accepting connections?", ask: askAccepting},
		{text: "connections left?", ask: askConnections},
		{text: "sessions at work?", ask: askSessions},
	}},
}

// walk answers the questions to the first "no", and then those of the procedure it leads to.
func (p *patient) walk() []Step {
	var steps []Step
	for _, q := range tree {
		s := q.put(p, 0)
		steps = append(steps, s)
		if s.Answer != No {
			continue
		}
		steps[len(steps)-1].Jump = q.jump
		for _, next := range q.then {
			steps = append(steps, next.put(p, 1))
		}
		break
	}
	return steps
}

func (q question) put(p *patient, depth int) Step {
	s := q.ask(p)
	s.Question, s.Depth = q.text, depth
	return s
}

// unknown is the answer to a question whose facts are not there.
func unknown(checked, seen string) Step { return Step{Answer: Unclear, Checked: checked, Seen: seen} }

// unasked is the answer to a question that has no meaning for the service.
func unasked(why string) Step { return Step{Answer: NotAsked, Seen: why} }

func answered(yes bool) Answer {
	if yes {
		return Yes
	}
	return No
}

// without is why a kind of evidence is not there.
func (p *patient) without(need observe.Need) string {
	if p.c == nil {
		return "there is no container to look at"
	}
	if p.evidence != nil {
		for _, g := range p.evidence.Gaps {
			if strings.HasPrefix(g.Subject, string(need)+" ") {
				return "it could not be read: " + quoted(g.Err)
			}
		}
	}
	return "not collected"
}

// idle answers what can only be asked of a container that runs.
func (p *patient) idle() Step {
	if p.c == nil && p.unread != "" {
		return unknown("", "its container could not be read")
	}
	return unasked("it does not run")
}
