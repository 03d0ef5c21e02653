//go:build linux

// Package dockerd runs a Docker Engine of a test's own, so that a test can do to a daemon what must never be done to the
// machine's: end it, kill it, stop it, fill it. It has its own data, its own containerd, and namespaces of its own for
// mounts, processes and network: its bridges, firewall rules and published ports never meet those of another engine, and
// when it is closed, or whoever started it dies, every process of it is gone.
//
// It needs root, the engine's packages, and an engine that has the test images.
package dockerd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience bounds how long a daemon may take to start or to end: without live-restore it stops its containers first.
const patience = time.Minute

// Options are what a daemon starts with.
type Options struct {
	Images      []string // copied from the engine that the tests use, such as "composure-test/busybox:1"
	LiveRestore bool     // containers survive the daemon
}

// Engine is one private daemon. Its methods are not safe for concurrent use, but for Docker and Command.
type Engine struct {
	Host string // for -H and DOCKER_HOST: a unix socket that can be reached from anywhere on the machine

	dir    string
	lock   *os.File
	host   *exec.Cmd // holds the namespaces; its end is the end of everything in them
	daemon *exec.Cmd // nil while it is down
	ended  chan struct{}
}

// Start runs a daemon until the test ends.
func Start(t testing.TB, o Options) *Engine {
	t.Helper()
	e, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			text := e.Log()
			t.Logf("the end of the private daemon's log:\n%s", text[max(0, len(text)-4000):])
		}
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// New runs a daemon until Close, and returns when it answers and has its images.
func New(o Options) (*Engine, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("a private Docker daemon needs root: run this as root")
	}
	removeStale()
	dir, file, err := claim()
	if err != nil {
		return nil, err
	}
	e := &Engine{Host: "unix://" + filepath.Join(dir, "docker.sock"), dir: dir, lock: file}
	if err := e.begin(o); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e, nil
}

func (e *Engine) begin(o Options) error {
	if err := e.unshare(); err != nil {
		return err
	}
	if err := e.configure(o.LiveRestore); err != nil {
		return err
	}
	if err := e.Up(); err != nil {
		return err
	}
	return e.load(o.Images)
}

// unshare starts the process that holds the namespaces: the first of its process namespace, which reaps what daemons and
// shims leave, and whose end the kernel makes the end of all the others.
func (e *Engine) unshare() error {
	const script = `ip link set lo up && echo ready && while :; do sleep 3600; done`
	e.host = exec.Command("unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child", "sh", "-c", script)
	e.host.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	e.host.Stderr = os.Stderr
	out, err := e.host.StdoutPipe()
	if err != nil {
		return err
	}
	if err := e.host.Start(); err != nil {
		return fmt.Errorf("make namespaces: %w", err)
	}
	if _, err := out.Read(make([]byte, 8)); err != nil {
		return fmt.Errorf("make namespaces: %w", err)
	}
	return nil
}

// configure writes the daemon's configuration. It stores images as the machine's engine does, which is known to work.
func (e *Engine) configure(liveRestore bool) error {
	driver, err := exec.Command("docker", "info", "--format", "{{.Driver}}").Output()
	if err != nil {
		return fmt.Errorf("ask the machine's engine for its storage driver: %w", err)
	}
	text, err := json.Marshal(map[string]any{
		"storage-driver": strings.TrimSpace(string(driver)), "live-restore": liveRestore,
		"data-root": filepath.Join(e.dir, "data"), "exec-root": filepath.Join(e.dir, "exec"), "pidfile": filepath.Join(e.dir, "pid"),
		"hosts": []string{e.Host}, "cgroup-parent": e.cgroup(),
	})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(e.dir, "daemon.json"), text, 0o644)
}

func (e *Engine) cgroup() string { return "/" + filepath.Base(e.dir) }

