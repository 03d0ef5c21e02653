//go:build unix

package ports

import (
	"net"
	"testing"
)

// TestFree: nobody listens on the port; who wants this very port gets it, again and again, and who wants any port never does.
func TestFree(t *testing.T) {
	own := Free(t)
	address := (&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: own}).String()
	if c, err := net.Dial("tcp", address); err == nil {
		c.Close()
		t.Error("somebody listens on it")
	}
	for range 2 {
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := net.Listen("tcp", address); err == nil {
			t.Error("two listen on it")
		}
		l.Close()
	}
	for range 50_000 { // more than the kernel has to give, so that it would have come round
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if l.Addr().(*net.TCPAddr).Port == own {
			t.Error("it was given to somebody else")
		}
		l.Close()
	}
}
