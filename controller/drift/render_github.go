package drift

import (
	"fmt"
	"strings"
)

// The escaping of workflow commands, as GitHub's runner undoes it.
var (
	commandData     = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	commandProperty = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
)

// annotationPair is the columns of both sides of a drift in an annotation, which is a small box beside a line.
const annotationPair = 400

// renderGitHub writes one workflow annotation a drift (its severity is SeverityOf's), a warning for each thing a
// deployment would put at risk, an error for each gap, and the headline as plain text. GitHub shows ten errors, ten
// warnings and ten notices a step and keeps the rest in the log.
func renderGitHub(v view) (string, error) {
	var p page
	for _, g := range v.groups {
		for _, d := range g.drifts {
			p.WriteString(annotation(SeverityOf(d), place(d, v.options.File), g.title()+": "+d.Field, annotationText(d)))
		}
	}
	home := v.options.File
	for _, i := range v.Impact {
		for _, risk := range i.DataAtRisk {
			p.WriteString(annotation(SeverityWarning, location{file: home}, i.Service+": data at risk", risk+" (deployment: "+deployment(i)+")"))
		}
	}
	for _, g := range v.Gaps {
		p.WriteString(annotation(SeverityError, location{file: home}, v.Stack+": not compared", g.Subject+": "+g.Why))
	}
	p.line(oneLine(v.headline()))
	return p.String(), nil
}

// location is where CI shows a drift: its own place, or the compose file for what has none.
type location struct {
	file string // relative to the root, or absolute outside of it; empty: nowhere
	line int    // 0: unknown
}

func place(d Drift, home string) location {
	if d.Pos.File == "" {
		return location{file: home}
	}
	return location{d.Pos.File, d.Pos.Line}
}

func annotationText(d Drift) string {
	desired, observed := pair(d.Desired, d.Observed, annotationPair)
	text := fmt.Sprintf("desired %s, observed %s (%s, %s)", desired, observed, d.Origin, remedyText(d))
	if _, name := kindOf(d); d.Container != "" && d.Container != name {
		text = d.Container + ": " + text
	}
	d.Pos.File = "" // the annotation stands at the place
	if reason := why(d); reason != "" {
		text += "\n" + reason
	}
	return text
}

func annotation(severity Severity, at location, title, message string) string {
	properties := ""
	if at.file != "" {
		properties = "file=" + commandProperty.Replace(at.file) + ","
		if at.line > 0 {
			properties += fmt.Sprintf("line=%d,", at.line)
		}
	}
	return fmt.Sprintf("::%s %stitle=%s::%s\n", severity, properties, commandProperty.Replace(title), commandData.Replace(message))
}
