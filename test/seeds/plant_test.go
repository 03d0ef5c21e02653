package main

import "testing"

// TestPlant: each bug still fits the code that it is to be put into.
func TestPlant(t *testing.T) {
	if len(bugs) < 12 {
		t.Errorf("only %d bugs", len(bugs))
	}
	if _, err := plant("../..", t.TempDir()); err != nil {
		t.Error(err)
	}
}
