package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"composure/controller/engine"
	"composure/controller/observe"
	"composure/spec"
	"composure/test/simengine"
)

// noted is what the simulated engine tells of the looks since it was last asked to forget them.
type noted struct {
	Looks       int       // stacks that were looked at
	Calls       int       // of all looks, without lists of containers, which every stack asks for once a minute
	First, Last time.Time // call of the first look, and end of the last call that may belong to the last one
	Unknown     []string  // that the simulated engine does not know

	stacks map[string]bool
	newest time.Time // look
}

// lasting is how long after the beginning of the last look calls are counted to it.
const lasting = 10 * time.Second

// note notes a call. A look at a stack asks for its networks; what else the remediator asks, such as how much memory is used,
// is not the look's.
func (n *noted) note(r *http.Request, began time.Time) {
	switch path := r.URL.Path; {
	case strings.HasSuffix(path, "/networks"):
		if about := r.URL.Query().Get("filters"); !n.stacks[about] {
			n.stacks[about] = true
			n.Looks, n.newest = len(n.stacks), time.Now()
		}
	case strings.HasSuffix(path, "/containers/json"), strings.HasSuffix(path, "/stats"), time.Since(n.newest) > lasting:
		return
	}
	if n.Calls++; n.First.IsZero() {
		n.First = began
	}
	n.Last = time.Now()
}

// simulate serves a simulated engine on which the stacks of a directory run, until ctx ends. It is a process of its own:
// its memory and its processor time are not those of what is measured.
func simulate(ctx context.Context, dir string) error {
	sim := simengine.New()
	sim.Image(image, dockerspec.DockerOCIImageConfig{})
	var mu sync.Mutex
	calls := noted{stacks: map[string]bool{}}
	mux := http.NewServeMux()
	mux.HandleFunc("/bench/calls", func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		calls.Unknown = sim.Unknown()
		_ = json.NewEncoder(w).Encode(calls)
	})
	// An event that may concern every stack, and is about none; the answer is its time.
	mux.HandleFunc("/bench/event", func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		calls = noted{stacks: map[string]bool{}}
		sim.Load()
		_ = json.NewEncoder(w).Encode(time.Now())
	})
	api := sim.Handler()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		api.ServeHTTP(w, r)
		mu.Lock()
		defer mu.Unlock()
		calls.note(r, began)
	})
	mux.Handle("/{version}/events", api)
	listener, err := net.Listen("unix", filepath.Join(dir, "engine.sock"))
	if err != nil {
		return err
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(listener) }()
	defer server.Close()
	if err := populate(ctx, dir); err != nil {
		return err
	}
	fmt.Println("ready")
	<-ctx.Done()
	return nil
}

// populate creates and starts the containers of all stacks of a directory.
func populate(ctx context.Context, dir string) error {
	eng, err := engine.Connect(ctx, engine.Options{Host: "unix://" + filepath.Join(dir, "engine.sock")})
	if err != nil {
		return err
	}
	defer eng.Close()
	files, err := filepath.Glob(filepath.Join(dir, "stacks", "*", "compose.yaml"))
	if err != nil {
		return err
	}
	for _, file := range files {
		stack, err := spec.Load(ctx, spec.Options{Files: []string{file}})
		if err != nil {
			return err
		}
		if err := deploy(ctx, eng, stack); err != nil {
			return err
		}
	}
	return nil
}

// deploy makes what a deployment of a stack makes.
func deploy(ctx context.Context, eng *engine.Engine, stack *spec.Stack) error {
	for _, n := range stack.Networks {
		if err := eng.CreateNetwork(ctx, n); err != nil {
			return err
		}
	}
	seen, err := observe.Collect(ctx, eng, stack)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(8)
	for _, svc := range stack.Services {
		for number := 1; number <= svc.Replicas; number++ {
			c, err := stack.Container(svc, number, observe.Facts(stack, svc, observe.Slot{Number: number}, seen))
			if err != nil {
				return err
			}
			group.Go(func() error {
				id, err := eng.CreateContainer(ctx, c.Name, c)
				if err != nil {
					return err
				}
				return eng.Start(ctx, id)
			})
		}
	}
	return group.Wait()
}

// writeStack writes a compose file of so many containers: a stack has at most a hundred services, beyond that replicas.
func writeStack(dir string, n, containers int) {
	count := min(containers, 100)
	var text strings.Builder
	fmt.Fprintf(&text, "name: scale-%03d\nservices:\n", n)
	for i := range count {
		fmt.Fprintf(&text, "  s%02d:\n    image: %s\n    command: [sleep, \"1000000\"]\n    restart: unless-stopped\n    mem_limit: 32m\n    scale: %d\n    environment: {INDEX: \"%d\"}\n", i, image, containers/count, i)
	}
	home := filepath.Join(dir, "stacks", strconv.Itoa(n))
	if err := os.MkdirAll(home, 0o700); err != nil {
		panic(err)
	}
	must(filepath.Join(home, "compose.yaml"), text.String())
}
