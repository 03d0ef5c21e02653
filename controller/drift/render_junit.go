package drift

import (
	"encoding/xml"
	"fmt"
	"strings"
)

// The part of the JUnit format that Jenkins (junit and xunit plugins) and GitLab both read: one failure or error a
// test case, no time zone in timestamp.
type (
	junitReport struct {
		XMLName  xml.Name `xml:"testsuites"`
		Name     string   `xml:"name,attr"`
		Tests    int      `xml:"tests,attr"`
		Failures int      `xml:"failures,attr"`
		Errors   int      `xml:"errors,attr"`
		Time     string   `xml:"time,attr"`
		Suite    junitSuite
	}
	junitSuite struct {
		XMLName   xml.Name `xml:"testsuite"`
		Name      string   `xml:"name,attr"`
		Tests     int      `xml:"tests,attr"`
		Failures  int      `xml:"failures,attr"`
		Errors    int      `xml:"errors,attr"`
		Skipped   int      `xml:"skipped,attr"`
		Time      string   `xml:"time,attr"`
		Timestamp string   `xml:"timestamp,attr,omitempty"`
		Cases     []junitCase
	}
	junitCase struct {
		XMLName   xml.Name     `xml:"testcase"`
		Name      string       `xml:"name,attr"`
		ClassName string       `xml:"classname,attr"`
		Time      string       `xml:"time,attr"`
		Failure   *junitResult `xml:"failure"`
		Error     *junitResult `xml:"error"`
		Output    string       `xml:"system-out,omitempty"`
	}
	junitResult struct {
		Message string `xml:"message,attr"`
		Type    string `xml:"type,attr"`
		Text    string `xml:",cdata"`
	}
)

// renderJUnit writes one test case for each service of the file, for each network, volume and stray container that
// differs (a failure), and for each gap (an error). A service with nothing but overrides passes and says so.
func renderJUnit(v view) (string, error) {
	suite := junitSuite{Name: v.Stack, Time: "0"}
	if !v.options.At.IsZero() {
		suite.Timestamp = v.options.At.UTC().Format("2006-01-02T15:04:05")
	}
	suite.Cases = casesOf(v)
	for _, g := range v.Gaps {
		suite.Cases = append(suite.Cases, junitCase{Name: "gap: " + g.Subject, Error: &junitResult{Message: oneLine(g.Why), Type: "gap", Text: g.Subject + ": " + g.Why}})
	}
	for i := range suite.Cases {
		suite.Cases[i].ClassName, suite.Cases[i].Time = v.Stack+".drift", "0"
		suite.Tests++
		if suite.Cases[i].Failure != nil {
			suite.Failures++
		}
		if suite.Cases[i].Error != nil {
			suite.Errors++
		}
	}
	report := junitReport{Name: "composure drift", Tests: suite.Tests, Failures: suite.Failures, Errors: suite.Errors, Time: "0", Suite: suite}
	out, err := xml.MarshalIndent(report, "", "  ")
	if err != nil {
		return "", fmt.Errorf("encode report: %w", err)
	}
	return xml.Header + string(out) + "\n", nil
}

// casesOf gives every service of the file a case, then every other group, in the report's order.
func casesOf(v view) []junitCase {
	var cases []junitCase
	services := map[string]junitCase{}
	for _, i := range v.Impact {
		services[i.Service] = junitCase{Name: i.Service}
	}
	var others []junitCase
	for _, g := range v.groups {
		if _, listed := services[g.name]; listed && g.kind == aboutService {
			services[g.name] = caseOf(g)
		} else {
			others = append(others, caseOf(g))
		}
	}
	for _, i := range v.Impact {
		cases = append(cases, services[i.Service])
	}
	return append(cases, others...)
}

func caseOf(g group) junitCase {
	var text strings.Builder
	kind := "override"
	for _, d := range g.drifts {
		fmt.Fprintf(&text, "%s: desired %s, observed %s (%s, %s)\n", d.Field, value(d.Desired), value(d.Observed), d.Origin, remedyText(d))
		for _, line := range []string{d.Container, why(d)} {
			if line != "" {
				text.WriteString("    " + line + "\n")
			}
		}
		if d.Override == nil {
			kind = "drift"
		}
	}
	if kind == "override" {
		return junitCase{Name: g.title(), Output: text.String()}
	}
	message := groupCount(g)
	if g.impact != nil && touched(*g.impact) {
		message += ", deployment: " + g.impact.Remedy
	}
	return junitCase{Name: g.title(), Failure: &junitResult{Message: message, Type: kind, Text: "\n" + text.String()}}
}
