// Command testsum runs `go test` with the arguments given, shows what failed and
// closes with one line: N passed, N failed.
//
//	go run ./hack/testsum -timeout 15m ./...
//
// Counted are test functions and subtests. A skipped test counts as failed: a
// suite that quietly leaves parts out proves nothing. So do a package that does
// not build, a panic outside a test and a test that was still running when its
// binary was killed.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	// An interrupt from the terminal reaches go test too; the summary is still due.
	signal.Ignore(syscall.SIGINT)

	command := exec.Command("go", append([]string{"test", "-json"}, os.Args[1:]...)...)
	volumes := watchVolumes()
	ok, err := run(command, os.Stdout)
	volumes.sweep()
	if err != nil {
		fmt.Fprintf(os.Stderr, "testsum: %v\n", err)
	}
	if !ok || err != nil {
		os.Exit(1)
	}
}

// run executes a `go test -json` command, reports on out and returns whether
// everything passed.
func run(command *exec.Cmd, out io.Writer) (bool, error) {
	// One pipe for both, so that nothing is written to out behind the summary's back.
	events, w := io.Pipe()
	command.Stdout, command.Stderr = w, w
	command.WaitDelay = 10 * time.Second // a process that a test left behind may hold the pipe
	if err := command.Start(); err != nil {
		return false, fmt.Errorf("start go test: %w", err)
	}
	ended := make(chan error, 1)
	go func() {
		ended <- command.Wait()
		w.Close()
	}()
	s := newSummary(out)
	readErr := s.read(events)
	waitErr := <-ended
	s.close(waitErr == nil)

	var exit *exec.ExitError
	if errors.As(waitErr, &exit) {
		waitErr = nil // its failures have been counted
	}
	return s.failed == 0, errors.Join(readErr, waitErr)
}

// read feeds every line to the summary. A line that is no event is shown as it is.
func (s *summary) read(r io.Reader) error {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			var e event
			if json.Unmarshal(line, &e) == nil && e.Action != "" {
				s.event(e)
			} else {
				s.out.Write(line)
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read go test: %w", err)
		}
	}
}
