package drift

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

func TestJSONFollowsItsSchema(t *testing.T) {
	schema := compileSchema(t)
	for name, r := range map[string]Report{"rich": rich(), "clean": clean(), "incomplete": incomplete(), "empty": {}} {
		for _, o := range []RenderOptions{options(), {}} {
			document, err := jsonschema.UnmarshalJSON(strings.NewReader(render(t, "json", r, o)))
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if err := schema.Validate(document); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func TestJSONSchemaRejectsWhatIsNoReport(t *testing.T) {
	schema := compileSchema(t)
	good := render(t, "json", rich(), options())
	for old, broken := range map[string]string{
		`"composure.drift/v1"`:   `"composure.drift/v2"`,
		`"remedy": "recreate"`:   `"remedy": "reboot"`,
		`"2026-11-23T02:12:45Z"`: `"2026-11-23T03:12:45+01:00"`,
		`"override": null`:       `"override": false`,
		`"line": 12`:             `"line": -1`,
	} {
		document, err := jsonschema.UnmarshalJSON(strings.NewReader(strings.Replace(good, old, broken, 1)))
		if err != nil {
			t.Fatal(err)
		}
		if schema.Validate(document) == nil {
			t.Errorf("the schema accepts %s", broken)
		}
	}
}

// Every key that is written is documented, so that schema.json stays the whole truth.
func TestJSONSchemaDocumentsEveryKey(t *testing.T) {
	var schema any
	if err := json.Unmarshal([]byte(JSONSchema()), &schema); err != nil {
		t.Fatal(err)
	}
	documented := map[string]bool{}
	walkJSON(schema, func(key string, value any) {
		if properties, ok := value.(map[string]any); ok && key == "properties" {
			for name := range properties {
				documented[name] = true
			}
		}
	})
	var report any
	if err := json.Unmarshal([]byte(render(t, "json", rich(), options())), &report); err != nil {
		t.Fatal(err)
	}
	walkJSON(report, func(key string, _ any) {
		if !documented[key] {
			t.Errorf("schema.json does not document %q", key)
		}
	})
}

func compileSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(strings.NewReader(JSONSchema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("schema.json", document); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

func walkJSON(node any, visit func(key string, value any)) {
	switch node := node.(type) {
	case map[string]any:
		for key, value := range node {
			visit(key, value)
			walkJSON(value, visit)
		}
	case []any:
		for _, value := range node {
			walkJSON(value, visit)
		}
	}
}

// large is a report far over the limit of a comment.
func large() Report {
	r := Report{Stack: "shop"}
	for i := range 300 {
		service := fmt.Sprintf("service-%03d", i)
		r.Impact = append(r.Impact, Impact{Service: service, Remedy: "recreate"})
		for j := range 4 {
			r.Drifts = append(r.Drifts, Drift{Service: service, Field: fmt.Sprintf("environment.KEY_%d", j), Desired: strings.Repeat("ä|", 500), Observed: strings.Repeat("<", 500), Remedy: RemedyRecreate})
		}
	}
	return r
}

func TestMarkdownFitsIntoACommentAndSaysWhatItLeftOut(t *testing.T) {
	out := render(t, "markdown", large(), options())
	if len(out) > markdownLimit {
		t.Errorf("%d bytes", len(out))
	}
	if len(out) < markdownLimit/2 {
		t.Errorf("only %d bytes of the room are used", len(out))
	}
	rows := strings.Count(out, "| <code>environment")
	want := fmt.Sprintf("*%d lines did not fit into a comment.", 1200-rows)
	if !strings.Contains(out, want) {
		t.Errorf("want %q at the end, got %q", want, out[len(out)-200:])
	}
	if strings.Count(out, "<details>") != strings.Count(out, "</details>") {
		t.Error("a folded section is not closed")
	}
}

func TestMarkdownTextCannotBecomeMarkup(t *testing.T) {
	hostile := "</code></td><img src=x onerror=alert(1)> | a \\| b `c` **d** [e](https://example.com) @octo/team #4711 ~~f~~ www.example.com $x$ <!-- --> &lt;"
	r := Report{Stack: hostile, Gaps: []Gap{{hostile, hostile}}, Impact: []Impact{{Service: hostile, Remedy: hostile, DataAtRisk: []string{hostile}}}}
	r.Drifts = []Drift{{Service: hostile, Container: hostile, Field: hostile, Desired: hostile, Observed: hostile + "\n\n# x\n", Cause: hostile}}
	out := render(t, "markdown", r, options())
	for _, active := range []string{"<img", "[e]", "@octo", "&#64;octo", "#4711", "`c`", "**d**", "~~f~~", "://", "www.", "$x$", "\n# x", `\|`} {
		if strings.Contains(out, active) {
			t.Errorf("%q is markup in:\n%s", active, out)
		}
	}
	for _, line := range strings.Split(out, "\n") {
		if cells := strings.Count(line, "|"); strings.HasPrefix(line, "| ") && cells != 4 && cells != 7 {
			t.Errorf("a cell was split: %s", line)
		}
	}
}

func TestGitHubAnnotationsRoundTrip(t *testing.T) {
	r := Report{Stack: "shop", Drifts: []Drift{{
		Service: "api", Field: "environment.A", Desired: "100%\r\n::error::x", Observed: "a,b:c%0A", Cause: "Why.",
		Pos: at(projectRoot+"/a,b:c%.yaml", 7), Remedy: RemedyInPlace, Origin: OriginLive,
	}}}
	lines := strings.Split(strings.TrimSpace(render(t, "github", r, options())), "\n")
	if len(lines) != 2 {
		t.Fatalf("one annotation and the headline expected: %q", lines)
	}
	command, properties, message := parseCommand(t, lines[0])
	if command != "warning" {
		t.Errorf("command %q", command)
	}
	want := map[string]string{"file": "a,b:c%.yaml", "line": "7", "title": "api: environment.A"}
	if diff := cmp.Diff(want, properties); diff != "" {
		t.Error(diff)
	}
	if want := `desired 100%\r\n::error::x, observed a,b:c%0A (live, in-place)` + "\nWhy."; message != want {
		t.Errorf("message %q, want %q", message, want)
	}
}

// parseCommand reads a workflow command the way GitHub's runner does.
func parseCommand(t *testing.T, line string) (string, map[string]string, string) {
	t.Helper()
	info, data, ok := strings.Cut(strings.TrimPrefix(line, "::"), "::")
	if !ok || !strings.HasPrefix(line, "::") {
		t.Fatalf("no command: %q", line)
	}
	command, list, _ := strings.Cut(info, " ")
	properties := map[string]string{}
	for _, property := range strings.Split(list, ",") {
		key, value, _ := strings.Cut(property, "=")
		properties[key] = strings.NewReplacer("%0D", "\r", "%0A", "\n", "%3A", ":", "%2C", ",", "%25", "%").Replace(value)
	}
	return command, properties, strings.NewReplacer("%0D", "\r", "%0A", "\n", "%25", "%").Replace(data)
}

func TestSeverity(t *testing.T) {
	override := &Override{Owner: "ops"}
	for _, c := range []struct {
		drift Drift
		want  Severity
	}{
		{Drift{Field: "image", Remedy: RemedyRecreate}, SeverityError},
		{Drift{Field: "configs.app", Remedy: RemedyRestart}, SeverityError},
		{Drift{Field: "mem_limit", Remedy: RemedyInPlace}, SeverityWarning},
		{Drift{Field: "orphan", Remedy: RemedyReport}, SeverityNotice},
		{Drift{Field: "health", Remedy: RemedyReport}, SeverityError},
		{Drift{Field: "existence", Remedy: RemedyInPlace}, SeverityError},
		{Drift{Field: "existence", Remedy: RemedyRecreate, Override: override}, SeverityNotice},
	} {
		if got := SeverityOf(c.drift); got != c.want {
			t.Errorf("%s, %s: got %s, want %s", c.drift.Field, c.drift.Remedy, got, c.want)
		}
	}
}

// The rules of Jenkins's junit-10.xsd and of GitLab's reader, as far as a report can break them.
func TestJUnitIsReadableByItsConsumers(t *testing.T) {
	type result struct {
		Message string `xml:"message,attr"`
		Type    string `xml:"type,attr"`
	}
	var report struct {
		XMLName xml.Name `xml:"testsuites"`
		Tests   int      `xml:"tests,attr"`
		Suites  []struct {
			Name      string `xml:"name,attr"`
			Tests     int    `xml:"tests,attr"`
			Failures  int    `xml:"failures,attr"`
			Errors    int    `xml:"errors,attr"`
			Timestamp string `xml:"timestamp,attr"`
			Cases     []struct {
				Name      string   `xml:"name,attr"`
				ClassName string   `xml:"classname,attr"`
				Failures  []result `xml:"failure"`
				Errors    []result `xml:"error"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal([]byte(render(t, "junit", rich(), options())), &report); err != nil {
		t.Fatal(err)
	}
	suite := report.Suites[0]
	if !regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d$`).MatchString(suite.Timestamp) {
		t.Errorf("timestamp %q has a zone or is none", suite.Timestamp)
	}
	var names []string
	failures, errors := 0, 0
	for _, c := range suite.Cases {
		names = append(names, c.Name)
		failures, errors = failures+len(c.Failures), errors+len(c.Errors)
		if len(c.Failures)+len(c.Errors) > 1 {
			t.Errorf("%s has several results; GitLab reads one", c.Name)
		}
	}
	want := []string{"api", "cache", "frontend", "postgres", "worker", "network shop_default", "volume shop_data", "container shop-legacy-1", "gap: container shop-worker-2"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Error(diff)
	}
	if suite.Tests != len(names) || report.Tests != len(names) || suite.Failures != failures || suite.Errors != errors {
		t.Errorf("counts %d/%d/%d do not fit %d cases, %d failures, %d errors", suite.Tests, suite.Failures, suite.Errors, len(names), failures, errors)
	}
}

func TestJUnitPassesAServiceWithNothingButOverrides(t *testing.T) {
	r := Report{Stack: "shop", Impact: []Impact{{Service: "api", Remedy: "none"}}, Drifts: []Drift{{Service: "api", Field: "mem_limit", Override: &Override{Owner: "ops", Reason: "load test"}}}}
	out := render(t, "junit", r, options())
	if strings.Contains(out, "<failure") || !strings.Contains(out, "override by ops until released: load test") {
		t.Error(out)
	}
}

// What SARIF 2.1.0 requires, and what GitHub's code scanning requires beyond it (a location with a line, a rule with
// a help text, relative paths).
func TestSARIFHasWhatTheStandardRequires(t *testing.T) {
	for name, r := range map[string]Report{"rich": rich(), "clean": clean(), "incomplete": incomplete()} {
		var log sarifLog
		decoder := json.NewDecoder(strings.NewReader(render(t, "sarif", r, options())))
		if err := decoder.Decode(&log); err != nil {
			t.Fatal(err)
		}
		run := log.Runs[0]
		if log.Version != "2.1.0" || log.Schema == "" || run.Tool.Driver.Name == "" || run.Tool.Driver.Rules == nil || run.Results == nil {
			t.Errorf("%s: a required property is missing", name)
		}
		if run.Invocations[0].Successful != (len(r.Gaps) == 0) || len(run.Invocations[0].Notifications) != len(r.Gaps) {
			t.Errorf("%s: gaps are not in the invocation", name)
		}
		if len(run.Results) != len(r.Drifts) {
			t.Errorf("%s: %d results for %d drifts", name, len(run.Results), len(r.Drifts))
		}
		checkResults(t, run)
	}
}

func checkResults(t *testing.T, run sarifRun) {
	t.Helper()
	fingerprints := map[string]bool{}
	for _, result := range run.Results {
		rule := run.Tool.Driver.Rules[result.RuleIndex]
		if rule.ID != result.RuleID || rule.Short.Text == "" || rule.Help.Text == "" {
			t.Errorf("rule %d does not describe %s", result.RuleIndex, result.RuleID)
		}
		if result.Message.Text == "" || !strings.Contains("error warning note", result.Level) {
			t.Errorf("result without a message or with level %q", result.Level)
		}
		fingerprint := result.Fingerprints["composureDrift/v1"]
		if fingerprint == "" || fingerprints[fingerprint] {
			t.Errorf("fingerprint %q is empty or not unique", fingerprint)
		}
		fingerprints[fingerprint] = true
		place := result.Locations[0].Physical
		uri, err := url.Parse(place.Artifact.URI)
		if err != nil || place.Region.StartLine < 1 {
			t.Errorf("bad place %+v: %v", place, err)
		}
		if uri.IsAbs() == (place.Artifact.BaseID != "") {
			t.Errorf("%s: a relative URI needs a base and an absolute one has none", uri)
		}
	}
}

func TestSARIFFingerprintIgnoresLinesAndValues(t *testing.T) {
	d := rich().Drifts[3]
	moved := d
	moved.Pos.Line, moved.Observed = 99, "trace"
	other := d
	other.Container = "shop-api-2"
	if fingerprint(d) != fingerprint(moved) {
		t.Error("the fingerprint moves with the line or the value")
	}
	if fingerprint(d) == fingerprint(other) {
		t.Error("two containers share a fingerprint")
	}
}
