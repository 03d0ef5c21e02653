package web

import (
	"sync"
	"time"
)

// Bounds of what is kept of rendered pages.
const (
	maxRendered = 64
	freshFor    = 5 * time.Second
)

// rendered keeps pages for as long as they are fresh. The zero value is empty.
type rendered struct {
	mu    sync.Mutex
	pages map[string]kept
}

type kept struct {
	page []byte
	at   time.Time
}

func (r *rendered) get(key string) ([]byte, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	k, known := r.pages[key]
	return k.page, known && time.Since(k.at) < freshFor
}

// put keeps a page; when there are too many, those that are no longer fresh go, or all.
func (r *rendered) put(key string, page []byte, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.pages) >= maxRendered {
		for k, v := range r.pages {
			if now.Sub(v.at) >= freshFor {
				delete(r.pages, k)
			}
		}
	}
	if r.pages == nil || len(r.pages) >= maxRendered {
		r.pages = map[string]kept{}
	}
	r.pages[key] = kept{page, now}
}
