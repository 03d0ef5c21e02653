package drift

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"composure/spec"
)

// RenderOptions say for whom a report is rendered. The zero value is plain text without a width and with absolute paths.
type RenderOptions struct {
	Color   bool      // ANSI colours; text only, and the only escapes that any format ever contains
	Width   int       // columns of the terminal; 0: there is none, a drift is one line however long
	Root    string    // absolute; paths below it are shown relative to it, with slashes
	File    string    // absolute; where CI formats place a drift that has no line of its own: the first compose file
	At      time.Time // when the stack was observed; zero: left out
	Version string    // of the program; empty: left out
}

// renderers is the one place to add a format.
var renderers = []struct {
	format string
	render func(view) (string, error)
}{
	{"text", renderText},
	{"json", renderJSON},
	{"markdown", renderMarkdown},
	{"github", renderGitHub},
	{"junit", renderJUnit},
	{"sarif", renderSARIF},
}

// Formats names the formats of Render, the default first.
func Formats() []string {
	var names []string
	for _, r := range renderers {
		names = append(names, r.format)
	}
	return names
}

// Render writes a report in one of Formats. The result ends with a newline and is valid UTF-8. Texts from containers,
// labels and files cannot act in it: control characters, terminal escapes, invisible and bidirectional characters are
// shown as escapes such as \x1b, and each format escapes its own markup. The only errors are an unknown format and a
// failed encoding.
func Render(format string, r Report, o RenderOptions) (string, error) {
	for _, known := range renderers {
		if known.format == format {
			return known.render(prepare(r, o))
		}
	}
	return "", fmt.Errorf("unknown format %q; use one of %s", format, strings.Join(Formats(), ", "))
}

// view is a report ready to be shown: sorted, every text safe, every path relative to the root.
type view struct {
	Report
	groups     []group
	drifts     int // without overrides
	overrides  int
	withDrifts int // services that have any
	options    RenderOptions
}

// groupKind is what a group of drifts is about; the values order the groups.
type groupKind int

const (
	aboutService groupKind = iota
	aboutSubject           // a network or a volume
	aboutStray             // a container of no service of the file
)

// group is the drifts of one service, network, volume or stray container.
type group struct {
	kind   groupKind
	name   string
	drifts []Drift
	impact *Impact // nil: the report has none
}

func kindOf(d Drift) (groupKind, string) {
	switch {
	case d.Service != "":
		return aboutService, d.Service
	case d.Subject != "":
		return aboutSubject, d.Subject
	}
	return aboutStray, d.Container
}

// prepare makes the only copy of the report that renderers see, so that no format can forget to make a text safe.
func prepare(r Report, o RenderOptions) view {
	v := view{options: o, Report: Report{Stack: safe(r.Stack)}}
	v.options.Root, v.options.File, v.options.Version = safe(o.Root), safe(relative(o.Root, o.File)), safe(o.Version)
	for _, d := range r.Drifts {
		v.Drifts = append(v.Drifts, safeDrift(d, o.Root))
	}
	for _, i := range r.Impact {
		risks := make([]string, 0, len(i.DataAtRisk))
		for _, risk := range i.DataAtRisk {
			risks = append(risks, safe(risk))
		}
		v.Impact = append(v.Impact, Impact{Service: safe(i.Service), Remedy: safe(i.Remedy), DataAtRisk: risks, Held: safe(i.Held)})
	}
	for _, g := range r.Gaps {
		v.Gaps = append(v.Gaps, Gap{Subject: safe(g.Subject), Why: safe(g.Why)})
	}
	slices.SortStableFunc(v.Drifts, byPlace)
	slices.SortStableFunc(v.Impact, func(a, b Impact) int { return cmp.Compare(a.Service, b.Service) })
	slices.SortStableFunc(v.Gaps, func(a, b Gap) int { return cmp.Compare(a.Subject, b.Subject) })
	v.groups = groupsOf(v.Drifts, v.Impact)
	v.count()
	return v
}

func safeDrift(d Drift, root string) Drift {
	d.Service, d.Container, d.Subject = safe(d.Service), safe(d.Container), safe(d.Subject)
	d.Field, d.Desired, d.Observed = safe(d.Field), safe(d.Desired), safe(d.Observed)
	d.Pos = spec.Position{File: safe(relative(root, d.Pos.File)), Line: max(d.Pos.Line, 0)}
	d.Origin, d.Remedy, d.Cause = Origin(safe(string(d.Origin))), Remedy(safe(string(d.Remedy))), safe(d.Cause)
	if d.Override != nil {
		d.Override = &Override{Owner: safe(d.Override.Owner), Reason: safe(d.Override.Reason), Until: d.Override.Until.UTC()}
	}
	return d
}

// byPlace orders drifts as every format shows them: services, then networks and volumes, then stray containers.
func byPlace(a, b Drift) int {
	kindA, nameA := kindOf(a)
	kindB, nameB := kindOf(b)
	return cmp.Or(cmp.Compare(kindA, kindB), cmp.Compare(nameA, nameB), cmp.Compare(a.Container, b.Container),
		cmp.Compare(a.Subject, b.Subject), cmp.Compare(a.Field, b.Field))
}

