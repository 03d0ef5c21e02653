package main

import (
	"os"
	"testing"
)

// TestSeat: whoever works on a stack is found by all others of the machine, as long as it does, and by no name of another stack.
func TestSeat(t *testing.T) {
	s := &seating{ask: askOthers, say: tellOthers}
	own := occupant{Stack: "engine/" + t.Name(), Store: "one", Where: "/srv/one", PID: os.Getpid(), Command: "reconcile"}
	if o := s.other(own.Stack, "two"); o != nil {
		t.Fatalf("before anybody works on it: %+v", o)
	}
	leave, err := s.sit(own)
	if err != nil {
		t.Fatal(err)
	}
	another := &seating{ask: askOthers, say: tellOthers}
	o := another.other(own.Stack, "two")
	if o == nil {
		t.Fatal("not found")
	}
	if want := own; o.Where != want.Where || o.PID != want.PID || o.Command != want.Command || o.uid != os.Geteuid() {
		t.Errorf("found %+v", o)
	}
	if o := another.other(own.Stack, "one"); o != nil {
		t.Errorf("one of the same store is no stranger: %+v", o)
	}
	if o := another.other("engine/other", "two"); o != nil {
		t.Errorf("it works on another stack: %+v", o)
	}
	leave()
	if o := another.other(own.Stack, "two"); o != nil {
		t.Errorf("it has left: %+v", o)
	}
}
