package cli

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"composure/test/rig"
)

// pty is a pseudo terminal with what a program has written to it.
type pty struct {
	master, slave *os.File

	mu  sync.Mutex
	out bytes.Buffer
}

// newPTY opens a pseudo terminal of so many rows and columns and reads it until the test ends.
func newPTY(t *testing.T, rows, columns uint16) *pty {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	p := &pty{master: master}
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if p.slave, err = os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.slave.Close(); master.Close() })
	p.resize(t, rows, columns)
	go func() {
		var buf [4096]byte
		for {
			n, err := master.Read(buf[:])
			p.mu.Lock()
			p.out.Write(buf[:n])
			p.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return p
}

func (p *pty) resize(t *testing.T, rows, columns uint16) {
	t.Helper()
	if err := unix.IoctlSetWinsize(int(p.master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: columns}); err != nil {
		t.Fatal(err)
	}
}

// written is all that was written so far.
func (p *pty) written() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

// mode is the terminal's settings.
func (p *pty) mode(t *testing.T) unix.Termios {
	t.Helper()
	mode, err := unix.IoctlGetTermios(int(p.slave.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return *mode
}

// TestStatusOnAScreen: the status fills a real terminal, follows its size, and leaves it as it was, however it ends.
func TestStatusOnAScreen(t *testing.T) {
	t.Parallel()
	p := newProject(t, "screen", stack)
	p.wants(0, "reconcile", "--once")
	const enter, leave = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
	for name, end := range map[string]func(*pty, *exec.Cmd){
		"q":      func(screen *pty, _ *exec.Cmd) { fmt.Fprint(screen.master, "q") },
		"ctrl-c": func(screen *pty, _ *exec.Cmd) { fmt.Fprint(screen.master, "\x03") },
		"TERM":   func(_ *pty, cmd *exec.Cmd) { _ = cmd.Process.Signal(syscall.SIGTERM) },
	} {
		t.Run(name, func(t *testing.T) {
			screen := newPTY(t, 30, 200)
			before := screen.mode(t)
			cmd := p.command("status", "--watch")
			cmd.Stdin, cmd.Stdout, cmd.Stderr = screen.slave, screen.slave, screen.slave
			cmd.Env = append(cmd.Env, "TERM=xterm", "NO_COLOR=1")
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			p.eventually("the services are shown", func() bool {
				return strings.Contains(screen.written(), "2 of 2 services well") && strings.Contains(screen.written(), "\x1b[30;1Hq: quit")
			})
			seen := len(screen.written())
			screen.resize(t, 5, 100)
			p.eventually("it follows the size of the window", func() bool { return strings.Contains(screen.written()[seen:], "\x1b[5;1Hq: quit · ") })
			end(screen, cmd)
			if err := cmd.Wait(); err != nil {
				t.Errorf("it ended with %v", err)
			}
			p.eventually("the screen is left", func() bool { return strings.HasSuffix(screen.written(), leave) })
			out := screen.written()
			if !strings.HasPrefix(out, enter) || strings.Count(out, "\x1b[2J") > 0 {
				t.Errorf("it does not begin on a screen of its own, or clears it, which flickers:\n%q", out)
			}
			if color := regexp.MustCompile("\x1b\\[3[0-7]m").FindString(out); color != "" {
				t.Errorf("colour, which NO_COLOR declines: %q", color)
			}
			if after := screen.mode(t); after != before {
				t.Errorf("the terminal's settings were %+v and are %+v", before, after)
			}
		})
	}
}

// TestStatusPiped: without a terminal one status follows the other, without control sequences.
func TestStatusPiped(t *testing.T) {
	t.Parallel()
	p := newProject(t, "piped", stack)
	var out rig.Lines
	cmd := p.command("status", "--watch")
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.eventually("it is shown twice", func() bool { return strings.Count(out.String(), "SERVICE") > 1 })
	_ = cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err != nil {
		t.Errorf("it ended with %v", err)
	}
	if strings.Contains(out.String(), "\x1b") {
		t.Errorf("control sequences in a pipe: %q", out.String())
	}
}
