package drift

import (
	_ "embed" // the schema travels with the program that promises it
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// SchemaVersion names the JSON form of a report. Fields may be added to it; a change that breaks a reader gets a new
// version.
const SchemaVersion = "composure.drift/v1"

//go:embed schema.json
var jsonSchema string

// JSONSchema returns the JSON Schema (draft 2020-12) of the json format.
func JSONSchema() string { return jsonSchema }

// Document is a report for programs; schema.json documents it.
type Document struct {
	Schema   string          `json:"schema"`
	Stack    string          `json:"stack"`
	Observed string          `json:"observed_at,omitempty"`
	Root     string          `json:"root,omitempty"`
	Clean    bool            `json:"clean"`
	Complete bool            `json:"complete"`
	Summary  DocumentSummary `json:"summary"`
	Drifts   []Entry         `json:"drifts"`
	Impact   []EntryImpact   `json:"impact"`
	Gaps     []EntryGap      `json:"gaps"`
}

// DocumentSummary counts.
type DocumentSummary struct {
	Drifts           int `json:"drifts"`
	Overrides        int `json:"overrides"`
	Gaps             int `json:"gaps"`
	Services         int `json:"services"`
	ServicesDrifting int `json:"services_drifting"`
}

// Entry is one field that differs, every text safe to show.
type Entry struct {
	Service   string         `json:"service"`
	Container string         `json:"container"`
	Subject   string         `json:"subject"`
	Field     string         `json:"field"`
	Desired   string         `json:"desired"`
	Observed  string         `json:"observed"`
	Position  *EntryPosition `json:"position"`
	Origin    Origin         `json:"origin"`
	Remedy    Remedy         `json:"remedy"`
	Severity  Severity       `json:"severity"`
	Cause     string         `json:"cause"`
	Override  *EntryOverride `json:"override"`
}

// EntryPosition is where the desired value stands; the path is relative to the root of the document.
type EntryPosition struct {
	File string `json:"file"`
	Line int    `json:"line"`
}

// EntryOverride is the recorded divergence that explains an entry.
type EntryOverride struct {
	Owner  string  `json:"owner"`
	Reason string  `json:"reason"`
	Until  *string `json:"until"`
}

// EntryImpact is what a deployment would do to a service.
type EntryImpact struct {
	Service    string   `json:"service"`
	Remedy     string   `json:"remedy"`
	DataAtRisk []string `json:"data_at_risk"`
	Held       string   `json:"held"`
}

// EntryGap is what could not be compared.
type EntryGap struct {
	Subject string `json:"subject"`
	Why     string `json:"why"`
}

// DocumentOf is a report for programs, as the json format writes it.
func DocumentOf(r Report, o RenderOptions) Document { return documentOf(prepare(r, o)) }

// renderJSON writes the versioned form for programs.
func renderJSON(v view) (string, error) { return encode(documentOf(v)) }

func documentOf(v view) Document {
	report := Document{
		Schema: SchemaVersion, Stack: v.Stack, Observed: timestamp(v.options.At), Root: v.options.Root,
		Clean: v.drifts == 0, Complete: len(v.Gaps) == 0,
		Summary: DocumentSummary{Drifts: v.drifts, Overrides: v.overrides, Gaps: len(v.Gaps), Services: len(v.Impact), ServicesDrifting: v.withDrifts},
		Drifts:  []Entry{}, Impact: []EntryImpact{}, Gaps: []EntryGap{},
	}
	for _, d := range v.Drifts {
		report.Drifts = append(report.Drifts, entryOf(d))
	}
	for _, i := range v.Impact {
		report.Impact = append(report.Impact, EntryImpact(i))
	}
	for _, g := range v.Gaps {
		report.Gaps = append(report.Gaps, EntryGap(g))
	}
	return report
}

func entryOf(d Drift) Entry {
	out := Entry{
		Service: d.Service, Container: d.Container, Subject: d.Subject, Field: d.Field, Desired: d.Desired, Observed: d.Observed,
		Origin: d.Origin, Remedy: d.Remedy, Severity: SeverityOf(d), Cause: d.Cause,
	}
	if d.Pos.File != "" {
		out.Position = &EntryPosition{File: d.Pos.File, Line: d.Pos.Line}
	}
	if d.Override != nil {
		out.Override = &EntryOverride{Owner: d.Override.Owner, Reason: d.Override.Reason}
		if until := timestamp(d.Override.Until); until != "" {
			out.Override.Until = &until
		}
	}
	return out
}

// timestamp is RFC 3339 in UTC, or empty for no time.
func timestamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// encode writes indented JSON and keeps < and > readable: this is a file or a terminal, not a web page.
func encode(document any) (string, error) {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(document); err != nil {
		return "", fmt.Errorf("encode report: %w", err)
	}
	return b.String(), nil
}
