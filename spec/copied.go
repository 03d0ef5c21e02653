package spec

import "slices"

// CopiedFiles are the paths, in its containers, of content that is copied in before the start: configs and secrets
// given inline or by a variable. Those given as a file are mounted and not among them. Sorted.
func (svc *Service) CopiedFiles() []string {
	var paths []string
	for _, ref := range svc.fileReferences() {
		if ref.copied() {
			paths = append(paths, ref.target)
		}
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}

// fileReferences are the service's configs and secrets, as its create request has them; none when that is refused,
// which Container reports.
func (svc *Service) fileReferences() []fileReference {
	if svc.stack == nil || svc.stack.project == nil {
		return nil
	}
	refs, err := (&builder{stack: svc.stack, svc: svc, model: svc.model}).fileReferences()
	if err != nil {
		return nil
	}
	return refs
}
