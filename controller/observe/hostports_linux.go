package observe

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// here is the calling thread's own network namespace, under /proc. The process's would be that of its first thread,
// which may just be inside a container's.
const here = "thread-self"

// dialInside opens a connection from the network namespace of a process, as a program in that container would. The
// address must be an IP address. It runs on a thread of its own, which goes back afterwards; one that cannot is given up
// with its goroutine: never unlocked, nothing else runs on it.
func dialInside(ctx context.Context, pid int, network, address string) (net.Conn, error) {
	type outcome struct {
		conn net.Conn
		err  error
	}
	dialled := make(chan outcome, 1)
	go func() {
		runtime.LockOSThread()
		back, err := enter(strconv.Itoa(pid))
		if err != nil {
			runtime.UnlockOSThread()
			dialled <- outcome{err: err}
			return
		}
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		if back() == nil {
			runtime.UnlockOSThread()
		}
		dialled <- outcome{conn, err}
	}()
	o := <-dialled // the dial is bounded by ctx
	return o.conn, o.err
}

// enter moves the calling thread to the network namespace of a process, and returns the way back.
func enter(pid string) (back func() error, err error) {
	home, err := os.Open(filepath.Join(proc, here, "ns", "net"))
	if err != nil {
		return nil, errors.New(notPermitted)
	}
	there, err := os.Open(filepath.Join(proc, pid, "ns", "net"))
	if err != nil {
		_ = home.Close()
		return nil, errors.New(notPermitted)
	}
	defer there.Close()
	if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
		_ = home.Close()
		return nil, errors.New(notPermitted)
	}
	return func() error {
		defer home.Close()
		return unix.Setns(int(home.Fd()), unix.CLONE_NEWNET)
	}, nil
}
