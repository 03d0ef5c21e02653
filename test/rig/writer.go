//go:build linux

package rig

import "strings"

// Image is that of the services below: the distribution's own tools.
const Image = "composure-test/base:1"

// Writer is the command of a service, in YAML, that keeps rows in a volume at /data. It holds a lock there while it runs:
// a second one beside it leaves a note of that, whatever the engine or its events say. A start makes it well again.
const Writer = `[sh, -c, 'rm -f /tmp/ill; exec 9>/data/lock; flock -n 9 || { echo twice >> /data/twice; exit 1; }; exec sleep 100000']`

// Seed writes the rows of a service that runs Writer.
func (s *Stack) Seed(service string) {
	s.T.Helper()
	s.Docker("exec", s.Container(service), "sh", "-c", "seq 1 1000 > /data/rows")
}

// Intact wants the rows of a service as they were written, and that no two of its containers ever ran at once.
func (s *Stack) Intact(service string) {
	s.T.Helper()
	out := s.Docker("exec", s.Container(service), "sh", "-c", "wc -l < /data/rows; cat /data/twice 2>/dev/null || true")
	switch lines := strings.Fields(out); {
	case len(lines) == 0 || lines[0] != "1000":
		s.T.Errorf("the rows of %s are lost: %q", service, out)
	case len(lines) > 1:
		s.T.Errorf("two containers of %s ran at once: %q", service, out)
		s.Docker("exec", s.Container(service), "rm", "-f", "/data/twice")
	}
}
