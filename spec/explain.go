package spec

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
	"go.yaml.in/yaml/v4"
)

// explain turns what compose-go said into Errors with a place. compose-go names a key or a value more often than a
// line, so the place comes from the index. Values are repeated only where the key does not look like a secret.
func explain(err error, sel *selection, positions *Positions) error {
	var own *Error
	if errors.As(err, &own) {
		return own
	}
	x := &explainer{sel: sel, positions: positions}
	var errs []*Error
	for _, one := range split(err) {
		e := x.explain(one.Error())
		e.Err = one
		errs = append(errs, e)
	}
	return joined(errs)
}

// split separates joined errors, and the lines of a decoding error.
func split(err error) []error {
	if list, ok := err.(interface{ Unwrap() []error }); ok {
		var errs []error
		for _, one := range list.Unwrap() {
			errs = append(errs, split(one)...)
		}
		return errs
	}
	rest, ok := strings.CutPrefix(err.Error(), "decoding failed due to the following error(s):\n\n")
	if !ok {
		return []error{err}
	}
	var errs []error
	for line := range strings.Lines(rest) {
		errs = append(errs, errors.New(strings.TrimSpace(line)))
	}
	return errs
}

type explainer struct {
	sel       *selection
	positions *Positions
}

// saying is one form of compose-go's messages and what it means.
type saying struct {
	form *regexp.Regexp
	mean func(x *explainer, m []string) *Error
}

func say(form string, mean func(x *explainer, m []string) *Error) saying {
	return saying{regexp.MustCompile(`(?s)^` + form + `$`), mean}
}

func (x *explainer) explain(message string) *Error {
	for _, s := range sayings() {
		if m := s.form.FindStringSubmatch(message); m != nil {
			return s.mean(x, m)
		}
	}
	return &Error{Pos: x.first(), Problem: oneLine(Mask("", message)), Fix: "correct the file"}
}

func (x *explainer) first() Position { return Position{File: x.sel.files[0].Filename} }

// at makes an Error about a key as compose-go writes it: services.web.ports.[0], 'services[web].ports[0]', ports.0.
func (x *explainer) at(key, problem, fix string) *Error {
	path := keyPath(key)
	return &Error{Pos: x.positions.Of(path...), Key: keyText(path), Problem: problem, Fix: fix}
}

// about makes an Error about a value, at the first place where it stands.
func (x *explainer) about(value, problem, fix string) *Error {
	pos, key := x.mentioning(value)
	if pos.File == "" {
		pos = x.first()
	}
	return &Error{Pos: pos, Key: key, Problem: problem, Fix: fix}
}

var indexed = regexp.MustCompile(`\[([^\]]*)\]`)

// keyPath reads the ways in which compose-go writes a path.
func keyPath(key string) []string {
	key = indexed.ReplaceAllStringFunc(key, func(text string) string {
		if inner := text[1 : len(text)-1]; !isNumber(inner) && inner != "" {
			return "." + inner
		}
		return "." + text
	})
	var path []string
	for part := range strings.SplitSeq(key, ".") {
		switch {
		case part == "" || part == "[]":
		case isNumber(part) && len(path) > 2:
			path = append(path, "["+part+"]")
		default:
			path = append(path, part)
		}
	}
	return path
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// reason is the system's word for a failure, without the path that the Error names already.
func reason(err error) string {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err.Error()
	}
	return err.Error()
}

var envFileLine = regexp.MustCompile(`(?s)failed to read (.+): line (\d+): (.*)$`)

// envFileError places what is wrong with an env file. The line's text is left out: env files are full of secrets.
func envFileError(err error, files []string) error {
	if m := envFileLine.FindStringSubmatch(err.Error()); m != nil {
		return (&explainer{}).envFile(m)
	}
	e := &Error{Problem: "cannot be read", Fix: "write lines of the form KEY=value", Err: err}
	if len(files) > 0 {
		e.Pos.File = files[len(files)-1]
	}
	return e
}

func (x *explainer) envFile(m []string) *Error {
	pos := Position{File: m[1], Line: number(m[2])}
	if strings.Contains(m[3], "unterminated") {
		return &Error{Pos: pos, Problem: "a quote is not closed", Fix: "close it at the end of the value"}
	}
	problem, _, _ := strings.Cut(m[3], `"`)
	return &Error{Pos: pos, Problem: strings.TrimSpace(problem), Fix: "write lines of the form KEY=value"}
}

func number(text string) int {
	n := 0
	_, _ = fmt.Sscan(text, &n)
	return n
}

// mentioning returns the first place where a value contains the text, as written or after interpolation, and its key.
func (x *explainer) mentioning(text string) (Position, string) {
	return x.positions.where(func(_ []string, value string) bool {
		return text != "" && (strings.Contains(value, text) || strings.Contains(interpolated(value, x.sel.env), text))
	})
}

// where returns the first value that is wanted, in the order of the files, and its key.
func (p *Positions) where(wanted func(path []string, value string) bool) (Position, string) {
	for i := len(p.documents) - 1; i >= 0; i-- {
		d := p.documents[i]
		if path, line := search(d.root, wanted, nil); line > 0 {
			return Position{File: d.file, Line: line}, keyText(path)
		}
	}
	return Position{}, ""
}

// search looks only at what is written here, not behind aliases.
func search(node *yaml.Node, wanted func(path []string, value string) bool, path []string) ([]string, int) {
	if node.Kind == yaml.ScalarNode && wanted(path, node.Value) {
		return path, node.Line
	}
	step := 1
	if node.Kind == yaml.MappingNode {
		step = 2
	}
	for i := 0; i+step <= len(node.Content); i += step {
		element := fmt.Sprintf("[%d]", i)
		if step == 2 {
			element = node.Content[i].Value
		}
		next := append(path[:len(path):len(path)], element)
		if found, line := search(node.Content[i+step-1], wanted, next); line > 0 {
			return found, line
		}
	}
	return nil, 0
}

// unset returns where an unset variable is used: in a compose file, or in an env file of a service. Enabled is false
// when only services that are not enabled use it.
func (p *Positions) unset(variable string, disabled types.Services) (pos Position, enabled bool) {
	pos, _ = p.where(func(path []string, value string) bool {
		if len(path) > 1 && path[0] == "services" {
			if _, off := disabled[path[1]]; off {
				return false
			}
		}
		return mentions(value, variable)
	})
	if pos.File != "" {
		return pos, true
	}
	for _, service := range slices.Sorted(maps.Keys(p.envFiles)) {
		for _, file := range p.envFiles[service] {
			if line := lineMentioning(file, variable); line > 0 {
				return Position{File: file, Line: line}, true
			}
		}
	}
	pos, _ = p.where(func(_ []string, value string) bool { return mentions(value, variable) })
	return pos, pos.File == ""
}

// fileMention finds the place that names a file, by its path as written or by the end of it.
func (x *explainer) fileMention(path string) (Position, string) {
	if relative, err := filepath.Rel(x.sel.dir, path); err == nil {
		if pos, key := x.mentioning(relative); pos.File != "" {
			return pos, key
		}
	}
	return x.mentioning(filepath.Base(path))
}
