package drift

import (
	"fmt"
	"strings"
)

// Limits of the markdown format.
const (
	markdownLimit = 65536 // characters of a comment on GitHub; held in bytes, which is never more
	markdownNote  = 200   // bytes kept for saying that the comment was cut
	markdownPair  = 400   // columns of both sides of a drift together
	markdownText  = 600   // columns of a sentence
)

// markup turns every character that could mean something to a markdown or HTML parser into a reference to itself,
// which CommonMark never reads as structure; "@" and "#" also get a zero-width space behind them so that nobody is
// notified and nothing is linked.
var markup = strings.NewReplacer(
	"&", "&amp;", "<", "&lt;", ">", "&gt;", "|", "&#124;", "`", "&#96;", "*", "&#42;", "_", "&#95;", "[", "&#91;", "]", "&#93;",
	"~", "&#126;", `\`, "&#92;", "$", "&#36;", "://", "&#58;//", "www.", "www&#46;", "@", "&#64;&#8203;", "#", "&#35;&#8203;")

// literal undoes what would be copied along with a value; an empty comment keeps addresses from becoming links.
var literal = strings.NewReplacer("&#64;&#8203;", "&#64;<!-- -->", "&#8203;", "")

// prose shows a text in a sentence, code shows it literally.
func prose(s string) string { return markup.Replace(clip(oneLine(s), markdownText)) }
func code(s string) string  { return "<code>" + literal.Replace(prose(s)) + "</code>" }

// comment is a markdown text that never grows over the limit.
type comment struct {
	strings.Builder
	dropped int // rows that found no room
}

// block writes head, the rows that fit, and tail; all or nothing of a row, and nothing at all where no row fits.
func (c *comment) block(head string, rows []string, tail string) {
	room := markdownLimit - markdownNote - c.Len() - len(head) - len(tail)
	fit := 0
	for used := 0; fit < len(rows) && used+len(rows[fit]) <= room; fit++ {
		used += len(rows[fit])
	}
	c.dropped += len(rows) - fit
	if fit > 0 {
		c.WriteString(head + strings.Join(rows[:fit], "") + tail)
	}
}

// renderMarkdown is a comment for a pull request: the headline, what a deployment would do, what is not known, and
// the fields of each service folded away. The first line is invisible and finds the comment again.
func renderMarkdown(v view) (string, error) {
	var c comment
	fmt.Fprintf(&c, "<!-- composure drift %s -->\n### %s\n", prose(v.Stack), prose(v.headline()))
	c.block("\n| Service | Deployment | Data at risk |\n| --- | --- | --- |\n", impactRows(v), "")
	var gaps []string
	for _, g := range v.Gaps {
		gaps = append(gaps, "- "+code(g.Subject)+" "+prose(g.Why)+"\n")
	}
	c.block("\n**This report is incomplete.** What could not be read may or may not differ:\n\n", gaps, "")
	for _, g := range v.groups {
		head := fmt.Sprintf("\n<details>\n<summary><b>%s</b>: %s</summary>\n\n", prose(g.title()), groupCount(g))
		head += "| Field | Desired | Observed | Origin | Remedy | Why |\n| --- | --- | --- | --- | --- | --- |\n"
		c.block(head, driftRows(g), "\n</details>\n")
	}
	if c.dropped > 0 {
		fmt.Fprintf(&c, "\n*%s did not fit into a comment. `composure drift` shows all of it.*\n", count(c.dropped, "line"))
	}
	return c.String(), nil
}

func impactRows(v view) []string {
	var rows []string
	for _, i := range v.Impact {
		if !touched(i) {
			continue
		}
		var risks []string
		for _, risk := range i.DataAtRisk {
			risks = append(risks, prose(risk))
		}
		rows = append(rows, fmt.Sprintf("| %s | %s | %s |\n", prose(i.Service), prose(deployment(i)), strings.Join(risks, "<br>")))
	}
	return rows
}

func groupCount(g group) string {
	overrides := 0
	for _, d := range g.drifts {
		if d.Override != nil {
			overrides++
		}
	}
	text := count(len(g.drifts)-overrides, "drift")
	if overrides > 0 {
		text += ", " + count(overrides, "override")
	}
	return text
}

func driftRows(g group) []string {
	several := len(containersOf(g.drifts)) > 1
	var rows []string
	for _, d := range g.drifts {
		field := code(d.Field)
		if several && d.Container != "" {
			field += "<br>" + prose(d.Container)
		}
		desired, observed := pair(d.Desired, d.Observed, markdownPair)
		rows = append(rows, fmt.Sprintf("| %s | %s | %s | %s | %s | %s |\n",
			field, code(desired), code(observed), prose(string(d.Origin)), prose(remedyText(d)), prose(why(d))))
	}
	return rows
}
