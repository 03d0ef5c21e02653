package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"composure/controller/diagnose"
	"composure/spec"
)

var updateReadme = flag.Bool("update-readme", false, "write the generated tables into README.md")

// TestReadme holds the README's tables to the tables that the program works with.
func TestReadme(t *testing.T) {
	const path = "../../README.md"
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	for name, table := range map[string]string{"commands": commandTable(), "causes": causeTable(), "policy": policyTable()} {
		begin, end := "<!-- "+name+" -->\n", "<!-- /"+name+" -->"
		before, rest, ok := strings.Cut(text, begin)
		have, after, closed := strings.Cut(rest, end)
		if !ok || !closed {
			t.Fatalf("README.md has no %s…%s", begin, end)
		}
		if diff := cmp.Diff(have, table); diff != "" && !*updateReadme {
			t.Errorf("%s (-README +program); go test ./cmd/composure -run Readme -update-readme:\n%s", name, diff)
		}
		text = before + begin + table + end + after
	}
	if *updateReadme {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func commandTable() string {
	var b strings.Builder
	b.WriteString("| command | what it does |\n|---|---|\n")
	root := newRoot(&app{stdout: io.Discard, stderr: io.Discard})
	for _, c := range root.Commands() {
		if !c.IsAvailableCommand() || c.Name() == "help" || c.Name() == "completion" {
			continue
		}
		fmt.Fprintf(&b, "| `composure %s` | %s |\n", strings.ReplaceAll(c.Use, "|", `\|`), c.Short)
	}
	return b.String()
}

func causeTable() string {
	var b strings.Builder
	b.WriteString("| cause | | what is done, in this order |\n|---|---|---|\n")
	for _, c := range diagnose.Causes() {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", c.Code, c.Title, strings.Join(c.Remedies, ", "))
	}
	return b.String()
}

func policyTable() string {
	var b strings.Builder
	b.WriteString("| key | default | |\n|---|---|---|\n")
	for _, k := range spec.PolicyKeys() {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", k.Path, code(k.Default), k.Doc)
	}
	return b.String()
}

func code(text string) string {
	if text == "" {
		return ""
	}
	return "`" + text + "`"
}

// TestCausesPage holds the page about every cause to the table of the diagnosis.
func TestCausesPage(t *testing.T) {
	const path = "../../controller/diagnose/CAUSES.md"
	var b strings.Builder
	b.WriteString("# Root causes\n\nWhat `composure explain` says of each. This page is printed from the same table (`go test ./cmd/composure -run CausesPage -update-readme`).\n")
	for _, c := range diagnose.Causes() {
		fmt.Fprintf(&b, "\n## `%s`: %s\n\n*%s.* %s\n", c.Code, c.Title, c.Severity, c.Text)
		for _, part := range causeParts(c) {
			fmt.Fprintf(&b, "\n%s:\n\n", part.title)
			for _, line := range part.lines {
				fmt.Fprintf(&b, "- %s\n", line)
			}
		}
		if c.HandsOff {
			b.WriteString("\nPeople decide: an action could destroy data or evidence.\n")
		}
	}
	if *updateReadme {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(have), b.String()); diff != "" {
		t.Errorf("%s (-page +program); go test ./cmd/composure -run CausesPage -update-readme:\n%s", path, diff)
	}
}
