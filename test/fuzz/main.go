// Command fuzz runs every fuzz target of the module for a time, one after the other, and writes down how they went.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"composure/test/results"
)

func main() {
	each := flag.Duration("time", 30*time.Second, "for each target")
	flag.Parse()
	if err := run(*each); err != nil {
		fmt.Fprintln(os.Stderr, "fuzz:", err)
		os.Exit(1)
	}
}

// target is a fuzz target and the directory of its package.
type target struct{ dir, name string }

func run(each time.Duration) error {
	targets, err := find("cmd", "controller", "spec", "test")
	if err != nil {
		return err
	}
	if len(targets) == 0 {
		return errors.New("there are no fuzz targets here")
	}
	inputs, failed := 0, []string{}
	for _, t := range targets {
		n, err := t.run(each)
		if inputs += n; err != nil {
			failed = append(failed, t.name)
		}
	}
	verdict := "clean"
	if len(failed) > 0 {
		verdict = "FAILED: " + strings.Join(failed, ", ")
		err = errors.New(verdict)
	}
	return errors.Join(err, results.Add("Fuzz targets", "make fuzz FUZZTIME=2m", results.Figure{Name: "targets", Value: strconv.Itoa(len(targets))},
		results.Figure{Name: "each for", Value: each.String()}, results.Figure{Name: "inputs", Value: strconv.Itoa(inputs)}, results.Figure{Name: "result", Value: verdict}))
}

var declared = regexp.MustCompile(`(?m)^func (Fuzz\w+)\(`)

// find returns the targets below directories, in order.
func find(roots ...string) (found []target, err error) {
	for _, root := range roots {
		err = errors.Join(err, filepath.WalkDir(root, func(path string, entry os.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			for _, match := range declared.FindAllSubmatch(text, -1) {
				found = append(found, target{filepath.Dir(path), string(match[1])})
			}
			return err
		}))
	}
	slices.SortFunc(found, func(a, b target) int { return strings.Compare(a.dir+" "+a.name, b.dir+" "+b.name) })
	return found, err
}

// executed is how the go command says how many inputs were tried so far.
var executed = regexp.MustCompile(`execs: (\d+)`)

// run runs one target, and returns how many inputs it was given.
func (t target) run(each time.Duration) (inputs int, err error) {
	fmt.Printf("== %s in %s\n", t.name, t.dir)
	cmd := exec.Command("go", "test", "-run", "^$", "-fuzz", "^"+t.name+"$", "-fuzztime", each.String(), "./"+t.dir)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = io.MultiWriter(os.Stdout, &out), os.Stderr
	err = cmd.Run()
	if said := executed.FindAllSubmatch(out.Bytes(), -1); len(said) > 0 {
		inputs, _ = strconv.Atoi(string(said[len(said)-1][1]))
	}
	return inputs, err
}
