// Command engines runs the end-to-end tests against newer engines than the machine's, one after the other, and writes
// down how they went.
package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"

	"composure/test/results"
)

// suites have the newer engines: 26.1 and 28.5 in November 2026.
var suites = []string{"trixie", "forky"}

var summary = regexp.MustCompile(`(?m)^\d+ passed, \d+ failed`)

func main() {
	if len(os.Args) > 1 {
		suites = os.Args[1:]
	}
	failed := false
	for _, suite := range suites {
		failed = run(suite) != nil || failed
	}
	if failed {
		os.Exit(1)
	}
}

// run tests one engine and writes the result down.
func run(suite string) error {
	fmt.Printf("== the engine of %s\n", suite)
	const tests = `docker version --format 'engine {{.Server.Version}}' && go run ./hack/testsum -count=1 -timeout 40m ./test/e2e`
	cmd := exec.Command("hack/engines.sh", suite, "sh", "-c", tests)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = io.MultiWriter(os.Stdout, &out), os.Stderr
	err := cmd.Run()
	version := regexp.MustCompile(`engine (\S+)`).FindSubmatch(out.Bytes())
	if version == nil {
		version = [][]byte{nil, []byte("none")}
	}
	verdict := string(summary.Find(out.Bytes()))
	if verdict == "" {
		verdict = fmt.Sprintf("FAILED: %v", err)
	}
	if writeErr := results.Add("End-to-end tests on newer engines", "make test-engines", results.Figure{Name: "suite", Value: suite},
		results.Figure{Name: "engine", Value: string(version[1])}, results.Figure{Name: "result", Value: verdict}); writeErr != nil {
		fmt.Fprintln(os.Stderr, writeErr)
		return writeErr
	}
	return err
}
