package web

import (
	"fmt"
	"html/template"
	"strings"
	"time"

	"github.com/docker/go-units"

	"composure/controller/drift"
	"composure/controller/view"
)

// functions are what the templates call.
var functions = template.FuncMap{
	"bytes":     func(n int64) string { return units.BytesSize(float64(n)) },
	"percent":   percent,
	"ms":        milliseconds,
	"clock":     func(t time.Time) string { return t.UTC().Format("15:04:05") },
	"date":      func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") },
	"iso":       func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
	"heartbeat": heartbeat,
	"spark":     spark,
	"meter":     meter,
	"pips":      pips,
	"verdict":   verdictWord,
	"headline":  headline,
	"tally":     tally,
	"tidings":   tidings,
	"subjects":  subjects,
	"count":     count,
	"plot":      plot,
	"caption":   caption,
	"lasting":   lasting,
	"decided":   decided,
	"line":      drift.Line,
	"text":      harmlessText,
	"image":     func(id string) string { return fmt.Sprintf("%.12s", strings.TrimPrefix(id, "sha256:")) },
}

func percent(part, whole int64) int64 {
	if whole == 0 {
		return 0
	}
	return 100 * part / whole
}

// milliseconds is a time that was taken, as short as it is read.
func milliseconds(ms float64) string {
	switch {
	case ms >= 1000:
		return fmt.Sprintf("%.1f s", ms/1000)
	case ms >= 10:
		return fmt.Sprintf("%.0f ms", ms)
	}
	return fmt.Sprintf("%.1f ms", ms)
}

// verdictWord is a verdict as people say it.
func verdictWord(v string) string {
	switch v {
	case "recovered":
		return "well"
	case "pending":
		return "not sure yet"
	case "failed":
		return "not well"
	}
	return "not known"
}

// headline says in one sentence how the stack is.
func headline(s view.Status) string {
	ill, unsure := verdicts(s)
	switch {
	case s.Down != nil:
		return "The engine does not answer"
	case len(s.Services) == 0:
		return "The stack has no services"
	case len(ill) > 0:
		return fmt.Sprintf("%d of %s not well: %s", len(ill), count(len(s.Services), "service"), some(ill))
	case len(unsure) > 0:
		return "Waiting for " + some(unsure)
	}
	return fmt.Sprintf("All is well with %s", count(len(s.Services), "service"))
}

// verdicts are the services that are not well, and those of which that is not known yet.
func verdicts(s view.Status) (ill, unsure []string) {
	for _, one := range s.Services {
		switch one.Verdict {
		case "failed":
			ill = append(ill, one.Service)
		case "pending":
			unsure = append(unsure, one.Service)
		}
	}
	return ill, unsure
}

// some are the first few of a list.
func some(names []string) string {
	const shown = 4
	if len(names) > shown {
		return strings.Join(names[:shown], ", ") + fmt.Sprintf(" and %d more", len(names)-shown)
	}
	return strings.Join(names, ", ")
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// harmlessText makes a text of several lines safe to show: every line for itself.
func harmlessText(text string) string {
	var lines []string
	for _, l := range strings.Split(text, "\n") {
		lines = append(lines, drift.Line(strings.ReplaceAll(l, "\t", "    ")))
	}
	return strings.Join(lines, "\n")
}
