package engine

import (
	"context"
	"errors"
	"os"
	"regexp"
	"strings"
	"sync"

	"github.com/docker/docker/api/types/mount"

	"composure/controller/observe"
)

// standing adds where this process stands: in which container of the engine, and what it sees of the host there. An
// engine that does not know the container is not the one around this process.
func (e *Engine) standing(ctx context.Context, about *observe.Engine) error {
	id := ownContainer()
	if id == "" {
		return nil
	}
	c, err := e.Container(ctx, id)
	if errors.Is(err, observe.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	about.Self, about.Local = c.ID, true
	for _, m := range c.Mounts {
		if m.Type == mount.TypeBind && m.Source == m.Destination {
			about.Shared = append(about.Shared, m.Source)
		}
	}
	return nil
}

// ownContainer is the container that this process is in, and stays in. A host with many containers has a long mount table, which
// the kernel writes anew for each who reads it.
var ownContainer = sync.OnceValue(func() string {
	groups, _ := os.ReadFile("/proc/self/cgroup") // what is not there is no container
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	return containerOf(string(groups), string(mounts))
})

// Self is the id of the container that Composure runs in, as Engine last found it; empty when it is none of this engine's.
func (e *Engine) Self() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.about.Self
}

var (
	groupPath = regexp.MustCompile(`[/-]([0-9a-f]{64})(?:\.scope)?$`) // /docker/ID, docker-ID.scope
	ownFile   = regexp.MustCompile(`/([0-9a-f]{64})/(?:hostname|hosts|resolv\.conf)$`)
)

// containerOf finds the id of the container that this process is in, from its control groups, or, where those are
// hidden by a namespace, from the files that the engine mounts into every container; empty on a host. Whoever shares
// another container's network has that one's files, so the groups come first. In a mount table field 4 is what is
// mounted and field 5 where (proc_pid_mountinfo(5)).
func containerOf(groups, mounts string) string {
	for line := range strings.Lines(groups) {
		if found := groupPath.FindStringSubmatch(strings.TrimSpace(line)); found != nil {
			return found[1]
		}
	}
	for line := range strings.Lines(mounts) {
		fields := strings.Fields(line)
		if len(fields) < 5 || (fields[4] != "/etc/hostname" && fields[4] != "/etc/hosts" && fields[4] != "/etc/resolv.conf") {
			continue
		}
		if found := ownFile.FindStringSubmatch(fields[3]); found != nil {
			return found[1]
		}
	}
	return ""
}
