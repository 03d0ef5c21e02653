package main

import (
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// TestExamples: every command shows how it is used, and every example is one that the program takes: the command is
// there, its flags are, and it accepts so many arguments.
func TestExamples(t *testing.T) {
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		if cmd.Name() == "help" || cmd.Name() == "completion" || cmd.Hidden {
			return
		}
		if strings.TrimSpace(cmd.Example) == "" {
			t.Errorf("%s has no example", cmd.CommandPath())
		}
		own := false
		for line := range strings.Lines(cmd.Example) {
			fields := words(t, line)
			for len(fields) > 0 && strings.Contains(fields[0], "=") { // an environment
				fields = fields[1:]
			}
			if len(fields) == 0 {
				continue
			}
			if fields[0] != "composure" {
				t.Errorf("%s: an example that is not of composure: %s", cmd.CommandPath(), line)
				continue
			}
			found, err := taken(fields[1:])
			if err != nil {
				t.Errorf("%s: the example %q is wrong: %v", cmd.CommandPath(), strings.TrimSpace(line), err)
				continue
			}
			own = own || strings.HasPrefix(found.CommandPath()+" ", cmd.CommandPath()+" ")
		}
		if !own {
			t.Errorf("%s: no example is of it", cmd.CommandPath())
		}
		for _, below := range cmd.Commands() {
			walk(below)
		}
	}
	walk(newRoot(&app{stdout: io.Discard, stderr: io.Discard}))
}

// taken is the command that the program takes a command line for; the error says why it would not.
func taken(args []string) (*cobra.Command, error) {
	root := newRoot(&app{stdout: io.Discard, stderr: io.Discard})
	root.InitDefaultCompletionCmd(args...)
	found, rest, err := root.Find(args)
	if err == nil {
		err = found.ParseFlags(rest)
	}
	if err == nil {
		err = found.ValidateArgs(found.Flags().Args())
	}
	if err == nil {
		err = found.ValidateFlagGroups()
	}
	return found, err
}

// TestPages: every command line of composure in a page is one that the program takes. Those to be typed
// are run by test/install.
func TestPages(t *testing.T) {
	inline := regexp.MustCompile("`([^`\n]*\\bcomposure [^`\n]*)`")
	block := regexp.MustCompile("(?ms)^```\\w*\n(.*?)^```$")
	call := regexp.MustCompile(`(?:^|[(;|&]\s*|docker |sudo )composure ([^|;&)>\n]*)`)
	seen := 0
	for _, page := range pages(t) {
		data, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		text := string(data)
		var lines []string
		for _, found := range block.FindAllStringSubmatch(text, -1) {
			for line := range strings.Lines(found[1]) {
				typed, isTyped := strings.CutPrefix(line, "$ ")
				if isTyped || !strings.Contains(found[1], "$ ") { // else it is what was said
					lines = append(lines, typed)
				}
			}
		}
		for _, found := range inline.FindAllStringSubmatch(block.ReplaceAllString(text, ""), -1) {
			if !strings.ContainsAny(found[1], "[/") && !strings.HasPrefix(found[1], "docker-") { // not a synopsis, not a path
				lines = append(lines, found[1])
			}
		}
		for _, line := range lines {
			for _, found := range call.FindAllStringSubmatch(line, -1) {
				seen++
				if _, err := taken(words(t, strings.ReplaceAll(found[1], "CAUSE", "unknown"))); err != nil {
					t.Errorf("%s: `composure %s`: %v", page, strings.TrimSpace(found[1]), err)
				}
			}
		}
	}
	if seen < 30 {
		t.Errorf("only %d command lines were found", seen)
	}
}

// pages are the project's pages.
func pages(t *testing.T) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if d != nil && d.IsDir() && (d.Name() == "testdata" || d.Name() == ".git") {
			return filepath.SkipDir
		}
		if strings.HasSuffix(path, ".md") {
			all = append(all, path)
		}
		return err
	})
	if err != nil || len(all) < 7 {
		t.Fatalf("pages %v, %v", all, err)
	}
	return all
}

// words splits a line as a shell does, as far as examples need it: quotes, comments, and nothing after a pipe or a
// redirection.
func words(t *testing.T, line string) []string {
	t.Helper()
	var all []string
	word, quoted, any := "", false, false
	for _, r := range strings.TrimSpace(line) + " " {
		switch {
		case r == '"':
			quoted, any = !quoted, true
		case quoted || (r != ' ' && r != '\t'):
			word, any = word+string(r), true
		case any:
			if word == "|" || word == ">" || word == "#" || word == "&" {
				return all
			}
			all, word, any = append(all, word), "", false
		}
	}
	if quoted {
		t.Fatalf("a quote without its end: %s", line)
	}
	return all
}
