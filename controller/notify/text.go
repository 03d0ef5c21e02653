package notify

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"composure/controller/incident"
)

// The words of a message are the incident's: single lines, masked and neutralised when it was recorded.

// event is what the announcement is: escalated, reminded, acknowledged or resolved.
func (m Message) event() string {
	word, _, _ := strings.Cut(m.Kind, "-")
	return word
}

// subject is what the incident is about.
func (m Message) subject() string {
	return cmp.Or(m.Body.Stack, "stack") + "/" + cmp.Or(m.Body.Service, "*")
}

// title is one line of at most limit bytes.
func (m Message) title(limit int) string {
	word := map[string]string{
		"reminded": "STILL OPEN", "acknowledged": "ACKNOWLEDGED", "resolved": "RESOLVED",
	}[m.event()]
	if word == "" {
		word = strings.ToUpper(string(m.Tier))
	}
	return shorten(fmt.Sprintf("[%s] %s: %s", word, m.subject(), m.Body.Cause), limit)
}

// lines are the facts that a person wants first, a line each.
func (m Message) lines() []string {
	i := m.Body
	lines := []string{
		m.Reason,
		i.Summary,
		fmt.Sprintf("Severity %s, %s, began %s", i.Severity, i.State, clock(i.Began)),
	}
	if i.Recurrence != "" {
		lines = append(lines, "Happened before: "+i.Recurrence)
	}
	if i.Impact.Data != "" && i.Impact.Data != incident.DataUnchecked {
		lines = append(lines, "Data integrity: "+i.Impact.Data)
	}
	if len(i.Impact.Services) > 0 {
		lines = append(lines, "Also affected: "+strings.Join(i.Impact.Services, ", "))
	}
	return lines
}

// section is a heading with lines under it, bounded.
func section(b *strings.Builder, heading string, lines []string, limit int) {
	if len(lines) == 0 {
		return
	}
	fmt.Fprintf(b, "\n%s\n", heading)
	if more := len(lines) - limit; more > 0 {
		fmt.Fprintf(b, "  … %d earlier\n", more)
		lines = lines[more:]
	}
	for _, line := range lines {
		fmt.Fprintf(b, "  %s\n", line)
	}
}

// text is the whole message for people.
func (m Message) text() string {
	var b strings.Builder
	b.WriteString(strings.Join(m.lines(), "\n") + "\n")
	section(&b, "What proves it", m.Body.Proof, 10)
	section(&b, "Decision tree", m.Body.Steps, 30)
	var tried []string
	for _, t := range m.Body.Timeline {
		tried = append(tried, fmt.Sprintf("%s %s: %s", clock(t.At), t.Kind, t.Text))
	}
	section(&b, "Timeline", tried, 20)
	if i := m.Body; i.State != incident.Resolved {
		section(&b, "Next", []string{
			"composure incidents show " + i.ID, "composure incidents ack " + i.ID, "composure incidents report " + i.ID,
		}, 3)
	}
	return b.String()
}

func clock(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }
