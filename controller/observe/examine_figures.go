package observe

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"
)

// CPUWindow is the time between the two samples that give the share of a CPU: an examination of what runs takes so long at least.
const CPUWindow = 50 * time.Millisecond

// maxProcesses bounds the list of processes.
const maxProcesses = 200

// stats reads the kernel's figures where they are seen, else takes one sample of the engine, without the CPU's share:
// the engine makes the second sample of a second wait until that is over, longer than an urgent action may.
func (x *examination) stats(ctx context.Context) error {
	if !x.self.Running() {
		return nil
	}
	share, known := x.cpuNow(ctx)
	if figures, err := fromKernel(x.self); err == nil && x.cfg.EngineHost == "" {
		figures.CPU, figures.CPUUnknown = share, !known
		x.keep(func(e *Evidence) { e.Stats = &figures })
		return nil
	}
	sample, err := x.engine.Stats(ctx, x.self.ID)
	if err != nil {
		return err
	}
	figures := readStats(sample, x.self)
	figures.CPU, figures.CPUUnknown = share, !known
	x.keep(func(e *Evidence) { e.Stats = &figures })
	return nil
}

// cpuNow is the share of one CPU that the container uses, from the kernel's own count.
func (x *examination) cpuNow(ctx context.Context) (share float64, known bool) {
	if x.cfg.EngineHost != "" {
		return 0, false
	}
	group, err := groupsOf(x.self)
	if err != nil {
		return 0, false
	}
	first := cpuReading{group: group, at: time.Now()}
	if first.used, err = group.cpuUsed(); err != nil {
		return 0, false
	}
	x.cpu = first
	select {
	case <-time.After(CPUWindow):
	case <-ctx.Done():
		return 0, false
	}
	return first.share()
}

// cpuReading is what a control group had used at a time.
type cpuReading struct {
	group groups
	at    time.Time
	used  time.Duration
}

// share is the part of one CPU that was used since then.
func (r cpuReading) share() (share float64, known bool) {
	now, err := r.group.cpuUsed()
	if err != nil || now < r.used {
		return 0, false
	}
	return float64(now-r.used) / float64(time.Since(r.at)), true
}

// cpuSince takes the CPU's share over the whole collection when that took long, as it does for what gives no answer: a
// moment may show nothing but the healthcheck's own program, which runs in the container too.
func (x *examination) cpuSince() {
	if x.cpu.group == "" || x.evidence.Stats == nil || time.Since(x.cpu.at) < 10*CPUWindow {
		return
	}
	if share, known := x.cpu.share(); known {
		x.evidence.Stats.CPU, x.evidence.Stats.CPUUnknown = share, false
	}
}

// readStats computes memory as the docker CLI does: without the part of the page cache that the kernel takes back
// first, which cgroup v1 calls total_inactive_file and v2 inactive_file.
func readStats(s container.StatsResponse, c Container) Stats {
	usage := s.MemoryStats.Usage
	for _, key := range []string{"total_inactive_file", "inactive_file"} {
		if cache, found := s.MemoryStats.Stats[key]; found {
			if cache < usage {
				usage -= cache
			}
			break
		}
	}
	figures := Stats{MemoryUsage: int64(usage), PIDs: int(s.PidsStats.Current)}
	if c.Inspect.HostConfig != nil {
		figures.MemoryLimit = c.Inspect.HostConfig.Memory
	}
	return figures
}

// readTop reads the engine's process table, whose columns are those of the host's ps.
func readTop(top container.TopResponse, secrets []string) []Process {
	pid := slices.Index(top.Titles, "PID")
	command := slices.IndexFunc(top.Titles, func(title string) bool { return title == "CMD" || title == "COMMAND" })
	var found []Process
	for _, row := range top.Processes[:min(len(top.Processes), maxProcesses)] {
		p := Process{}
		if pid >= 0 && pid < len(row) {
			p.PID, _ = strconv.Atoi(row[pid])
		}
		if command >= 0 && command < len(row) {
			p.Command = line(row[command], secrets)
		}
		found = append(found, p)
	}
	return found
}

// proc is where the processes of the host are seen.
const proc = "/proc"

// pid is the container's main process, when it is one that this process sees: another host, or a container around
// Composure itself, has other numbers.
func (at place) pid() (int, error) {
	if at.cfg.EngineHost != "" {
		return 0, noAddress("its processes are on another host")
	}
	return hostPID(at.self)
}

// disks asks how much space is left where the container writes: its own file system, and what is mounted.
func (x *examination) disks(ctx context.Context) error {
	if !x.self.Running() {
		return nil
	}
	paths := []string{"/"}
	for _, m := range x.self.Inspect.Mounts {
		if m.RW && (m.Type == mount.TypeVolume || m.Type == mount.TypeBind || m.Type == mount.TypeTmpfs) {
			paths = append(paths, m.Destination)
		}
	}
	slices.Sort(paths)
	disks, err := x.measureDisks(ctx, slices.Compact(paths))
	x.keep(func(e *Evidence) { e.Disks = disks })
	return err
}

// measureDisks looks through the container's main process where the host allows it, which needs no tool in the container.
func (x *examination) measureDisks(ctx context.Context, paths []string) ([]Disk, error) {
	pid, err := x.pid()
	if err != nil {
		return x.df(ctx, paths)
	}
	var disks []Disk
	var failed []error
	for _, path := range paths {
		var s syscall.Statfs_t
		if err := syscall.Statfs(filepath.Join(proc, strconv.Itoa(pid), "root", path), &s); err != nil {
			failed = append(failed, fmt.Errorf("space of %s: %w", path, err))
			continue
		}
		disks = append(disks, Disk{Path: path, Size: int64(s.Blocks) * int64(s.Bsize), Free: int64(s.Bavail) * int64(s.Bsize)})
	}
	return disks, errors.Join(failed...)
}

// df asks the container's own tool.
func (x *examination) df(ctx context.Context, paths []string) ([]Disk, error) {
	result, a := x.command(ctx, append([]string{"df", "-P", "-k"}, paths...))
	if a != nil {
		return nil, errors.New(a.detail)
	}
	return readDF(result.Output, paths), nil
}

// readDF reads the POSIX format, one line for each path.
func readDF(output string, paths []string) []Disk {
	var disks []Disk
	rows := strings.Split(strings.TrimSpace(output), "\n")
	for i, row := range rows[1:] {
		fields := strings.Fields(row)
		if i >= len(paths) || len(fields) < 6 {
			continue
		}
		size, err := strconv.ParseInt(fields[1], 10, 64)
		free, err2 := strconv.ParseInt(fields[3], 10, 64)
		if err == nil && err2 == nil {
			disks = append(disks, Disk{Path: paths[i], Size: size << 10, Free: free << 10})
		}
	}
	return disks
}
