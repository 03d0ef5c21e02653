//go:build unix

// Package ports gives a test ports that stay its own.
package ports

import (
	"fmt"
	"os"
	"strconv"
	"syscall"
	"testing"
)

// Free is a TCP port of the loopback that nobody listens on, until the test ends. The kernel gives it to nobody who asks for any
// port, be it to listen or to connect from: a socket that does not listen stays bound to it. Who wants this very port may have it,
// as long as that, too, sets SO_REUSEADDR, as the engine's proxy, programs in Go and most servers do.
func Free(t testing.TB) int {
	t.Helper()
	port, release, err := Reserve()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(release)
	return port
}

// Text is Free as it stands in addresses and files.
func Text(t testing.TB) string {
	t.Helper()
	return strconv.Itoa(Free(t))
}

// Reserve is Free until release.
func Reserve() (port int, release func(), err error) {
	syscall.ForkLock.RLock() // no program that is started just now keeps it
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fd)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return 0, nil, fmt.Errorf("find a free port: %w", os.NewSyscallError("socket", err))
	}
	release = func() { _ = syscall.Close(fd) }
	port, err = bound(fd)
	if err != nil {
		release()
		return 0, nil, fmt.Errorf("find a free port: %w", err)
	}
	return port, release, nil
}

// bound binds a socket to a port of the loopback that the kernel chooses.
func bound(fd int) (int, error) {
	if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		return 0, os.NewSyscallError("setsockopt", err)
	}
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return 0, os.NewSyscallError("bind", err)
	}
	address, err := syscall.Getsockname(fd)
	if err != nil {
		return 0, os.NewSyscallError("getsockname", err)
	}
	return address.(*syscall.SockaddrInet4).Port, nil
}