// load copies images from the engine that the tests use.
func (e *Engine) load(images []string) error {
	if len(images) == 0 {
		return nil
	}
	save := exec.Command("docker", append([]string{"save"}, images...)...)
	load := exec.Command("docker", "-H", e.Host, "load", "--quiet")
	var err error
	if load.Stdin, err = save.StdoutPipe(); err != nil {
		return err
	}
	if err := save.Start(); err != nil {
		return err
	}
	out, err := load.CombinedOutput()
	if err := errors.Join(err, save.Wait()); err != nil {
		return fmt.Errorf("copy images %v: %w: %s", images, err, out)
	}
	return nil
}

// Up starts a daemon that is down and returns when it answers.
func (e *Engine) Up() error {
	if e.daemon != nil {
		return errors.New("the daemon is up already")
	}
	logfile, err := os.OpenFile(filepath.Join(e.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer logfile.Close()
	cmd := e.Command("dockerd", "--config-file", filepath.Join(e.dir, "daemon.json"))
	cmd.Stdout, cmd.Stderr = logfile, logfile
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start dockerd: %w", err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	e.daemon, e.ended = cmd, ended
	for deadline := time.Now().Add(patience); !e.answers(); time.Sleep(20 * time.Millisecond) {
		select {
		case <-ended:
			e.daemon = nil
			return fmt.Errorf("dockerd ended while starting:\n%s", e.Log())
		default:
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("dockerd does not answer after %s:\n%s", patience, e.Log())
		}
	}
	return nil
}

// answers says whether the daemon replies to a ping.
func (e *Engine) answers() bool {
	client := http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true, DialContext: e.Dial}}
	answer, err := client.Get("http://engine/_ping")
	if err != nil {
		return false
	}
	answer.Body.Close()
	return answer.StatusCode == http.StatusOK
}

// Dial connects to the daemon's socket, whatever the network and address say.
func (e *Engine) Dial(ctx context.Context, _, _ string) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, "unix", strings.TrimPrefix(e.Host, "unix://"))
}

// Term ends the daemon in order, as an update of its package does, and waits for its end. Without live-restore it stops
// its containers first.
func (e *Engine) Term() error { return e.end(syscall.SIGTERM) }

// Kill9 ends the daemon as a crash would. Its containers and its containerd go on.
func (e *Engine) Kill9() error { return e.end(syscall.SIGKILL) }

// Lose ends the daemon and its containerd as a crash would, and makes containerd forget what runs, as one that is struck at the
// wrong moment does: once the daemon is up again it says that all its containers have ended, while their processes go on.
func (e *Engine) Lose() error {
	if err := e.Kill9(); err != nil {
		return err
	}
	state := filepath.Join(e.dir, "exec", "containerd")
	const script = `pid=$(cat "$1/containerd.pid") && kill -9 "$pid" && while kill -0 "$pid" 2>/dev/null; do sleep 0.05; done; rm -rf "$1"/daemon/io.containerd.runtime.v*.*/moby`
	if out, err := e.Command("sh", "-c", script, "sh", state).CombinedOutput(); err != nil {
		return fmt.Errorf("end containerd: %w: %s", err, out)
	}
	return e.Up()
}

// Restart is Term and Up.
func (e *Engine) Restart() error {
	if err := e.Term(); err != nil {
		return err
	}
	return e.Up()
}

// Stop halts the daemon: it accepts connections, by the kernel, and does nothing until Cont.
func (e *Engine) Stop() error { return e.signal(syscall.SIGSTOP) }

// Cont lets a halted daemon go on, with what it was sent meanwhile.
func (e *Engine) Cont() error { return e.signal(syscall.SIGCONT) }

// LiveRestore switches live-restore for the ends of the daemon to come, also while it runs.
func (e *Engine) LiveRestore(on bool) error {
	if err := e.configure(on); err != nil || e.daemon == nil {
		return err
	}
	if err := e.signal(syscall.SIGHUP); err != nil {
		return err
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		out, err := e.Docker("info", "--format", "{{.LiveRestoreEnabled}}")
		if err == nil && out == strconv.FormatBool(on) {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("live-restore stays %s: %w", out, err)
		}
	}
}

