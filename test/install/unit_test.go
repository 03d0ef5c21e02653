// Package install holds what people install Composure with: the systemd unit and the reproducible build. The image and
// its compose snippet are tested on the engine, in test/e2e.
package install

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// exposed is the exposure level of the unit, as systemd-analyze counts it, that must not be exceeded: 10 is a service
// without any hardening.
const exposed = 3.5

// TestUnit has systemd read the unit as it would stand for /srv/shop, and count how exposed it is.
func TestUnit(t *testing.T) {
	unit, err := os.ReadFile("../../hack/composure.service")
	if err != nil {
		t.Fatal(err)
	}
	directives(t, string(unit))
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Log("systemd-analyze is not here: the unit was only read by this test")
		return
	}
	dir := t.TempDir()
	program := filepath.Join(dir, "composure") // verify wants the program to be there
	if err := os.WriteFile(program, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	unit = bytes.ReplaceAll(unit, []byte("/usr/local/bin/composure"), []byte(program))
	template, instance := filepath.Join(dir, "composure@.service"), filepath.Join(dir, "composure@srv-shop.service")
	if err := os.WriteFile(template, unit, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(template, instance); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(analyze, "verify", instance).CombinedOutput(); err != nil || len(bytes.TrimSpace(out)) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
	out, err := exec.Command(analyze, "security", "--offline=true", "--no-pager", instance).CombinedOutput()
	level := regexp.MustCompile(`Overall exposure level for \S+: ([0-9.]+)`).FindSubmatch(out)
	if level == nil {
		t.Fatalf("systemd-analyze security: %v\n%s", err, out)
	}
	if n, err := strconv.ParseFloat(string(level[1]), 64); err != nil || n > exposed {
		t.Errorf("the exposure level is %s, expected at most %.1f\n%s", level[1], exposed, out)
	}
}

// directives holds the unit to its form, where no systemd can, and to what the program relies on.
func directives(t *testing.T, unit string) {
	t.Helper()
	has, section := map[string]string{}, ""
	for n, line := range strings.Split(unit, "\n") {
		line = strings.TrimSpace(line)
		name, value, assigned := strings.Cut(line, "=")
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "[") && strings.HasSuffix(line, "]"):
			section = line
		case !assigned || section == "":
			t.Errorf("line %d is neither a section nor a setting: %s", n+1, line)
		default:
			has[section+name] = value
		}
	}
	for name, want := range map[string]string{
		"[Service]Type": "notify", "[Service]StateDirectory": "composure", "[Service]RuntimeDirectory": "composure", "[Service]RuntimeDirectoryPreserve": "yes",
		"[Service]NoNewPrivileges": "yes", "[Service]ProtectSystem": "strict", "[Install]WantedBy": "multi-user.target",
	} {
		if has[name] != want {
			t.Errorf("%s is %q, expected %q", name, has[name], want)
		}
	}
}
