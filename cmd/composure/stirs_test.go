package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestStirs: what is written in a directory is told, also to a file that was there before; a directory that cannot be watched
// is looked at instead.
func TestStirs(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "composure.db-wal")
	if err := os.WriteFile(file, []byte("1"), 0o600); err != nil {
		t.Fatal(err)
	}
	told := stirs(t.Context(), dir, slog.New(slog.DiscardHandler))
	for _, text := range []string{"2", "3"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		select {
		case <-told:
		case <-time.After(time.Minute):
			t.Fatalf("nothing is told of writing %s", text)
		}
	}
	if none := stirs(t.Context(), filepath.Join(dir, "none"), slog.New(slog.DiscardHandler)); none != nil {
		t.Error("a directory that is not there is watched")
	}
}
