package observe

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// How long a process must have run to belong to the run that ended, and not to one that begins while its container is looked at:
// longer than the end is past, by more than what the clocks that say so may differ; or for some time, where nobody saw the end.
// One that began before the engine called the run started, and it says that once the process is there, belongs to it in any case.
const (
	lostBefore = time.Second
	lostFor    = 10 * time.Second
)

// lost looks for processes that the engine has lost: it says that their container has ended, and they run on in its control
// group. An engine that was killed, or whose containerd was, does that (seen on 20.10: "task ... already exists"). The kernel ends the
// processes of a container with its first one, so nothing is looked for where the engine has seen it end well.
func (c *Look) lost() {
	if !c.snapshot.Engine.Local {
		return
	}
	var ended []*Container
	for i := range c.snapshot.Containers {
		if one := &c.snapshot.Containers[i]; mayHaveLost(one) {
			ended = append(ended, one)
		}
	}
	if len(ended) == 0 {
		return
	}
	groups, err := filepath.Glob(proc + "/[0-9]*/cgroup")
	uptime, known := uptime()
	if err != nil || !known {
		return
	}
	left := make([][]leftover, len(ended))
	for _, file := range groups {
		text, err := os.ReadFile(file)
		if err != nil { // it has ended
			continue
		}
		for i, one := range ended {
			if !bytes.Contains(text, []byte(one.ID)) {
				continue
			}
			if p, began, ok := processOf(filepath.Dir(file)); ok {
				left[i] = append(left[i], leftover{p, uptime - began})
			}
		}
	}
	now := time.Now()
	for i, one := range ended {
		one.Lost = lostOf(one, left[i], now)
	}
}

// leftover is a process in the control group of a container that has ended, and how long it has run.
type leftover struct {
	Process
	age time.Duration
}

// lostOf is all of them, in the order of their numbers, if one belongs to the run that ended: its first process is among them then, as
// the kernel ends the others with that one.
func lostOf(c *Container, left []leftover, now time.Time) (lost []Process) {
	if !slices.ContainsFunc(left, func(l leftover) bool { return l.age > endedFor(c, now) }) {
		return nil
	}
	for _, l := range left {
		lost = append(lost, l.Process)
	}
	slices.SortFunc(lost, func(a, b Process) int { return a.PID - b.PID })
	return lost
}

// WhyLost says what the engine has lost of a container, and what to do, or nothing.
func (c Container) WhyLost() string {
	var named, pids []string
	for _, p := range c.Lost {
		named, pids = append(named, fmt.Sprintf("%d (%s)", p.PID, p.Command)), append(pids, strconv.Itoa(p.PID))
	}
	switch len(c.Lost) {
	case 0:
		return ""
	case 1:
		return fmt.Sprintf("the engine says that it has ended, and its process %s still runs; end it by hand (kill %s), then it is started", named[0], pids[0])
	}
	const most = 3
	text := strings.Join(named[:min(most, len(named))], ", ")
	if more := len(named) - most; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return fmt.Sprintf("the engine says that it has ended, and its processes %s still run; end them by hand (kill %s), then it is started", text, strings.Join(pids, " "))
}

// mayHaveLost says whether a container has ended, and not as one does whose end the engine has seen: an engine that finds
// nothing of it when it comes back writes down some exit code, and in some versions no time.
func mayHaveLost(c *Container) bool {
	s := c.Inspect.State
	return s != nil && !c.Running() && !s.Restarting && !c.StartedAt().IsZero() && (s.ExitCode != 0 || s.Error != "" || !sawEnd(c))
}

func sawEnd(c *Container) bool { return !c.FinishedAt().Before(c.StartedAt()) }

// endedFor is how long a process must have run to belong to the run that ended.
func endedFor(c *Container, now time.Time) time.Duration {
	bound := lostFor
	if sawEnd(c) {
		bound = now.Sub(c.FinishedAt()) + lostBefore
	}
	return max(lostBefore, min(bound, now.Sub(c.StartedAt())))
}

// uptime is how long the host has been up.
func uptime() (time.Duration, bool) {
	text, err := os.ReadFile(proc + "/uptime")
	if err != nil {
		return 0, false
	}
	first, _, _ := strings.Cut(string(text), " ")
	seconds, err := strconv.ParseFloat(first, 64)
	return time.Duration(seconds * float64(time.Second)), err == nil
}

// tick is the unit of times in /proc: USER_HZ is 100 wherever Linux runs containers.
const tick = time.Second / 100

// processOf reads which process a directory of /proc is about, and how long after the host's start it began (proc_pid_stat(5),
// fields 1 to 3 and 22). A process that has ended and is not collected yet is none.
func processOf(dir string) (p Process, began time.Duration, ok bool) {
	text, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil {
		return p, 0, false
	}
	stat := string(text)
	from, to := strings.IndexByte(stat, '('), strings.LastIndexByte(stat, ')')
	if from < 1 || to < from {
		return p, 0, false
	}
	rest := strings.Fields(stat[to+1:])
	if len(rest) < 20 || rest[0] == "Z" || rest[0] == "X" {
		return p, 0, false
	}
	pid, err := strconv.Atoi(strings.TrimSpace(stat[:from]))
	ticks, err2 := strconv.ParseInt(rest[19], 10, 64)
	return Process{PID: pid, Command: stat[from+1 : to]}, time.Duration(ticks) * tick, err == nil && err2 == nil
}
