package heal

import (
	"strings"
	"syscall"
	"testing"
)

// TestRebuild: a part of the application is missing in the image. It is built anew without its cache, and the new image
// runs: a restart, or a build from the cache, would have the same file as before.
func TestRebuild(t *testing.T) {
	t.Parallel()
	s := newStack(t, "rebuild", map[string]string{
		"flag/none":     "",
		"image/context": "",
		"image/Dockerfile": "FROM composure-test/busybox:1\n" +
			"RUN cat /proc/sys/kernel/random/uuid > /module\n",
		"compose.yaml": strings.Replace(policy, "remediation: {", "remediation: {rebuild: true, ", 1) + `services:
  web:
    build: ./image
    command: [sh, -c, "if cmp -s /module /flag/broken; then echo \"ModuleNotFoundError: No module named 'uuid'\"; exit 1; fi; exec sleep 1000"]
    restart: unless-stopped
    stop_signal: SIGKILL
    volumes: [./flag:/flag]
`,
	})
	s.deploy(0)
	t.Cleanup(func() { _, _ = docker("rmi", "-f", s.name+"-web") })
	s.watch()
	before := s.inspect("web").Image
	s.write("flag/broken", s.docker("exec", s.container("web"), "cat", "/module")+"\n")
	s.must(syscall.Kill(s.inspect("web").State.Pid, syscall.SIGKILL))
	s.until("another image runs", func() bool { c := s.look("web"); return c != nil && c.Image != before && s.well("web") })
	i := s.over("web")
	s.diagnosed(i, "dependency_failure")
	s.tried(i, "rebuild")
	s.has("web-1")
	if n := len(s.incidents()); n != 1 {
		t.Errorf("%d incidents", n)
	}
	s.wants(0, []string{"drift"}, "rebuild")
	s.deploy(0) // a deployment takes the image that the file's tag names now: the same
	s.wants(0, []string{"drift"})
	if s.inspect("web").Image == before {
		t.Error("the deployment went back")
	}
}