func (e *Engine) end(signal syscall.Signal) error {
	if err := e.signal(signal); err != nil {
		return err
	}
	select {
	case <-e.ended:
		e.daemon = nil
		return nil
	case <-time.After(patience):
		return fmt.Errorf("dockerd goes on %s after %s:\n%s", patience, signal, e.Log())
	}
}

func (e *Engine) signal(signal syscall.Signal) error {
	if e.daemon == nil {
		return errors.New("the daemon is down")
	}
	return Signal(e.daemon, signal)
}

// Log is what the daemon has said since the first start.
func (e *Engine) Log() string {
	text, err := os.ReadFile(filepath.Join(e.dir, "log"))
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// Docker runs the docker command line on the daemon and returns what it prints.
func (e *Engine) Docker(args ...string) (string, error) {
	out, err := exec.Command("docker", append([]string{"-H", e.Host}, args...)...).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("docker %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out)), err
}

// Command prepares a program that runs on the daemon's host: it sees the daemon's network, with the published ports, and
// its processes. What is started is only the way in, so its signals go by Signal; its exit status is the program's.
func (e *Engine) Command(name string, args ...string) *exec.Cmd {
	dir, err := os.Getwd()
	if err != nil {
		dir = "/"
	}
	return e.CommandIn(dir, name, args...)
}

// CommandIn is Command in a directory.
func (e *Engine) CommandIn(dir, name string, args ...string) *exec.Cmd {
	// Entering the namespace of mounts goes to its root: back to where we were.
	in := []string{"--target", strconv.Itoa(e.first()), "--net", "--mount", "--pid", "--", "env", "--chdir", dir, name}
	cmd := exec.Command("nsenter", append(in, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

// first is the process that holds the namespaces, as the rest of the machine sees it; 0: none.
func (e *Engine) first() int { return Process(e.host) }

// Signal sends a signal to the program that was started by a Command.
func Signal(cmd *exec.Cmd, signal syscall.Signal) error {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		pids, state := children(cmd), stateOf(cmd.Process.Pid)
		switch {
		case state == "" || state == "Z":
			return fmt.Errorf("send %s: %w", signal, os.ErrProcessDone)
		case len(pids) == 0: // not started yet
		case signal == syscall.SIGCONT:
			return errors.Join(syscall.Kill(pids[0], signal), syscall.Kill(cmd.Process.Pid, signal))
		case signal == syscall.SIGSTOP && state != "T": // nsenter halts itself when its child is halted
			_ = syscall.Kill(pids[0], signal)
		case signal == syscall.SIGSTOP:
			return nil
		default:
			return syscall.Kill(pids[0], signal)
		}
	}
	return fmt.Errorf("send %s to %s: nothing happens", signal, cmd)
}

// Process is the program that was started by a Command, as the rest of the machine sees it; 0: none.
func Process(cmd *exec.Cmd) int {
	if pids := children(cmd); len(pids) > 0 {
		return pids[0]
	}
	return 0
}

// stateOf is the state of a process, such as "S", "T" or "Z"; "": there is none.
func stateOf(pid int) string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, after, found := strings.Cut(string(text), ") ")
	if err != nil || !found {
		return ""
	}
	return after[:1]
}

// children are the processes that a command has started.
func children(cmd *exec.Cmd) []int {
	pid := cmd.Process.Pid
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	var pids []int
	for _, field := range strings.Fields(string(text)) {
		if child, err := strconv.Atoi(field); err == nil {
			pids = append(pids, child)
		}
	}
	return pids
}

// Close ends everything at once and removes the data. Closing again does nothing.
func (e *Engine) Close() error {
	if e.host != nil && e.host.Process != nil && e.host.ProcessState == nil {
		_ = e.host.Process.Kill() // and the kernel its child, the first process, and with that all others
		_ = e.host.Wait()
	}
	if e.daemon != nil {
		_ = e.daemon.Process.Kill() // the way in, when it is halted
		<-e.ended
		e.daemon = nil
	}
	err := remove(e.dir)
	if e.lock != nil {
		e.lock.Close()
	}
	return err
}
