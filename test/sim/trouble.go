package sim

import (
	"encoding/binary"
	"hash/fnv"
	"net/http"
	"strings"
	"time"

	"composure/test/simengine"
)

// trouble is a time in which some calls go wrong.
type trouble struct {
	kind  simengine.FaultKind // "slow": they take long
	until time.Time
	share float64 // of the calls
	late  time.Duration
}

// slow is a kind of trouble in which the engine is right, and takes its time.
const slow simengine.FaultKind = "slow"

// trouble decides what goes wrong with a request: a function of the seed, the request and the time, so that how often the
// program asks at one moment does not matter.
func (w *world) trouble(r *http.Request, from string) simengine.Trouble {
	looks := r.Method == http.MethodGet || r.Method == http.MethodHead
	t := simengine.Trouble{Delay: 200*time.Microsecond + time.Duration(w.chance(r, "delay")*float64(3*time.Millisecond))}
	if !looks {
		t.Delay = time.Millisecond + time.Duration(w.chance(r, "delay")*float64(40*time.Millisecond))
	}
	if from == hand { // what goes wrong there is for people to mend
		return t
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for n, f := range w.troubles {
		if !time.Now().Before(f.until) || w.chance(r, string(rune('a'+n))) >= f.share {
			continue
		}
		switch {
		case f.kind == slow:
			t.Delay += time.Duration(w.chance(r, "slow") * float64(f.late))
		case f.kind == simengine.Stale:
			if r.URL.Path == "/containers/json" {
				t.Kind = f.kind
			}
		case r.URL.Path == "/events" || strings.HasSuffix(r.URL.Path, "/start") && strings.HasPrefix(r.URL.Path, "/exec"):
		case f.kind == simengine.Late || f.kind == simengine.Drop:
			if !looks {
				t.Kind, t.Late = f.kind, time.Duration(w.chance(r, "late")*float64(f.late))
			}
		default:
			t.Kind = f.kind
		}
	}
	if !looks && w.deadly != nil {
		w.deadly(r, from, &t)
	}
	return t
}

// chance is a number from 0 to 1 that depends on the seed, the request, the time and a salt.
func (w *world) chance(r *http.Request, salt string) float64 {
	h := fnv.New64a()
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:], w.Seed)
	binary.LittleEndian.PutUint64(b[8:], uint64(time.Since(w.began)))
	_, _ = h.Write(b[:])
	_, _ = h.Write([]byte(r.Method + r.URL.Path + salt))
	return float64(mix(h.Sum64())>>11) / (1 << 53)
}

// mix spreads the bits of a hash, whose high ones hardly depend on the last bytes.
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}

// storeDown says whether the store refuses, for reads or for writes.
func (w *world) storeDown(writes bool) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.storeMode == "down" || w.storeMode == "full" && writes
}

// commitsLost says whether commits are not acknowledged.
func (w *world) commitsLost() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.storeMode == "lost"
}

// calm ends all that goes wrong.
func (w *world) calm() {
	w.mu.Lock()
	w.troubles, w.storeMode, w.deadly = nil, "", nil
	clear(w.ports)
	w.mu.Unlock()
	w.people.mu.Lock()
	w.people.down = false
	w.people.mu.Unlock()
	w.sim.LoseEvents(nil)
	var services []string
	w.sim.Locked(func() {
		for name, a := range w.apps {
			clear(a.until)
			services = append(services, name)
		}
	})
	for _, service := range services {
		w.sim.Reconsider(service)
	}
	for _, port := range hostPorts {
		w.sim.HostPort(port, false)
	}
}
