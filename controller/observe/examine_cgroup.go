package observe

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// groups are the control groups of a process, as /proc shows them.
type groups string

// groupsOf reads those of the container's main process, when it is one that this process sees.
func groupsOf(c Container) (groups, error) {
	if !c.Running() || c.Inspect.State.Pid == 0 {
		return "", noAddress("it does not run")
	}
	text, err := os.ReadFile(filepath.Join(proc, strconv.Itoa(c.Inspect.State.Pid), "cgroup"))
	if err != nil || !bytes.Contains(text, []byte(c.ID)) {
		return "", noAddress("its processes are not seen from here")
	}
	return groups(text), nil
}

// hostPID is the number of the container's main process, when it is one that this process sees.
func hostPID(c Container) (int, error) {
	if _, err := groupsOf(c); err != nil {
		return 0, err
	}
	return c.Inspect.State.Pid, nil
}

// of finds the control group for one controller: a directory for each under cgroup v1, one for all under v2.
func (g groups) of(controller string) (dir string, v2 bool, err error) {
	const root = "/sys/fs/cgroup"
	for row := range strings.Lines(string(g)) { // v1's come first
		hierarchy, rest, _ := strings.Cut(strings.TrimSpace(row), ":")
		controllers, path, whole := strings.Cut(rest, ":")
		switch {
		case !whole:
		case slices.Contains(strings.Split(controllers, ","), controller):
			return root + "/" + controller + path, false, nil
		case hierarchy == "0" && controllers == "" && path != "/":
			return root + path, true, nil
		}
	}
	return "", false, errors.New("no control group of its own")
}

// cpuUsed is the CPU time that the control group has used.
func (g groups) cpuUsed() (time.Duration, error) {
	dir, v2, err := g.of("cpuacct")
	if err != nil {
		return 0, err
	}
	if v2 {
		used, err := count(dir, "cpu.stat", "usage_usec ")
		return time.Duration(used) * time.Microsecond, err
	}
	used, err := count(dir, "cpuacct.usage", "")
	return time.Duration(used), err
}

// memoryUsed is the memory of the control group in bytes, without the page cache that the kernel takes back first: what
// readStats computes from the engine's answer.
func (g groups) memoryUsed() (int64, error) {
	dir, v2, err := g.of("memory")
	if err != nil {
		return 0, err
	}
	total, inactive := "memory.usage_in_bytes", "total_inactive_file "
	if v2 {
		total, inactive = "memory.current", "inactive_file "
	}
	usage, err := count(dir, total, "")
	if err != nil {
		return 0, err
	}
	cache, err := count(dir, "memory.stat", inactive)
	if err != nil {
		return 0, err
	}
	if cache < usage {
		usage -= cache
	}
	return usage, nil
}

// processes is how many there are; not limited everywhere, then 0: unknown.
func (g groups) processes() int {
	dir, _, err := g.of("pids")
	if err != nil {
		return 0
	}
	n, _ := count(dir, "pids.current", "")
	return int(n)
}

// count reads a number from a file, or from its line with a prefix. It is called hundreds of times a minute, which os.ReadFile makes
// three times as expensive: it prepares to wait for such files, and reads on after what was looked for.
func count(dir, file, prefix string) (int64, error) {
	path := dir + "/" + file
	f, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return 0, &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer syscall.Close(f)
	page := pages.Get().(*[16 << 10]byte)
	defer pages.Put(page)
	for have := 0; have < len(page); {
		n, err := syscall.Read(f, page[have:])
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil {
			return 0, &os.PathError{Op: "read", Path: path, Err: err}
		}
		if n <= 0 {
			break
		}
		have += n
		if value, found := numberIn(page[:have], prefix); found {
			return strconv.ParseInt(string(value), 10, 64)
		}
	}
	return 0, errors.New("no such line")
}

// numberIn is what follows the prefix in the first whole line that has it.
func numberIn(text []byte, prefix string) (value []byte, found bool) {
	for row := range bytes.Lines(text) {
		if value, found := bytes.CutPrefix(row, []byte(prefix)); found && bytes.HasSuffix(value, []byte("\n")) {
			return bytes.TrimSpace(value), true
		}
	}
	return nil, false
}

// pages hold what count reads.
var pages = sync.Pool{New: func() any { return new([16 << 10]byte) }}

// figures reads a container's figures without asking the engine: it costs a tenth. An error: not seen from here.
func (g groups) figures(c Container) (s Stats, cpu time.Duration, err error) {
	if s.MemoryUsage, err = g.memoryUsed(); err != nil {
		return s, 0, err
	}
	if cpu, err = g.cpuUsed(); err != nil {
		return s, 0, err
	}
	s.PIDs = g.processes()
	if c.Inspect.HostConfig != nil {
		s.MemoryLimit = c.Inspect.HostConfig.Memory
	}
	return s, cpu, nil
}

// fromKernel reads them for a container that was not looked at before.
func fromKernel(c Container) (Stats, error) {
	g, err := groupsOf(c)
	if err != nil {
		return Stats{}, err
	}
	s, _, err := g.figures(c)
	return s, err
}
