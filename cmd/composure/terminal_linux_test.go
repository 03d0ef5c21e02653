package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

func TestTerminalDecidesHowToWrite(t *testing.T) {
	for _, c := range []struct {
		name          string
		term, noColor string
		columns       uint16
		want          look
	}{
		{"an ordinary terminal", "xterm-256color", "", 120, look{Terminal: true, Color: true, Width: 120, Columns: 120, Height: 24}},
		{"colour declined", "xterm-256color", "1", 120, look{Terminal: true, Width: 120, Columns: 120, Height: 24}},
		{"dumb", "dumb", "", 100, look{Width: 100, Columns: 100, Height: 24}},
		{"no TERM", "", "", 100, look{Width: 100, Columns: 100, Height: 24}},
		{"size unknown", "xterm", "", 0, look{Terminal: true, Color: true, Width: 80, Height: 24}},
		{"very narrow", "xterm", "", 10, look{Terminal: true, Color: true, Width: narrowest, Columns: 10, Height: 24}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("TERM", c.term)
			t.Setenv("NO_COLOR", c.noColor)
			if got := terminal(openTerminal(t, c.columns)); got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestTerminalIsPlainForFilesPipesAndBuffers(t *testing.T) {
	t.Setenv("TERM", "xterm-256color")
	t.Setenv("NO_COLOR", "")
	file, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	reader, pipe, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	defer pipe.Close()
	if got := terminal(file); got != (look{}) {
		t.Errorf("file: %+v", got)
	}
	if got := terminal(pipe); got != (look{}) {
		t.Errorf("pipe: %+v", got)
	}
	if got := terminal(&bytes.Buffer{}); got != (look{}) {
		t.Errorf("buffer: %+v", got)
	}
}

// openTerminal opens a pseudo terminal of so many columns and returns the side that a program writes to.
func openTerminal(t *testing.T, columns uint16) *os.File {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	fd := int(master.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: columns}); err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { slave.Close() })
	return slave
}
