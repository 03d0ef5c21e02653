package main

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestHealth follows one remediator from its first look to its end.
func TestHealth(t *testing.T) {
	t.Setenv("RUNTIME_DIRECTORY", filepath.Join(t.TempDir(), "run")+":/another")
	listener, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(t.TempDir(), "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	t.Setenv("NOTIFY_SOCKET", listener.LocalAddr().String())
	says := func(project string, now time.Time, healthy bool, text string) {
		t.Helper()
		var out bytes.Buffer
		a := &app{project: project, stdout: &out}
		err := a.health("text", now)
		if (err == nil) != healthy || !strings.Contains(out.String(), text) {
			t.Errorf("%v, %q; expected healthy %v and %q", err, out.String(), healthy, text)
		}
	}
	notified := func(want string) {
		t.Helper()
		buf := make([]byte, 100)
		if n, err := listener.Read(buf); err != nil || string(buf[:n]) != want {
			t.Errorf("systemd was told %q (%v), expected %q", buf[:n], err, want)
		}
	}

	says("", time.Now(), false, "no remediator runs here")
	b := newBeater("engine/shop", "shop", time.Minute, slog.New(slog.DiscardHandler))
	b.beat(nil)
	notified("READY=1\nSTATUS=watching shop")
	says("", b.pulse.At, true, "shop: the remediator looked 0s ago")
	says("other", b.pulse.At, false, "no remediator runs here")
	b.beat(errors.New("the engine is away")) // told at once, although it has just been written
	notified("WATCHDOG=1\nSTATUS=watching shop, but could not look: the engine is away")
	says("shop", b.pulse.At, true, "could not look 0s ago: the engine is away")
	says("shop", b.pulse.At.Add(3*time.Minute), false, "has not looked for 3m0s")
	says("shop", b.pulse.At.Add(-time.Hour), false, "was the clock set back?")

	other := newBeater("another engine/shop", "shop", time.Hour, slog.New(slog.DiscardHandler))
	other.beat(nil)
	notified("READY=1\nSTATUS=watching shop")
	says("shop", other.pulse.At.Add(3*time.Minute), false, "looked 3m0s ago")
	b.end()
	says("shop", other.pulse.At.Add(3*time.Minute), true, "looked 3m0s ago")
	other.end()
	says("shop", time.Now(), false, "no remediator runs here")
}

// TestHealthOfTwo: two processes look after one stack, such as the unit and a person who did not know of it. When one ends, the pulse
// stays the other's.
func TestHealthOfTwo(t *testing.T) {
	t.Setenv("RUNTIME_DIRECTORY", t.TempDir())
	log := slog.New(slog.DiscardHandler)
	first, second := newBeater("engine", "shop", time.Minute, log), newBeater("engine", "shop", time.Minute, log)
	first.pulse.PID = os.Getppid() // another process that lives
	first.beat(nil)
	second.beat(nil)
	second.end()
	a := &app{stdout: io.Discard}
	if err := a.health("text", time.Now()); err != nil {
		t.Errorf("%v although the first remediator runs", err)
	}
	if err := first.write(); err != nil {
		t.Fatal(err)
	}
	first.other = 1 << 30 // no process has this number
	first.end()
	if err := a.health("text", time.Now()); !errors.Is(err, status(exitFinding)) {
		t.Errorf("%v although nobody looks any more", err)
	}
}
