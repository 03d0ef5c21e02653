package main

import (
	"os/exec"
	"strings"
	"testing"
	"time"
)

// TestVolumes: an anonymous volume that a container of the tests had goes with the run, and nobody else's does.
func TestVolumes(t *testing.T) {
	docker := func(args ...string) string {
		t.Helper()
		out, err := exec.Command("docker", args...).CombinedOutput()
		if err != nil {
			t.Fatalf("docker %v: %v: %s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	v := watchVolumes()
	made := func(name string) string {
		t.Helper()
		t.Cleanup(func() { _ = exec.Command("docker", "rm", "-fv", name).Run() })
		docker("create", "--name", name, "-v", "/data", "composure-test/busybox:1", "true")
		return docker("inspect", "--format", "{{range .Mounts}}{{.Name}}{{end}}", name)
	}
	ours, others := made("cmpsr-testsum"), made("composure-no-cmpsr-testsum")
	t.Cleanup(func() { _ = exec.Command("docker", "volume", "rm", others).Run() })
	for deadline := time.Now().Add(time.Minute); !v.has(ours); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the volume is not noted")
		}
	}
	docker("rm", "cmpsr-testsum")
	docker("rm", "composure-no-cmpsr-testsum")
	v.sweep()
	left := docker("volume", "ls", "-q")
	if strings.Contains(left, ours) {
		t.Error("the volume of a test is left")
	}
	if !strings.Contains(left, others) {
		t.Error("another one's volume was removed")
	}
}
