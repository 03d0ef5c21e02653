package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// herd tells systemd of the stacks of one process as of one thing: it is alive as long as each of them is that is looked after.
// It is safe for concurrent use.
type herd struct {
	mu      sync.Mutex
	members map[string]pulse // by project directory, as of its last look
	ended   map[string]bool  // project directories that nobody looks after now
}

func newHerd() *herd { return &herd{members: map[string]pulse{}, ended: map[string]bool{}} }

// ready says that the stacks are begun with: one that cannot be must not keep systemd from calling the others started.
func (h *herd) ready(stacks int) error {
	return notifySystemd(fmt.Sprintf("READY=1\nSTATUS=watching %d stacks", stacks))
}

// member returns what tells of one stack.
func (h *herd) member(dir string, b *beater) func(string, string) error {
	return func(string, string) error {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.members[dir] = b.pulse
		delete(h.ended, dir)
		return h.say()
	}
}

// tell tells systemd how all are, also while there is none to tell of.
func (h *herd) tell() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.say()
}

// say is tell. The caller holds mu.
func (h *herd) say() error {
	state, now := h.status(), time.Now()
	for _, p := range h.members {
		if !p.alive(now) { // it hangs, and that is for systemd to end
			return notifySystemd(state)
		}
	}
	return notifySystemd("WATCHDOG=1\n" + state)
}

// leave notes that a stack is not looked after any more: it does not hang.
func (h *herd) leave(dir string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.members, dir)
	h.ended[dir] = true
}

// status is how all are, in a line. The caller holds mu.
func (h *herd) status() string {
	var cannot []string
	for _, p := range h.members {
		if p.Trouble != "" {
			cannot = append(cannot, p.Stack)
		}
	}
	text := fmt.Sprintf("STATUS=watching %d stacks", len(h.members))
	if len(cannot) > 0 {
		slices.Sort(cannot)
		text += ", but could not look at " + strings.Join(cannot, ", ")
	}
	if len(h.ended) > 0 {
		text += ", and nobody looks after " + strings.Join(slices.Sorted(maps.Keys(h.ended)), ", ")
	}
	return text
}
