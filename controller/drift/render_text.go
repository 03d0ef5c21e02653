package drift

import (
	"fmt"
	"slices"
	"strings"

	"github.com/rivo/uniseg"
)

const (
	widestField = 44  // columns; a longer key is cut
	widestPair  = 100 // columns of both sides together where there is no terminal
	arrow       = " → "
)

// ANSI attributes, by what they mean in a report.
const (
	styleName   = "1"    // bold
	styleRisk   = "1;31" // bold red
	styleHeavy  = "31"
	styleMedium = "33"
	styleLight  = "36"
	styleQuiet  = "2"
	styleGood   = "32"
)

// page collects lines for people.
type page struct {
	strings.Builder
	color bool
}

// line ends a line. A runner of GitHub obeys a line that begins with "::", whatever stands before it in blanks; a
// text from a container must not begin one.
func (p *page) line(text string) {
	text = strings.TrimRight(text, " ")
	if trimmed := strings.TrimLeft(text, " "); strings.HasPrefix(trimmed, "::") {
		text = text[:len(text)-len(trimmed)] + `\` + trimmed
	}
	p.WriteString(text + "\n")
}

func (p *page) paint(style, text string) string {
	if !p.color || text == "" {
		return text
	}
	return "\x1b[" + style + "m" + text + "\x1b[0m"
}

// renderText is the report for people: what differs, grouped by service, then what a deployment would do, then what
// is not known.
func renderText(v view) (string, error) {
	p := &page{color: v.options.Color}
	p.line(p.paintHeadline(v))
	t := layout(v)
	if len(v.groups) > 0 {
		p.line("")
		p.line(p.paint(styleQuiet, strings.TrimRight(t.header(), " ")))
	}
	for _, g := range v.groups {
		p.group(g, t)
	}
	p.impact(v)
	p.gaps(v)
	return p.String(), nil
}

func (p *page) paintHeadline(v view) string {
	headline := oneLine(v.headline())
	switch {
	case v.drifts > 0 || len(v.Gaps) > 0:
		return p.paint(styleName, headline)
	}
	return p.paint(styleGood, headline)
}

// table is the columns that all groups share.
type table struct {
	field, pair, origin, remedy int  // columns
	oneLine                     bool // the cause stands on the drift's own line
	width                       int  // of the page; 0: none
}

// layout measures the report. The cause goes on the drift's own line where all of them fit there.
func layout(v view) table {
	t := table{field: len("FIELD"), pair: len("DESIRED") + len("OBSERVED") + 3, origin: len("ORIGIN"), remedy: len("REMEDY"), width: v.options.Width}
	for _, d := range v.Drifts {
		t.field = min(max(t.field, uniseg.StringWidth(oneLine(d.Field))), widestField)
		t.origin = max(t.origin, uniseg.StringWidth(oneLine(string(d.Origin))))
		t.remedy = max(t.remedy, uniseg.StringWidth(oneLine(remedyText(d))))
	}
	limit := widestPair
	if t.width > 0 {
		limit = max(t.width-t.field-t.origin-t.remedy-8, 24+3) // 8: indent and three gaps
	}
	longest := 0
	for _, d := range v.Drifts {
		t.pair = min(max(t.pair, uniseg.StringWidth(sides(d, limit))), limit)
		longest = max(longest, uniseg.StringWidth(why(d)))
	}
	t.oneLine = t.width == 0 || t.field+t.pair+t.origin+t.remedy+10+longest <= t.width
	return t
}

func sides(d Drift, limit int) string {
	if d.Desired == "" && d.Observed == "" {
		return "-"
	}
	desired, observed := pair(d.Desired, d.Observed, limit-uniseg.StringWidth(arrow))
	return desired + arrow + observed
}

func (t table) header() string {
	text := "  " + pad("FIELD", t.field) + "  " + pad("DESIRED"+arrow+"OBSERVED", t.pair) + "  " + pad("ORIGIN", t.origin) + "  " + pad("REMEDY", t.remedy)
	if t.oneLine {
		text += "  WHY"
	}
	return text
}

func (p *page) group(g group, t table) {
	containers := containersOf(g.drifts)
	title := p.paint(styleName, oneLine(g.title()))
	switch {
	case g.kind == aboutStray:
		title += " (of no service of the file)"
	case len(containers) == 1 && containers[0] != "":
		title += " (" + oneLine(containers[0]) + ")"
	}
	p.line(title)
	shown := ""
	for _, d := range g.drifts {
		if len(containers) > 1 && d.Container != shown {
			p.line("  " + p.paint(styleQuiet, "in "+oneLine(d.Container)))
			shown = d.Container
		}
		p.drift(d, t)
	}
}

func containersOf(drifts []Drift) []string {
	var names []string
	for _, d := range drifts {
		if !slices.Contains(names, d.Container) {
			names = append(names, d.Container)
		}
	}
	return names
}

func (p *page) drift(d Drift, t table) {
	text := "  " + pad(clip(oneLine(d.Field), t.field), t.field) + "  " + pad(sides(d, t.pair), t.pair) +
		"  " + pad(oneLine(string(d.Origin)), t.origin) + "  " + p.paint(remedyStyle(remedyText(d)), pad(oneLine(remedyText(d)), t.remedy))
	reason := why(d)
	if t.oneLine {
		p.line(text + "  " + reason)
		return
	}
	p.line(text)
	if reason == "" {
		return
	}
	for _, line := range wrap(reason, max(t.width-6, 24)) {
		p.line("      " + p.paint(styleQuiet, line))
	}
}

func remedyStyle(remedy string) string {
	switch remedy {
	case string(RemedyRecreate):
		return styleHeavy
	case string(RemedyRestart):
		return styleMedium
	case string(RemedyInPlace), "create":
		return styleLight
	}
	return styleQuiet
}

// impact closes the report with what a deployment would do, service by service; those it would leave share a line.
func (p *page) impact(v view) {
	var unchanged []string
	width := 0
	for _, i := range v.Impact {
		if touched(i) {
			width = max(width, uniseg.StringWidth(oneLine(i.Service)))
		} else {
			unchanged = append(unchanged, oneLine(i.Service))
		}
	}
	if len(unchanged) == len(v.Impact) && len(v.groups) == 0 {
		return // clean: the headline said it all
	}
	p.line("")
	if len(unchanged) == len(v.Impact) {
		p.line("A deployment would change no service.")
		return
	}
	p.line("A deployment would do this:")
	for _, i := range v.Impact {
		if touched(i) {
			p.line("  " + pad(oneLine(i.Service), width) + "  " + p.paint(remedyStyle(i.Remedy), oneLine(i.Remedy)))
			p.consequences(i, v.options.Width)
		}
	}
	if len(unchanged) > 0 {
		p.hanging("  unchanged: ", strings.Join(unchanged, ", "), v.options.Width)
	}
	p.line("To see its steps: composure reconcile --once --dry-run")
}

func touched(i Impact) bool {
	return (i.Remedy != "none" && i.Remedy != "" && i.Remedy != string(RemedyReport)) || len(i.DataAtRisk) > 0
}

// consequences are what stands below an impact: why it is not done now, and what it puts at risk.
func (p *page) consequences(i Impact, width int) {
	if i.Held != "" {
		p.below(styleMedium, "but not now: "+oneLine(i.Held), width)
	}
	for _, risk := range i.DataAtRisk {
		p.below(styleRisk, "data at risk: "+oneLine(risk), width)
	}
}

// below writes a text under a line, indented and wrapped.
func (p *page) below(style, text string, width int) {
	lines := []string{text}
	if width > 0 {
		lines = wrap(text, max(width-6, 24))
	}
	for _, line := range lines {
		p.line("      " + p.paint(style, line))
	}
}

func (p *page) gaps(v view) {
	if len(v.Gaps) == 0 {
		return
	}
	p.line("")
	p.line(p.paint(styleMedium, "This report is incomplete. What could not be read may or may not differ:"))
	for _, g := range v.Gaps {
		p.hanging("  "+oneLine(g.Subject)+": ", oneLine(g.Why), v.options.Width)
	}
}

// hanging writes a text behind its label, wrapped below the label's indent.
func (p *page) hanging(label, text string, width int) {
	if width == 0 || uniseg.StringWidth(label)+uniseg.StringWidth(text) <= width {
		p.line(label + text)
		return
	}
	for i, line := range wrap(fmt.Sprint(strings.TrimSpace(label), " ", text), max(width-6, 24)) {
		if i == 0 {
			p.line("  " + line)
		} else {
			p.line("      " + line)
		}
	}
}
