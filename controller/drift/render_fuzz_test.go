package drift

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

// hostile is what a container can put into its own labels, environment and logs.
const hostile = "\x1b[31mred\x1b[0m\x00\x07\x7f\u009b2J\u202eevil\u2028\ufeff\xff ##[error]x ]]> </failure> ::error::x"

// A text added to Report must be made safe in prepare; this fills every text there is, by reflection.
func TestEveryTextOfAReportIsMadeSafe(t *testing.T) {
	r := Report{Drifts: make([]Drift, 1), Impact: []Impact{{DataAtRisk: make([]string, 1)}}, Gaps: make([]Gap, 1)}
	r.Drifts[0].Override = &Override{}
	fill(reflect.ValueOf(&r).Elem(), hostile)
	for _, format := range Formats() {
		checkOutput(t, format, render(t, format, r, RenderOptions{Root: hostile, File: hostile, Version: hostile}))
	}
}

func fill(v reflect.Value, text string) {
	switch v.Kind() {
	case reflect.String:
		if v.CanSet() {
			v.SetString(text)
		}
	case reflect.Pointer:
		if !v.IsNil() {
			fill(v.Elem(), text)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), text)
		}
	case reflect.Slice:
		for i := range v.Len() {
			fill(v.Index(i), text)
		}
	}
}

func checkOutput(t *testing.T, format, out string) {
	t.Helper()
	if !utf8.ValidString(out) {
		t.Errorf("%s is not UTF-8", format)
	}
	if i := strings.IndexFunc(out, hidden); i >= 0 {
		t.Errorf("%s has the hidden character %q", format, out[i:min(i+8, len(out))])
	}
	if !strings.HasSuffix(out, "\n") {
		t.Errorf("%s does not end with a newline", format)
	}
	if strings.Contains(out, "##[") {
		t.Errorf("%s has a workflow command:\n%s", format, out)
	}
	switch format {
	case "json", "sarif":
		if !json.Valid([]byte(out)) {
			t.Errorf("%s is no JSON:\n%s", format, out)
		}
	case "junit":
		checkXML(t, out)
	case "markdown":
		if len(out) > markdownLimit {
			t.Errorf("markdown has %d bytes", len(out))
		}
	case "text":
		for _, line := range strings.Split(out, "\n") {
			if strings.HasPrefix(strings.TrimSpace(line), "::") {
				t.Errorf("text begins a line with a workflow command: %q", line)
			}
		}
	case "github":
		lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
		for _, line := range lines[:len(lines)-1] {
			if !strings.HasPrefix(line, "::error ") && !strings.HasPrefix(line, "::warning ") && !strings.HasPrefix(line, "::notice ") {
				t.Errorf("github has the line %q", line)
			}
		}
	}
}

func checkXML(t *testing.T, out string) {
	t.Helper()
	decoder := xml.NewDecoder(strings.NewReader(out))
	for {
		if _, err := decoder.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Errorf("junit is no XML: %v\n%s", err, out)
			return
		}
	}
}

func FuzzRender(f *testing.F) {
	f.Add("api", "shop-api-1", "", "environment.A", "1", "2", "/srv/shop/compose.yaml", 3, "Why.", 80)
	f.Add("", "", "network x", hostile, hostile, hostile+"tail", hostile, -1, hostile, 0)
	f.Add(hostile, hostile, hostile, "", "", "", "", 0, "", 1)
	f.Add("a", "b", "c", strings.Repeat("世", 300), strings.Repeat("x", 900)+"1", strings.Repeat("x", 900)+"2", "./a:b", 1<<40, "::x ::y\n::z", 20)
	f.Fuzz(func(t *testing.T, service, container, subject, field, desired, observed, file string, line int, cause string, width int) {
		d := Drift{Service: service, Container: container, Subject: subject, Field: field, Desired: desired, Observed: observed, Pos: at(file, line), Cause: cause, Remedy: Remedy(subject), Origin: Origin(field)}
		override := d
		override.Container, override.Override = cause, &Override{Owner: service, Reason: cause}
		r := Report{
			Stack: service, Drifts: []Drift{d, override}, Gaps: []Gap{{subject, cause}},
			Impact: []Impact{{Service: service, Remedy: field, DataAtRisk: []string{observed}}, {Service: subject, Remedy: "none"}},
		}
		o := RenderOptions{Width: width % 300, Root: file, File: file, Version: cause}
		for _, format := range Formats() {
			checkOutput(t, format, render(t, format, r, o))
		}
		o.Color = true
		render(t, "text", r, o)
	})
}

func FuzzPair(f *testing.F) {
	f.Add("abc", "abd", 24)
	f.Add("👩\u200d🚒"+strings.Repeat("e\u0301", 50), "👩\u200d🚒"+strings.Repeat("e\u0301", 50)+"x", 30)
	f.Fuzz(func(t *testing.T, desired, observed string, limit int) {
		desired, observed = safe(desired), safe(observed)
		if len(desired)+len(observed) > 10000 || limit > 1000 {
			return
		}
		a, b := pair(desired, observed, limit)
		if a == b && value(desired) != value(observed) {
			t.Errorf("both sides read %q for %q and %q", a, desired, observed)
		}
	})
}
