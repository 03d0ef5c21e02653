//go:build unix

package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"
)

// lockFile takes an exclusive lock on a file, which the kernel releases when the process ends. The file stays.
func lockFile(ctx context.Context, path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), f.Close())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// processID identifies a process beyond its pid: "boot id/pid namespace/start time". Only a reader with the same boot id
// and namespace can tell whether it lives: a container's pids are not the host's, and two machines may share a name.
// It is empty where /proc does not say; then only time ends a lease.
func processID(pid int) string {
	where, start := pidSpace(), startTime(pid)
	if where == "" || start == "" {
		return ""
	}
	return where + "/" + start
}

// processDead says whether the process is known to be gone.
func processDead(pid int, id string) bool {
	cut := strings.LastIndexByte(id, '/')
	if pid <= 0 || cut < 0 || id[:cut] != pidSpace() {
		return false
	}
	// Signal 0 only asks; it tells "gone" from "hidden" where /proc is mounted with hidepid.
	if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return true
	}
	start := startTime(pid)
	return start != "" && start != id[cut+1:]
}

func pidSpace() string {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	ns, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(boot)) + "/" + ns
}

// startTime returns when a process started, in clock ticks since boot; "dead" for one that only waits to be reaped;
// empty when it cannot be read.
func startTime(pid int) string {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	// The command in parentheses may hold anything, so count from the last one: state is field 3, start time 22.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	if len(fields) < 20 {
		return ""
	}
	if fields[0] == "Z" || fields[0] == "X" {
		return "dead"
	}
	return fields[19]
}
