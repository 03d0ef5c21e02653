//go:build linux

// Package rig is what the crash matrix and the chaos run stand on: a compose project on an engine, which the built binary
// works on, and which tells by itself when two containers of one service ran at once, or when rows are lost.
package rig

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"composure/test/dockerd"
	"composure/test/proxy"
)

// Engine is the engine that a stack runs on.
type Engine struct {
	Host    string                                           // for -H; empty: the default
	Dial    proxy.Dial                                       // to its socket
	Command func(dir, name string, args ...string) *exec.Cmd // prepares a program on its host
	Signal  func(cmd *exec.Cmd, signal syscall.Signal) error // to a program that Command has prepared
	Process func(cmd *exec.Cmd) int                          // its process id, as the machine sees it; 0: none
}

// System is the engine that the tests use.
func System() Engine {
	return Engine{Host: os.Getenv("DOCKER_HOST"), Dial: proxy.System,
		Command: func(dir, name string, args ...string) *exec.Cmd {
			cmd := exec.Command(name, args...)
			cmd.Dir = dir
			return cmd
		},
		Signal:  func(cmd *exec.Cmd, signal syscall.Signal) error { return cmd.Process.Signal(signal) },
		Process: func(cmd *exec.Cmd) int { return cmd.Process.Pid },
	}
}

// Private is a daemon of the test's own.
func Private(e *dockerd.Engine) Engine {
	return Engine{Host: e.Host, Dial: e.Dial, Command: e.CommandIn, Signal: dockerd.Signal, Process: dockerd.Process}
}

// Docker runs the docker command line and returns what it prints.
func (e Engine) Docker(args ...string) (string, error) {
	if e.Host != "" {
		args = append([]string{"-H", e.Host}, args...)
	}
	out, err := exec.Command("docker", args...).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("docker %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out)), err
}

// Get reads a path of the engine's API, such as "/containers/json", into a value. A missing object is an error.
func (e Engine) Get(ctx context.Context, path string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		return e.Dial(ctx, network, address)
	}}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://engine"+path, nil)
	if err != nil {
		return err
	}
	answer, err := client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", path, answer.Status)
	}
	return json.NewDecoder(answer.Body).Decode(into)
}

// binary is the program under test.
var binary string

// Main builds the binary, runs the tests of a package and returns their exit status; after, which may be nil, is told it
// first. More tests run at a time than there are processors: most of the time is spent waiting for the engine.
func Main(m *testing.M, after func(code int) error) int {
	flag.Parse()
	if f := flag.Lookup("test.parallel"); f.Value.String() == f.DefValue {
		_ = f.Value.Set("5")
	}
	dir, err := os.MkdirTemp("", "composure-rig")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "composure")
	if out, err := exec.Command("go", "build", "-o", path, "composure/cmd/composure").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build composure: %v: %s", err, out)
		return 1
	}
	binary = path
	code := m.Run()
	if after != nil {
		if err := after(code); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return code
}
