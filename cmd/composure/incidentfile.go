package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"composure/controller/incident"
	"composure/controller/store"
	"composure/spec"
)

// incidentRow is an incident as the store keeps it.
func incidentRow(stack string, i incident.Incident) (store.Incident, error) {
	document, err := json.Marshal(i)
	if err != nil {
		return store.Incident{}, fmt.Errorf("encode the incident %s: %w", i.ID, err)
	}
	return store.Incident{
		ID: i.ID, Stack: stack, Service: i.Service, Cause: i.Cause, State: string(i.State), Severity: i.Severity,
		Opened: i.Detected, Resolved: i.ResolvedAt, Document: document, Was: []byte(i.Was),
	}, nil
}

// asIncident reads a row.
func asIncident(row store.Incident) (incident.Incident, error) {
	var i incident.Incident
	if err := json.Unmarshal(row.Document, &i); err != nil {
		return i, fmt.Errorf("read the incident %s: %w", row.ID, err)
	}
	i.Was = string(row.Document)
	return i, nil
}

// reportOf is the runbook's document of an incident, with what the compose file as it is now should change.
func reportOf(i incident.Incident, stack *spec.Stack, kept []store.Evidence, now time.Time) string {
	x := incident.Extras{Now: now}
	if svc := stack.Service(i.Service); svc != nil {
		x.Hints = incident.Hints(i.Cause, svc)
	}
	for _, e := range kept {
		x.Evidence = append(x.Evidence, incident.Evidence{Name: e.ID, Kind: e.Kind, At: e.At, Size: e.Size})
	}
	return incident.Report(i, x)
}

// worthReport says whether an incident has come to a point at which people read about it.
func worthReport(i incident.Incident) bool {
	return i.State == incident.Mitigated || i.State == incident.Resolved || len(i.Escalated) > 0
}

// writeReport puts the document of an incident into the incident directory, whole or not at all.
func writeReport(stateDir, id, text string) (path string, err error) {
	dir := filepath.Join(stateDir, "incidents")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("write the report of %s: %w", id, err)
	}
	name := strings.Map(func(r rune) rune {
		if r == '/' || r == os.PathSeparator || r < ' ' {
			return '-'
		}
		return r
	}, id)
	file, err := os.CreateTemp(dir, ".report-")
	if err != nil {
		return "", fmt.Errorf("write the report of %s: %w", id, err)
	}
	path = filepath.Join(dir, name+".md")
	_, err = file.WriteString(text)
	if err = errors.Join(err, file.Close()); err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		return "", errors.Join(fmt.Errorf("write the report of %s: %w", id, err), os.Remove(file.Name()))
	}
	return path, nil
}

// report writes the document of an incident that people read about now. The evidence is not listed while the store is
// down; the next change writes it anew.
func (m *healMemory) report(ctx context.Context, i incident.Incident) error {
	if !worthReport(i) || m.file == nil {
		return nil
	}
	kept, err := m.EvidenceOf(ctx, i.ID)
	if err != nil {
		m.log.Debug("evidence not listed in the report", "incident", i.ID, "error", err)
	}
	_, err = writeReport(m.dir, i.ID, reportOf(i, m.file, kept, time.Now()))
	return err
}
