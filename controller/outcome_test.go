package controller

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"composure/controller/act"
	"composure/controller/observe"
	"composure/controller/plan"
)

// TestOutcome: what another look changes is stale, what nobody answered is unknown, all else has failed.
func TestOutcome(t *testing.T) {
	for want, errs := range map[plan.Outcome][]error{
		plan.Done:    {nil},
		plan.Stale:   {act.ErrStale, observe.ErrNotFound, observe.ErrNetworkMissing, observe.ErrNetworkTwice},
		plan.Unknown: {observe.ErrNoAnswer, context.Canceled},
		plan.Failure: {errors.New("refused"), observe.ErrImageMissing, observe.ErrPortInUse, observe.ErrNameTaken, observe.ErrUnreachable},
	} {
		for _, err := range errs {
			if err != nil {
				err = fmt.Errorf("step: %w", err)
			}
			if got := outcome(err); got != want {
				t.Errorf("%v: %s, want %s", err, got, want)
			}
		}
	}
}
