package incident

import (
	"time"
	"unicode/utf8"

	"composure/controller/drift"
	"composure/spec"
)

// longest is how much of one text is looked at, and longestShown how much of it is kept. Both in bytes.
const (
	longest      = 8 << 10
	longestShown = 1 << 10
)

// Clean makes a text of a container, a receiver or a person fit to be kept and shown: one line of at most 1 KiB, without
// secrets, control characters and what cannot be seen.
func Clean(text string) string { return clean(text) }

func clean(text string) string {
	text = drift.Line(spec.Mask("", cut(text, longest)))
	if len(text) > longestShown {
		text = cut(text, longestShown) + "…"
	}
	return text
}

func cleanAll(texts []string) []string {
	var cleaned []string
	for _, text := range texts {
		cleaned = append(cleaned, clean(text))
	}
	return cleaned
}

func cut(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return text[:limit]
}

// clock shows a time in UTC.
func clock(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// short rounds a duration to what people read.
func short(d time.Duration) string {
	if d < time.Second {
		return d.Round(time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}
