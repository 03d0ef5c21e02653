package store

import (
	"context"
	"fmt"
)

// Shared is the same open store for one of several stacks of this process: to close it leaves the store open. stamp answers
// instead of Store.Stamp; nil: that answers.
func (s *Store) Shared(stamp func() string) *Store {
	one := *s
	one.shared = true
	if stamp != nil {
		one.stamp = stamp
	}
	return &one
}

// Others changes when another process has written; what this one writes does not change it. It is empty where the database
// does not tell, and may change without a reason, such as with a new connection.
func (s *Store) Others(ctx context.Context) (string, error) {
	at, err := s.mark(ctx)
	if err != nil || at == (mark{}) {
		return "", err
	}
	return fmt.Sprintf("%p %d", at.conn, at.version), nil
}
