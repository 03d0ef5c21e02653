package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// event is one line of `go test -json`; see `go doc test2json`.
type event struct {
	Action      string
	Package     string
	ImportPath  string // of build-output and build-fail
	Test        string // empty: about the package
	Elapsed     float64
	Output      string
	FailedBuild string // on a package's fail: what did not build
}

// key names a test, or a package when test is empty.
type key struct{ pkg, test string }

// keep is how many bytes of a test's output are kept, in case it fails: enough to
// see why, whatever the test prints.
const keep = 256 << 10

type summary struct {
	out            io.Writer
	passed, failed int
	output         map[key]*tail
	unfinished     map[string][]string // by package: tests that started and have not ended
	broken         map[string]bool     // packages with a failure that is counted already
}

func newSummary(out io.Writer) *summary {
	return &summary{
		out:        out,
		output:     map[key]*tail{},
		unfinished: map[string][]string{},
		broken:     map[string]bool{},
	}
}

func (s *summary) event(e event) {
	k := key{e.Package, e.Test}
	switch {
	case e.Action == "build-output":
		s.append(key{e.ImportPath, ""}, e.Output)
	case e.Action == "output":
		s.append(k, e.Output)
	case e.Test == "":
		s.packageEvent(e)
	case e.Action == "run":
		s.unfinished[e.Package] = append(s.unfinished[e.Package], e.Test)
	case e.Action == "pass":
		s.passed++
		s.end(k)
	case e.Action == "fail":
		s.fail(k, "FAIL")
		s.end(k)
	case e.Action == "skip":
		s.fail(k, "FAIL (skipped: not allowed)")
		s.end(k)
	}
}

func (s *summary) packageEvent(e event) {
	k := key{e.Package, ""}
	switch e.Action {
	case "pass":
		fmt.Fprintf(s.out, "ok    %s  %.1fs\n", e.Package, e.Elapsed)
	case "fail":
		for _, test := range slices.Clone(s.unfinished[e.Package]) {
			s.fail(key{e.Package, test}, "FAIL (did not finish)")
			s.end(key{e.Package, test})
		}
		if !s.broken[e.Package] {
			if e.FailedBuild != "" && e.FailedBuild != e.Package {
				s.append(k, s.output[key{e.FailedBuild, ""}].String())
			}
			s.fail(k, "FAIL (package)")
		} else {
			s.print(k)
		}
		fmt.Fprintf(s.out, "FAIL  %s  %.1fs\n", e.Package, e.Elapsed)
	case "skip": // a package without tests
	default:
		return
	}
	delete(s.output, k)
}

// fail counts one failure and shows what was printed.
func (s *summary) fail(k key, verdict string) {
	s.failed++
	s.broken[k.pkg] = true
	name := k.pkg
	if k.test != "" {
		name += "." + k.test
	}
	fmt.Fprintf(s.out, "\n%s %s\n", verdict, name)
	s.print(k)
}

func (s *summary) print(k key) {
	for line := range strings.Lines(s.output[k].String()) {
		if frame(line) {
			continue
		}
		fmt.Fprintf(s.out, "    %s\n", strings.TrimRight(line, "\n"))
	}
}

// frame reports whether a line only repeats what the events say.
func frame(line string) bool {
	text := strings.TrimLeft(line, " ")
	for _, prefix := range []string{"=== RUN", "=== PAUSE", "=== CONT", "=== NAME", "--- FAIL:", "--- SKIP:", "FAIL\t", "FAIL\n", "PASS\n"} {
		if strings.HasPrefix(text, prefix) {
			return true
		}
	}
	return false
}

// end forgets a test that is over.
func (s *summary) end(k key) {
	delete(s.output, k)
	s.unfinished[k.pkg] = slices.DeleteFunc(s.unfinished[k.pkg], func(test string) bool { return test == k.test })
}

// close writes the closing line. A go test that failed without saying which
// package did (a bad argument, a signal) counts as one failure.
func (s *summary) close(success bool) {
	if !success && s.failed == 0 {
		s.failed++
		fmt.Fprint(s.out, "\nFAIL go test ended without a verdict; its message is above\n")
	}
	fmt.Fprintf(s.out, "\n%d passed, %d failed\n", s.passed, s.failed)
}

func (s *summary) append(k key, text string) {
	if s.output[k] == nil {
		s.output[k] = &tail{}
	}
	s.output[k].add(text)
}

// tail holds the last part of a text. The nil tail is empty.
type tail struct {
	text    []byte
	dropped int
}

func (t *tail) add(text string) {
	t.text = append(t.text, text...)
	if len(t.text) > 2*keep {
		t.drop()
	}
}

// drop shortens the text to keep bytes. It waits for twice as many, so that the
// copying stays cheap.
func (t *tail) drop() {
	excess := len(t.text) - keep
	t.text = append(t.text[:0], t.text[excess:]...)
	t.dropped += excess
}

func (t *tail) String() string {
	if t == nil {
		return ""
	}
	if t.dropped > 0 {
		return fmt.Sprintf("[%d bytes before this are left out]\n%s", t.dropped, t.text)
	}
	return string(t.text)
}
