package store

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