// groupsOf cuts sorted drifts into groups.
func groupsOf(drifts []Drift, impact []Impact) []group {
	var groups []group
	for _, d := range drifts {
		kind, name := kindOf(d)
		if n := len(groups); n == 0 || groups[n-1].kind != kind || groups[n-1].name != name {
			groups = append(groups, group{kind: kind, name: name, impact: impactOf(kind, name, impact)})
		}
		last := &groups[len(groups)-1]
		last.drifts = append(last.drifts, d)
	}
	return groups
}

func impactOf(kind groupKind, name string, impact []Impact) *Impact {
	for i := range impact {
		if kind == aboutService && impact[i].Service == name {
			return &impact[i]
		}
	}
	return nil
}

func (v *view) count() {
	for _, g := range v.groups {
		if g.kind == aboutService {
			v.withDrifts++
		}
		for _, d := range g.drifts {
			if d.Override != nil {
				v.overrides++
			} else {
				v.drifts++
			}
		}
	}
}

// relative returns the path as shown: below root without it, elsewhere as it is. Outside the root a path with ".."
// would mean something else to whoever reads the report in another checkout.
func relative(root, path string) string {
	if root == "" || path == "" {
		return filepath.ToSlash(path)
	}
	short, err := filepath.Rel(root, path)
	if err != nil || short == ".." || strings.HasPrefix(short, ".."+string(filepath.Separator)) {
		return filepath.ToSlash(path)
	}
	return filepath.ToSlash(short)
}

// Severity is how loud CI formats are about a drift.
type Severity string

// Severities, by what it takes to end the drift.
const (
	SeverityError   Severity = "error"   // a service is not what the file says and a deployment would interrupt it
	SeverityWarning Severity = "warning" // a deployment corrects it in place, without an interruption
	SeverityNotice  Severity = "notice"  // reported only, or a recorded override
)

// SeverityOf maps a drift to a severity: an override is a notice, what is missing or does not run as it must is an
// error whatever ends it, and otherwise the remedy decides (recreate and restart: error, in-place: warning, report:
// notice).
func SeverityOf(d Drift) Severity {
	if d.Override != nil {
		return SeverityNotice
	}
	switch d.Field {
	case FieldExistence, FieldReplicas, FieldState, FieldHealth, FieldUnique:
		return SeverityError
	}
	switch d.Remedy {
	case RemedyReport:
		return SeverityNotice
	case RemedyInPlace:
		return SeverityWarning
	}
	return SeverityError
}

// headline is the report in one line.
func (v view) headline() string {
	text := v.Stack + ": "
	switch {
	case v.drifts > 0:
		text += count(v.drifts, "drift")
		if v.withDrifts > 0 && len(v.Impact) > 0 {
			text += fmt.Sprintf(" (services: %d of %d)", v.withDrifts, len(v.Impact))
		}
	case len(v.Gaps) > 0:
		text += "no drift found, but not everything could be compared"
	case len(v.Impact) > 0:
		text += "no drift in " + count(len(v.Impact), "service")
	default:
		text += "no drift"
	}
	if v.overrides > 0 {
		text += ", " + count(v.overrides, "override")
	}
	if len(v.Gaps) > 0 {
		text += ", " + count(len(v.Gaps), "gap")
	}
	return text
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// why is the sentence under a drift: its place, its cause and the override that explains it.
func why(d Drift) string {
	text := oneLine(d.Cause)
	if at := d.Pos.String(); at != "" {
		text = strings.TrimSuffix(oneLine(at)+": "+text, ": ")
	}
	if d.Override != nil {
		text = strings.TrimPrefix(strings.TrimSuffix(text, ".")+"; "+overrideText(*d.Override), "; ")
	}
	return text
}

func overrideText(o Override) string {
	text := "override"
	if o.Owner != "" {
		text += " by " + oneLine(o.Owner)
	}
	if o.Until.IsZero() {
		text += " until released"
	} else {
		text += " until " + o.Until.UTC().Format("2006-01-02 15:04 UTC")
	}
	if o.Reason != "" {
		text += ": " + oneLine(o.Reason)
	}
	return text
}

// remedyText is the remedy as people read it: nothing is done about an override, and what is missing is created,
// which is no more of an interruption than any correction in place.
func remedyText(d Drift) string {
	switch {
	case d.Override != nil:
		return "override"
	case d.Remedy == RemedyInPlace && (d.Field == FieldExistence || d.Field == FieldReplicas):
		return "create"
	}
	return string(d.Remedy)
}

// deployment is an impact in one phrase.
func deployment(i Impact) string {
	if i.Held != "" {
		return i.Remedy + ", but not now: " + i.Held
	}
	return i.Remedy
}

// title is the heading of a group.
func (g group) title() string {
	switch g.kind {
	case aboutSubject:
		return g.name
	case aboutStray:
		if g.name == "" {
			return "stack"
		}
		return "container " + g.name
	}
	return g.name
}
