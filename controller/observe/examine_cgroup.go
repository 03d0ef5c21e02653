package observe

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// group is a control group as the kernel shows it.
type group struct {
	path string
	v2   bool
}

// groupOf finds the control group of a process for one controller: a directory for each under cgroup v1, one for all
// under v2.
func groupOf(pid int, controller string) (group, error) {
	const root = "/sys/fs/cgroup"
	groups, err := os.ReadFile(filepath.Join(proc, strconv.Itoa(pid), "cgroup"))
	if err != nil {
		return group{}, err
	}
	for row := range strings.Lines(string(groups)) { // v1's come first
		fields := strings.SplitN(strings.TrimSpace(row), ":", 3)
		switch {
		case len(fields) != 3:
		case slices.Contains(strings.Split(fields[1], ","), controller):
			return group{path: filepath.Join(root, controller, fields[2])}, nil
		case fields[0] == "0" && fields[1] == "" && fields[2] != "/":
			return group{filepath.Join(root, fields[2]), true}, nil
		}
	}
	return group{}, errors.New("no control group of its own")
}

// cpuUsed is the CPU time that the control group of a process has used.
func cpuUsed(pid int) (time.Duration, error) {
	g, err := groupOf(pid, "cpuacct")
	if err != nil {
		return 0, err
	}
	if g.v2 {
		used, err := count(g.path, "cpu.stat", "usage_usec ")
		return time.Duration(used) * time.Microsecond, err
	}
	used, err := count(g.path, "cpuacct.usage", "")
	return time.Duration(used), err
}

// memoryUsed is the memory of the control group of a process in bytes, without the page cache that the kernel takes
// back first: what readStats computes from the engine's answer.
func memoryUsed(pid int) (int64, error) {
	g, err := groupOf(pid, "memory")
	if err != nil {
		return 0, err
	}
	total, inactive := "memory.usage_in_bytes", "total_inactive_file "
	if g.v2 {
		total, inactive = "memory.current", "inactive_file "
	}
	usage, err := count(g.path, total, "")
	if err != nil {
		return 0, err
	}
	cache, err := count(g.path, "memory.stat", inactive)
	if err != nil {
		return 0, err
	}
	if cache < usage {
		usage -= cache
	}
	return usage, nil
}

// count reads a number from a file, or from its line with a prefix.
func count(dir, file, prefix string) (int64, error) {
	text, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		return 0, err
	}
	for row := range strings.Lines(string(text)) {
		if value, found := strings.CutPrefix(strings.TrimSpace(row), prefix); found {
			return strconv.ParseInt(value, 10, 64)
		}
	}
	return 0, errors.New("no such line")
}

// fromKernel reads a container's figures without asking the engine: it costs a tenth. False: not seen from here.
func fromKernel(c Container) (s Stats, cpu time.Duration, ok bool) {
	pid, err := hostPID(c)
	if err != nil {
		return s, 0, false
	}
	s.MemoryUsage, err = memoryUsed(pid)
	if err != nil {
		return s, 0, false
	}
	if cpu, err = cpuUsed(pid); err != nil {
		return s, 0, false
	}
	if pids, err := groupOf(pid, "pids"); err == nil {
		n, _ := count(pids.path, "pids.current", "") // not limited everywhere; 0: unknown
		s.PIDs = int(n)
	}
	if c.Inspect.HostConfig != nil {
		s.MemoryLimit = c.Inspect.HostConfig.Memory
	}
	return s, cpu, true
}
