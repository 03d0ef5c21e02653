package web

import (
	"fmt"
	"strings"

	"composure/controller/view"
)

// tiding is something that is said aloud once its state changes, for who does not see it change; Over is said once it is
// gone.
type tiding struct{ Key, State, Text, Over string }

// tidings are what was asked for here, and whatever is not well. They are in every page, so that a fault is heard on each.
func tidings(p shown) []tiding {
	var all []tiding
	for _, o := range p.Operations {
		all = append(all, tiding{Key: "operation " + o.ID, State: o.How(), Text: o.Title + ", " + o.How()})
	}
	if p.Status.Down != nil {
		all = append(all, tiding{"engine", "down", "The engine does not answer", "The engine answers again"})
	}
	for _, s := range p.Status.Services {
		if text := ailing(s); text != "" {
			all = append(all, tiding{"service " + s.Service, s.Verdict + " " + s.Incident, text, s.Service + " is well again"})
		}
	}
	return all
}

// subjects are the keys of all that can be well again, with commas between: what is missing because it no longer exists is not.
func subjects(s view.Status) string {
	all := []string{"engine"}
	for _, one := range s.Services {
		all = append(all, "service "+one.Service)
	}
	return strings.Join(all, ",")
}

// ailing says which service is not well, and why; empty: it is.
func ailing(s view.Service) string {
	var text string
	switch s.Verdict {
	case "failed":
		text = s.Service + " is not well"
	case "pending":
		text = "Waiting for " + s.Service
	default:
		return ""
	}
	var why []string
	for _, one := range []string{strings.ReplaceAll(s.Cause, "_", " "), s.Reason} { // underscores are spelled out by some voices
		if one != "" {
			why = append(why, one)
		}
	}
	if len(why) > 0 {
		text += ": " + strings.Join(why, ", ")
	}
	return text
}

// tally is how the whole is, beside what was said of single services; empty where that says it all.
func tally(s view.Status) string {
	ill, unsure := verdicts(s)
	switch {
	case s.Down != nil, len(ill) == 0 && len(unsure) > 0:
		return ""
	case len(ill) > 0:
		return fmt.Sprintf("%d of %s not well", len(ill), count(len(s.Services), "service"))
	}
	return headline(s)
}
