package main

import (
	"fmt"
	"strings"
	"time"

	"composure/controller/view"

	"github.com/docker/go-units"
	"github.com/rivo/uniseg"
)

// text is the status for people.
func statusText(s view.Status, color bool, now time.Time) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s at %s\n", s.Stack, shownTime(s.At))
	if s.Holder == "" {
		b.WriteString("nobody watches it; `composure reconcile` does\n\n")
	} else {
		fmt.Fprintf(&b, "in the hands of %s\n\n", s.Holder)
	}
	b.WriteString(servicesTable(s, color, false))
	b.WriteString(responses(s, color))
	b.WriteString(ahead(s, now))
	return b.String()
}

// servicesTable is a line for each service, on a screen with its last hour.
func servicesTable(s view.Status, color, lastHour bool) string {
	t := table{color: color}
	head := []string{"SERVICE", "STATE", "HEALTH", "RUN", "RESTARTS", "DRIFT", "VERDICT", "MEMORY", "BUDGET", "INCIDENT"}
	if lastHour {
		head = append([]string{"SERVICE", "LAST HOUR"}, head[1:]...)
	}
	t.row(head...)
	for _, one := range s.Services {
		row := []string{one.Service, one.State, one.Health, fmt.Sprintf("%d/%d", one.Running, one.Replicas), number(one.Restarts), number(one.Drift),
			one.Verdict, memoryText(one), fmt.Sprintf("%d/%d", one.BudgetLeft, one.Budget), one.Cause}
		if lastHour {
			row = append([]string{one.Service, beatsLine(one.Beats)}, row[1:]...)
		}
		t.row(row...)
	}
	return t.String()
}

// beatsWidth is how many columns stand for the verdicts of the last hour.
const beatsWidth = 20

// beatsLine draws verdicts, oldest first, the worst of each column: low where all was well, high where it was not, and a
// dot where nothing is known.
func beatsLine(beats []string) string {
	glyphs := map[string]int{"recovered": 1, "pending": 2, "failed": 3}
	line := make([]rune, beatsWidth)
	for i := range line {
		worst := 0
		for _, verdict := range beats[i*len(beats)/beatsWidth : (i+1)*len(beats)/beatsWidth] {
			worst = max(worst, glyphs[verdict])
		}
		line[i] = []rune("·▁▄█")[worst]
	}
	return string(line)
}

// responses are the response times, when there are any.
func responses(s view.Status, color bool) string {
	t := table{color: color}
	t.row("\nPROBE", "P50", "P95", "FAILED", "LAST HOUR")
	for _, one := range s.Services {
		for _, p := range one.Probes {
			t.row(one.Service+" "+p.Probe, milliseconds(p.P50), milliseconds(p.P95), fmt.Sprintf("%d/%d", p.Failures, p.Asked), p.Spark)
		}
	}
	if len(t.rows) == 1 {
		return ""
	}
	return t.String()
}

// ahead is what is not as it should be, what happens next, and what was decided.
func ahead(s view.Status, now time.Time) string {
	var b strings.Builder
	list := func(title string, lines []string) {
		if len(lines) > 0 {
			fmt.Fprintf(&b, "\n%s:\n  %s\n", title, strings.Join(lines, "\n  "))
		}
	}
	var ill, next, waits, decided []string
	said := map[string]bool{}
	for _, one := range s.Services {
		if one.Verdict != "recovered" {
			ill = append(ill, one.Service+": "+one.Reason)
		}
		if one.Incident != "" {
			ill = append(ill, fmt.Sprintf("%s: incident %s, %s", one.Service, one.Incident, one.Cause))
		}
		next = append(next, one.Next...)
		for _, h := range one.Held {
			line := h.Subject + ": " + h.Reason
			if h.Until != nil {
				line += "; looked at again in " + max(h.Until.Sub(now), 0).Round(time.Second).String()
			}
			if !said[line] {
				waits = append(waits, line)
			}
			said[line] = true
		}
	}
	for _, d := range s.Decisions {
		decided = append(decided, printable(fmt.Sprintf("%s: %s by %s%s, until %s", subject(d.Service), d.What(), d.Owner, because(d.Reason), untilDecided(d))))
	}
	list("Not well", ill)
	list("Next", next)
	list("Held", waits)
	list("Decided", decided)
	list("Notes", s.Notes)
	list("Could not be observed", s.Gaps)
	return b.String()
}

func memoryText(one view.Service) string {
	if one.Memory == 0 {
		return ""
	}
	text := units.BytesSize(float64(one.Memory))
	if one.MemoryLimit > 0 {
		text += fmt.Sprintf("/%s %d%%", units.BytesSize(float64(one.MemoryLimit)), one.Memory*100/one.MemoryLimit)
	}
	return text
}

// number is a count, and nothing for none: what matters stands out.
func number(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(n)
}

func milliseconds(ms float64) string {
	if ms == 0 {
		return ""
	}
	return fmt.Sprintf("%.3g ms", ms)
}

// table lays out columns by their width on the screen, which bytes and colours are not.
type table struct {
	color bool
	rows  [][]string
}

func (t *table) row(cells ...string) { t.rows = append(t.rows, cells) }

func (t *table) String() string {
	var widths []int
	for _, row := range t.rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], uniseg.StringWidth(strings.TrimPrefix(cell, "\n")))
		}
	}
	var b strings.Builder
	for _, row := range t.rows {
		var line strings.Builder
		for i, cell := range row {
			gap := strings.Repeat(" ", widths[i]-uniseg.StringWidth(strings.TrimPrefix(cell, "\n"))+2)
			line.WriteString(paint(t.color, cell) + gap)
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	return b.String()
}
