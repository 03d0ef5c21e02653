package notify

import (
	"context"
	"errors"
	"testing"
)

// TestSingleIsFreeOnceItHasAnswered calls again as soon as there is an answer, as often as it takes to meet a slot that
// is given back too late.
func TestSingleIsFreeOnceItHasAnswered(t *testing.T) {
	s, refused := make(single, 1), errors.New("refused")
	calls := map[string]func() error{"answers": func() error { return nil }, "fails": func() error { return refused }}
	for name, call := range calls {
		for i := range 20000 {
			if err := s.run(context.Background(), call); err != nil && !errors.Is(err, refused) {
				t.Fatalf("a call that %s, number %d: %v", name, i, err)
			}
		}
	}
}

func TestSinglePanic(t *testing.T) {
	s := make(single, 1)
	for range 2 {
		err := s.run(context.Background(), func() error { panic("nil map") })
		if err == nil || err.Error() != "the notification library failed: nil map" {
			t.Fatalf("got %v", err)
		}
	}
}
