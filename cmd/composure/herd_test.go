package main

import (
	"errors"
	"log/slog"
	"net"
	"path/filepath"
	"testing"
	"time"
)

// TestHerd: systemd hears of several stacks as of one process, and hears nothing that keeps it from ending the process while
// one of them hangs.
func TestHerd(t *testing.T) {
	t.Setenv("RUNTIME_DIRECTORY", t.TempDir())
	listener, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(t.TempDir(), "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	t.Setenv("NOTIFY_SOCKET", listener.LocalAddr().String())
	h := newHerd()
	notified := func(want string) {
		t.Helper()
		buf := make([]byte, 200)
		if n, err := listener.Read(buf); err != nil || string(buf[:n]) != want {
			t.Errorf("systemd was told %q (%v), expected %q", buf[:n], err, want)
		}
	}
	stack := func(name string) *beater {
		b := newBeater("engine", name, time.Minute, slog.New(slog.DiscardHandler))
		b.notify = h.member("/srv/"+name, b)
		return b
	}
	if err := h.ready(2); err != nil {
		t.Fatal(err)
	}
	notified("READY=1\nSTATUS=watching 2 stacks")
	shop, blog := stack("shop"), stack("blog")
	shop.beat(nil)
	notified("WATCHDOG=1\nSTATUS=watching 1 stacks")
	blog.beat(errors.New("the engine is away"))
	notified("WATCHDOG=1\nSTATUS=watching 2 stacks, but could not look at blog")

	h.mu.Lock()
	hung := h.members["/srv/blog"]
	hung.At = hung.At.Add(-time.Hour)
	h.members["/srv/blog"] = hung
	h.mu.Unlock()
	shop.beat(errors.New("the engine is away"))
	notified("STATUS=watching 2 stacks, but could not look at blog, shop")

	h.leave("/srv/blog")
	shop.beat(nil)
	notified("WATCHDOG=1\nSTATUS=watching 1 stacks, and nobody looks after /srv/blog")
	h.leave("/srv/shop")
	if err := h.tell(); err != nil {
		t.Fatal(err)
	}
	notified("WATCHDOG=1\nSTATUS=watching 0 stacks, and nobody looks after /srv/blog, /srv/shop")
}
