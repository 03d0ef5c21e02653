package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"

	"composure/test/ports"
)

// outage: how long a client cannot reach a service while it is recreated for an edited variable, beside the bare stop
// and start of the engine.
func (b *bench) outage(ctx context.Context) error {
	name, round := project+"-outage", 0
	b.projects = append(b.projects, name)
	port, release, err := ports.Reserve()
	if err != nil {
		return err
	}
	defer release()
	edit := func() (string, error) { // a new value each time
		round++
		text := fmt.Sprintf("name: %s\nservices:\n  web:\n    image: composure-test/busybox:1\n    command: [httpd, -f, -p, \"80\"]\n    stop_signal: SIGKILL\n    ports: [\"127.0.0.1:%d:80\"]\n    environment:\n      ROUND: \"%d\"\n", name, port, round)
		path := filepath.Join(b.dir, "outage.yaml")
		return path, os.WriteFile(path, []byte(text), 0o600)
	}
	file, err := edit()
	if err != nil {
		return err
	}
	if _, _, err := timed(b.composure(ctx, file, "reconcile", "--once")); err != nil {
		return err
	}
	programs := map[string]func(file string) error{
		"": func(file string) error { _, _, err := timed(b.composure(ctx, file, "reconcile", "--once")); return err },
		"bare stop and start": func(string) error {
			c, err := b.api.ContainerInspect(ctx, name+"-web-1")
			if err == nil {
				err = b.api.ContainerStop(ctx, c.ID, container.StopOptions{})
			}
			if err == nil {
				err = b.api.ContainerStart(ctx, c.ID, container.StartOptions{})
			}
			return err
		},
	}
	for version, path := range b.peers {
		programs[version+" up -d"] = func(file string) error {
			_, _, err := timed(exec.CommandContext(ctx, path, "-f", file, "up", "-d"))
			return err
		}
	}
	times := map[string][]time.Duration{}
	for range *rounds {
		for _, who := range sorted(programs) {
			if file, err = edit(); err != nil {
				return err
			}
			gap, err := longestGap(port, func() error { return programs[who](file) })
			if err != nil {
				return err
			}
			times[who] = append(times[who], gap)
		}
	}
	for _, who := range sorted(programs) {
		target := ""
		if strings.HasPrefix(who, "bare") {
			target = "≤ 1.2"
		}
		if who != "" {
			b.add("outage of a recreation, seen by a client", median(times[""]), median(times[who]), who, target)
		}
	}
	return nil
}

// longestGap is the longest time without an answer on the port while do runs and until it answers again.
func longestGap(port int, do func() error) (time.Duration, error) {
	done := make(chan error, 1)
	go func() { done <- do() }()
	var longest time.Duration
	var ended error
	last, running := time.Now(), true
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		select {
		case ended = <-done:
			running = false
		default:
		}
		if answers(port) {
			longest, last = max(longest, time.Since(last)), time.Now()
			if !running {
				return longest, ended
			}
		}
	}
	return 0, fmt.Errorf("port %d does not answer any more: %v", port, ended)
}

// answers asks for a page. A connection alone proves nothing: the engine's proxy accepts for a dead application.
func answers(port int) bool {
	conn, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", port), 50*time.Millisecond)
	if err != nil {
		return false
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		return false
	}
	if _, err := conn.Write([]byte("GET / HTTP/1.0\r\n\r\n")); err != nil {
		return false
	}
	n, err := conn.Read(make([]byte, 16))
	return err == nil && n > 0
}
