package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"composure/controller"
	"composure/controller/engine"
	"composure/controller/observe"
	"composure/controller/plan"
	"composure/spec"
)

// conclusion is the answer of `reconcile --once`, and its -o json ("composure.reconcile/v1").
type conclusion struct {
	Schema    string   `json:"schema"`
	Stack     string   `json:"stack"`
	Converged bool     `json:"converged"`
	Reason    string   `json:"reason,omitempty"` // why the run ended early
	Held      []held   `json:"held"`
	Notes     []string `json:"notes"`
}

// held is why one subject is not converged, with the end of its log when it has a container.
type held struct {
	Subject string   `json:"subject"`
	Service string   `json:"service,omitempty"`
	Reason  string   `json:"reason"`
	Log     []string `json:"log,omitempty"`
}

// conclude says how it ended and returns the exit status. early is why the run ended before its time, or nil.
func (a *app) conclude(ctx context.Context, p controller.Pass, eng *engine.Engine, format string, early error) error {
	c := conclusion{Schema: "composure.reconcile/v1", Stack: p.Stack.Name, Converged: p.Plan.Settled(), Held: []held{}, Notes: append([]string{}, p.Plan.Notes...)}
	if !c.Converged && early != nil {
		c.Reason = "ended early: " + early.Error() + "; run it again to go on, what is being replaced is kept until the new container is proven"
	}
	for _, h := range p.Plan.Held {
		c.Held = append(c.Held, held{Subject: h.Title(), Service: h.Service, Reason: relativePaths(printable(h.Reason)), Log: lastLines(ctx, eng, p, h.Key, h.Reason)})
	}
	for _, j := range p.Plan.Jobs {
		c.Held = append(c.Held, held{Subject: j.Title(), Service: j.Service, Reason: printable("left to do: " + j.Cause)})
	}
	if err := a.printConclusion(c, len(p.Stack.Services), format); err != nil {
		return err
	}
	if !c.Converged {
		return status(exitFinding)
	}
	return nil
}

func (a *app) printConclusion(c conclusion, services int, format string) error {
	if format == "json" {
		encoder := json.NewEncoder(a.stdout)
		encoder.SetIndent("", "  ")
		return encoder.Encode(c)
	}
	var b strings.Builder
	for _, n := range c.Notes {
		fmt.Fprintf(&b, "note: %s\n", n)
	}
	if c.Converged {
		fmt.Fprintf(&b, "%s: converged, %s\n", c.Stack, count(services, "service"))
	} else {
		fmt.Fprintf(&b, "%s: NOT converged\n", c.Stack)
		if c.Reason != "" {
			fmt.Fprintf(&b, "  %s\n", c.Reason)
		}
	}
	for _, h := range c.Held {
		fmt.Fprintf(&b, "  %s: %s\n", h.Subject, h.Reason)
		for _, line := range h.Log {
			fmt.Fprintf(&b, "    | %s\n", line)
		}
	}
	_, err := fmt.Fprint(a.stdout, b.String())
	return err
}

// Bounds of the end of a log that is shown.
const (
	shownLines  = 5
	shownBytes  = 8 << 10
	shownWithin = 10 * time.Second // a busy engine answers late, and the log is what people look for
)

// lastLines is the end of the log of the container that a held subject is about, with its secrets masked.
func lastLines(ctx context.Context, eng *engine.Engine, p controller.Pass, key, reason string) []string {
	for _, svc := range p.Stack.Services {
		for _, slot := range observe.Slots(svc, p.Snapshot) {
			if slot.Container == nil || key != fmt.Sprintf("service/%s/%d", svc.Name, slot.Number) {
				continue
			}
			if judged := p.Judged[slot.Container.ID]; judged.Verdict != plan.Failed || !strings.Contains(reason, judged.Reason) {
				return nil // the reason is about something else than this container
			}
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shownWithin)
			defer cancel()
			text, err := eng.Logs(ctx, slot.Container.ID, shownLines, shownBytes)
			if err != nil {
				text += "\n(" + err.Error() + ")"
			}
			return clean(spec.Hide(observe.Shown(p.Stack, *slot.Container, text), p.Stack.Secrets()))
		}
	}
	return nil
}

// clean splits a log into lines that are safe to show: without escapes.
func clean(text string) []string {
	var lines []string
	for line := range strings.Lines(text) {
		if line = printable(strings.TrimSpace(line)); line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}
