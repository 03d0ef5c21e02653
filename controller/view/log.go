package view

import (
	"slices"
	"strings"
	"time"
)

// Log is the end of what the containers of a service wrote, in the order of time ("composure.log/v1").
type Log struct {
	Schema  string    `json:"schema"`
	Stack   string    `json:"stack"`
	Service string    `json:"service"`
	Lines   []LogLine `json:"lines"`
	Gaps    []Gap     `json:"gaps,omitempty"` // what could not be read
}

// LogLine is one line, safe to show.
type LogLine struct {
	At        *time.Time `json:"at,omitempty"`
	Container string     `json:"container"`
	Text      string     `json:"text"`
}

// longestLine is how much of a line is shown, in bytes.
const longestLine = 2000

// Add takes in the log of a container, whose lines begin with their time. Its secrets are masked already.
func (l *Log) Add(container, text string) {
	for one := range strings.Lines(text) {
		one = strings.TrimRight(one, "\r\n")
		shown := LogLine{Container: line(container), Text: one}
		if stamp, rest, found := strings.Cut(one, " "); found {
			if at, err := time.Parse(time.RFC3339Nano, stamp); err == nil {
				shown.At, shown.Text = When(at), rest
			}
		}
		if len(shown.Text) > longestLine {
			shown.Text = strings.ToValidUTF8(shown.Text[:longestLine], "") + " …"
		}
		shown.Text = line(shown.Text)
		l.Lines = append(l.Lines, shown)
	}
	slices.SortStableFunc(l.Lines, func(a, b LogLine) int {
		if a.At == nil || b.At == nil {
			return 0
		}
		return a.At.Compare(*b.At)
	})
}
