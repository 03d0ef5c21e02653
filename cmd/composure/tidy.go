package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"composure/controller/observe"
	"composure/controller/store"
)

// Retention of files in the state directory: as long as the incidents that they belong to, and not without bound.
const (
	keptReports  = 1000
	keptCaptures = 200 // of a stack
)

// tidy removes once a day what is older, or more, than what is kept, until ctx ends. While the store is down it is left
// for the next day.
func (m *healMemory) tidy(ctx context.Context) {
	keep := store.DefaultRetention()
	for pause := time.Hour; ; pause = 24 * time.Hour { // not among the first things of a process that is restarted again and again
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		now := time.Now()
		removed, err := m.Store().Prune(ctx, keep, now)
		if err != nil {
			m.log.Warn("what is old was not removed", "error", err)
		}
		untagged, err := m.untag(ctx)
		if err != nil {
			m.log.Warn("images of old revisions were not let go", "error", err)
		}
		removed += untagged
		removed += tidyFiles(filepath.Join(m.dir, "incidents"), now.Add(-keep.Incidents), keptReports)
		removed += tidyFiles(filepath.Join(m.dir, "captured", m.name), now.Add(-keep.Evidence), keptCaptures)
		if removed > 0 {
			m.log.Info("what is old was removed", "items", removed)
		}
	}
}

// untag lets go of the images that were kept for revisions which are in the history no longer: a rollback cannot ask for
// them. Only tags of services that the history knows are looked at, since another project's name may begin with this one's.
func (m *healMemory) untag(ctx context.Context) (removed int64, err error) {
	revisions, err := m.Store().Revisions(ctx, m.stack, 0)
	if err != nil {
		return 0, err
	}
	overrides, err := m.Store().Overrides(ctx, m.stack, time.Now())
	if err != nil {
		return 0, err
	}
	kept, ours := map[string]bool{}, map[string]bool{}
	for _, r := range revisions {
		for _, s := range r.Services {
			kept[keptImage(m.name, s)], ours[keptRepository(m.name, s.Service)] = true, true
		}
	}
	for _, o := range overrides {
		var v overrideValue
		if o.Kind == overrideRebuild && json.Unmarshal(o.Value, &v) == nil {
			kept[keptImage(m.name, store.ServiceRevision{Service: o.Service, ImageID: v.Value})] = true
		}
	}
	tags, err := m.eng.Tags(ctx, keptRepository(m.name, "*"))
	if err != nil {
		return 0, err
	}
	var errs []error
	for _, tag := range tags {
		repository, _, _ := strings.Cut(tag, ":")
		if kept[tag] || !ours[repository] {
			continue
		}
		switch err := m.eng.Untag(ctx, tag); {
		case err == nil:
			removed++
		case !errors.Is(err, observe.ErrConflict) && !observe.IsNotFound(err): // a container that still runs it keeps it
			errs = append(errs, err)
		}
	}
	return removed, errors.Join(errs...)
}

// tidyFiles removes the files of a directory that are older than a time, and all but the newest so many.
func tidyFiles(dir string, before time.Time, most int) (removed int64) {
	entries, _ := os.ReadDir(dir) // none, nothing to remove
	var files []fs.FileInfo
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
			files = append(files, info)
		}
	}
	slices.SortFunc(files, func(a, b fs.FileInfo) int {
		return cmp.Or(b.ModTime().Compare(a.ModTime()), cmp.Compare(a.Name(), b.Name()))
	})
	for i, f := range files {
		if (i >= most || f.ModTime().Before(before)) && os.Remove(filepath.Join(dir, f.Name())) == nil {
			removed++
		}
	}
	return removed
}
