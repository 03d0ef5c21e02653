//go:build linux

package dockerd

import (
	"os"
	"testing"
)

// TestClaim: a directory that is just being made is never taken for one that a killed run left, and one that was left is removed.
func TestClaim(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	done := make(chan struct{})
	swept := make(chan struct{})
	go func() {
		defer close(swept)
		for {
			select {
			case <-done:
				return
			default:
				removeStale()
			}
		}
	}()
	for range 2000 {
		dir, f, err := claim()
		if err != nil {
			t.Error(err)
			break
		}
		if _, err := os.Stat(dir); err != nil {
			t.Errorf("removed while in use: %v", err)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
		f.Close()
	}
	close(done)
	<-swept

	dir, f, err := claim()
	if err != nil {
		t.Fatal(err)
	}
	removeStale()
	if _, err := os.Stat(dir); err != nil {
		t.Errorf("removed while in use: %v", err)
	}
	f.Close()
	removeStale()
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("not removed: %v", err)
	}
}
