package notify

import (
	"context"
	"errors"
	"fmt"
)

// single runs calls that do not end when a context does: one that hangs is left to itself, and until it ends no other
// one is begun. It holds one while a call runs.
type single chan struct{}

// run returns what the call returns, or the context's error. A call that panics has failed, and no more.
func (s single) run(ctx context.Context, call func() error) error {
	select {
	case s <- struct{}{}:
	default:
		return errors.New("the message before still has no answer")
	}
	ended := make(chan error, 1)
	go func() {
		err := attempt(call)
		<-s // before the answer is given: who has it may send the next one at once
		ended <- err
	}()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// attempt makes a panic of the call its error.
func attempt(call func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the notification library failed: %v", p)
		}
	}()
	return call()
}
