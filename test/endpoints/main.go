// Command endpoints runs the tests on the real engine, which go through proxies that allow only what `composure endpoints`
// lists for the mode of each command, and reports what is listed and was never called: a proxy need not allow it.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"composure/test/proxy"
)

// suites call whatever the program can call.
var suites = []string{"./test/e2e", "./test/cli", "./test/heal"}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	dir, err := os.MkdirTemp("", "composure-endpoints")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	calls := filepath.Join(dir, "calls")
	cmd := exec.Command("go", append([]string{"run", "./hack/testsum", "-count=1", "-p", "1", "-timeout", "30m"}, suites...)...)
	cmd.Env = append(os.Environ(), proxy.CallsFile+"="+calls)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	failed := cmd.Run()
	text, err := os.ReadFile(calls)
	if err != nil {
		return err
	}
	uncalled := proxy.Uncalled(strings.Split(string(text), "\n"))
	for _, e := range uncalled {
		fmt.Printf("listed for %s and never called there: %s %s\n", e.Mode, e.Method, e.Path)
	}
	if len(uncalled) > 0 {
		return fmt.Errorf("%d endpoints are listed and never called", len(uncalled))
	}
	return failed
}
