//go:build linux

package simengine_test

import (
	"context"
	"crypto/rand"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"

	"composure/controller/engine"
	"composure/test/dockerd"
	"composure/test/simengine"
)

// image is built by hack/images.sh: a static busybox and nothing else.
const image = "composure-test/busybox:1"

// TestMain runs more at a time than there are processors: most of the time is spent waiting for the engine.
func TestMain(m *testing.M) {
	flag.Parse()
	if f := flag.Lookup("test.parallel"); f.Value.String() == f.DefValue {
		_ = f.Value.Set("3")
	}
	os.Exit(m.Run())
}

// TestConformance runs each engine fact against the simulated and the real engine: they must agree. What ends the daemon,
// fills its buffers or needs a network of its own runs on a private one.
func TestConformance(t *testing.T) {
	t.Run("private", func(t *testing.T) {
		t.Parallel()
		own := dockerd.Start(t, dockerd.Options{Images: []string{image}})
		for _, f := range facts {
			if f.private {
				t.Run(f.name(), func(t *testing.T) { agree(t, f, private(own)) })
			}
		}
	})
	for _, f := range facts {
		if !f.private {
			t.Run(f.name(), func(t *testing.T) { t.Parallel(); agree(t, f, shared()) })
		}
	}
}

// TestEveryFactIsInTheTable: the table is where the facts stand; a number without a row is a fact that nobody has seen.
func TestEveryFactIsInTheTable(t *testing.T) {
	for n := 1; n <= 28; n++ {
		if !slices.ContainsFunc(facts, func(f fact) bool { return f.number == n }) {
			t.Errorf("engine fact %d has no row", n)
		}
	}
	for _, f := range facts {
		if f.number < 0 || f.number > 28 || f.words == "" || f.run == nil {
			t.Errorf("fact %d: a row has a number of the table, 0 for none, the fact's words, and a run", f.number)
		}
	}
}

// fact is one row: what is said of an engine, and the run that shows it. A run notes what it sees, and both engines must
// have shown the same; what is in the words is asserted by the run itself with want.
type fact struct {
	number  int
	words   string
	private bool // it needs a daemon of its own
	run     func(s *subject)
}

func (f fact) name() string {
	words, _, _ := strings.Cut(f.words, ":")
	return fmt.Sprintf("%d %s", f.number, words)
}

// agree runs a fact against both engines, at a time, and compares what they have shown.
func agree(t *testing.T, f fact, real side) {
	prefix := "cmpsr-sim-" + strings.ToLower(rand.Text()[:8])
	simulated := &subject{T: t, prefix: prefix, side: simulation(t)}
	measured := &subject{T: t, prefix: prefix, side: real}
	for _, s := range []*subject{measured, simulated} {
		s.open()
		t.Cleanup(s.clean)
		f.run(s)
	}
	if unknown := simulated.sim.Unknown(); len(unknown) > 0 {
		t.Errorf("the simulated engine was asked what it does not know: %v", unknown)
	}
	if diff := cmp.Diff(measured.notes, simulated.notes); diff != "" {
		t.Errorf("%s\nthe engines do not agree (-real +simulated):\n%s", f.words, diff)
	} else {
		t.Logf("%s\n  %s", f.words, strings.Join(measured.notes, "\n  "))
	}
}

// side is one of the two engines.
type side struct {
	host   string // as -H takes it
	sim    *simengine.Engine
	own    *dockerd.Engine
	daemon interface { // nil: it is not ours to end
		Term() error
		Kill9() error
		Up() error
		LiveRestore(on bool) error
		Stop() error
		Cont() error
	}
}

// shared is the machine's engine.
func shared() side { return side{host: os.Getenv("DOCKER_HOST")} }

func private(own *dockerd.Engine) side { return side{host: own.Host, own: own, daemon: own} }

// simulation is a simulated engine behind a unix socket.
func simulation(t *testing.T) side {
	t.Helper()
	dir, err := os.MkdirTemp("", "cmpsr-sim-")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() { cancel(); _ = os.RemoveAll(dir) })
	sim, socket := simengine.New(), filepath.Join(dir, "docker.sock")
	sim.Image(image, dockerspec.DockerOCIImageConfig{})
	if err := sim.Listen(ctx, socket); err != nil {
		t.Fatal(err)
	}
	return side{host: "unix://" + socket, sim: sim, daemon: sim.Daemon()}
}

// open connects to the engine.
func (s *subject) open() {
	s.Helper()
	var err error
	if s.Engine, err = engine.Connect(s.Context(), engine.Options{Host: s.host}); err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { _ = s.Close() })
	s.client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: s.dial}}
}

// dial connects to the engine's socket.
func (s *subject) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	socket := strings.TrimPrefix(s.Host(), "unix://")
	return (&net.Dialer{}).DialContext(ctx, "unix", socket)
}

// clean removes what a run has made.
func (s *subject) clean() {
	if s.sim != nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for _, path := range append(s.containers(), s.leftovers...) {
		status, text := s.ask(ctx, http.MethodDelete, path, nil)
		if status >= 300 && status != http.StatusNotFound {
			s.Errorf("remove %s: %d %s", path, status, text)
		}
	}
}

// containers are the paths at which the run's containers are removed.
func (s *subject) containers() []string {
	var paths []string
	for _, id := range s.ids {
		paths = append(paths, "/containers/"+id+"?force=1&v=1")
	}
	return paths
}
