package spec

import (
	"bytes"
	"os"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

var (
	yamlLine      = regexp.MustCompile(`(?s)^(?:line|load error in \w+ at L)?\s*(\d+)(?:\.C\d+)?: (.*)$`)
	yamlDuplicate = regexp.MustCompile(`line (\d+): mapping key (".*") already defined at line (\d+)`)
	yamlColumn    = regexp.MustCompile(`at L(\d+)\.C\d+: (.*)`)
	yamlCycle     = regexp.MustCompile(`cycle detected: node at path (\S+) references node at path (\S+)`)
	yamlConstruct = regexp.MustCompile("cannot construct \\S+ `(.*)` as a (\\S+)")
)

// yamlFixes are the ways out of what people get wrong most.
var yamlFixes = []struct{ said, fix string }{
	{"not in UTF-8", "save the file as UTF-8"},
	{"cannot start any token", "indent with spaces, not with tabs"},
	{"did not find expected key", "check the indentation of this line and the one before"},
	{"mapping values are not allowed", "put quotes around a text that contains a colon"},
	{"unexpected end of stream", "close the quote"},
	{"did not find expected ',' or ']'", "close the list with ]"},
	{"did not find expected ',' or '}'", "close the mapping with }"},
	{"unknown anchor", "define the anchor before this line"},
}

// yaml explains a syntax error: those have a line already.
func (x *explainer) yaml(m []string) *Error {
	pos, said := Position{File: m[1]}, m[2]
	if d := yamlDuplicate.FindStringSubmatch(said); d != nil {
		pos.Line = number(d[1])
		return &Error{Pos: pos, Key: strings.Trim(d[2], `"`), Problem: "stands on line " + d[3] + " already", Fix: "keep one of the two"}
	}
	if c := yamlCycle.FindStringSubmatch(said); c != nil {
		return x.at(c[2], "contains itself", "remove the alias")
	}
	if c := yamlConstruct.FindStringSubmatch(said); c != nil {
		e := x.about(c[1], "the value is not of the type "+c[2], "correct the value or remove the type")
		return e
	}
	if l := yamlColumn.FindStringSubmatch(said); l != nil {
		pos.Line, said = number(l[1]), l[2]
	} else if l := yamlLine.FindStringSubmatch(said); l != nil {
		pos.Line, said = number(l[1]), l[2]
	} else if strings.Contains(said, "control characters") {
		pos.Line, said = x.controlCharacter(m[1]), "a control character stands here"
	}
	if strings.Contains(said, "UTF-8") && pos.Line == 0 {
		pos.Line, said = x.notUTF8(m[1]), "the text is not in UTF-8"
	}
	fix := "correct the YAML"
	for _, f := range yamlFixes {
		if strings.Contains(said, f.said) {
			fix = f.fix
		}
	}
	return &Error{Pos: pos, Problem: "is not valid YAML: " + oneLine(said), Fix: fix}
}

// content returns a file as it was loaded.
func (x *explainer) content(file string) []byte {
	for _, f := range x.sel.files {
		if f.Filename == file {
			return f.Content
		}
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	return content
}

func (x *explainer) controlCharacter(file string) int {
	for i, line := range bytes.Split(x.content(file), []byte("\n")) {
		if slices.ContainsFunc(line, func(b byte) bool { return b < ' ' && b != '\t' && b != '\r' || b == 0x7f }) {
			return i + 1
		}
	}
	return 0
}

func (x *explainer) notUTF8(file string) int {
	for i, line := range bytes.Split(x.content(file), []byte("\n")) {
		if !utf8.Valid(line) {
			return i + 1
		}
	}
	return 0
}

func lineMentioning(file, variable string) int {
	content, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	for i, line := range strings.Split(string(content), "\n") {
		if mentions(line, variable) {
			return i + 1
		}
	}
	return 0
}
