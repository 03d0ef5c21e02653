package main

import (
	"context"
	"testing"

	"composure/controller/store"
	"composure/spec"
	"composure/test/fixture"
)

// TestOverriddenTogether: a raised limit and a rollback of the same service hold together, whichever was recorded first. A raise
// does not take from an older revision what that had.
func TestOverriddenTogether(t *testing.T) {
	const mib = 1 << 20
	load := func(image, limit string) *spec.Stack {
		return fixture.LoadText(t, "services:\n  web:\n    image: "+image+"\n"+limit)
	}
	now := load("web:2", "    mem_limit: 256m\n")
	c, err := now.Container(now.Service("web"), 1, spec.Facts{})
	if err != nil {
		t.Fatal(err)
	}
	of := func(kind, value string) store.Override {
		recorded, err := overrideOf(value, c.Hash)
		if err != nil {
			t.Fatal(err)
		}
		return store.Override{Service: "web", Kind: kind, Value: recorded}
	}
	raise, back := of(overrideMemory, "536870912"), of(overrideRollback, "r1")
	for _, older := range []struct {
		limit string
		want  int64
	}{{"    mem_limit: 256m\n", 512 * mib}, {"    mem_limit: 1g\n", 1024 * mib}, {"", 0}} {
		model, err := load("web:1", older.limit).Canonical()
		if err != nil {
			t.Fatal(err)
		}
		proven := store.ServiceRevision{Service: "web", ImageID: "sha256:0123456789abcdef"}
		revision := func(context.Context, string) (store.Revision, error) {
			return store.Revision{ID: "r1", Model: model, Services: []store.ServiceRevision{proven}}, nil
		}
		for _, overrides := range [][]store.Override{{raise, back}, {back, raise}} {
			got, err := overridden(t.Context(), now, "app", overrides, revision)
			if err != nil {
				t.Fatal(err)
			}
			if svc := got.Service("web"); svc.Image != keptImage("app", proven) || svc.Memory() != older.want {
				t.Errorf("%s first, older limit %q: %s with %d bytes, want %d", overrides[0].Kind, older.limit, svc.Image, svc.Memory(), older.want)
			}
		}
	}
}
