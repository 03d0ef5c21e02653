package engine_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"composure/controller/observe"
	"composure/spec"
)

// stackOf loads a compose file as the project of the sandbox.
func (s *sandbox) stackOf(t testing.TB, compose string) *spec.Stack {
	t.Helper()
	file := filepath.Join(t.TempDir(), "compose.yaml")
	writeFile(t, file, []byte(compose))
	stack, err := spec.Load(t.Context(), spec.Options{Files: []string{file}, ProjectName: s.prefix, Environ: []string{}})
	if err != nil {
		t.Fatal(err)
	}
	return stack
}

// up makes what a stack asks for, without waiting for anything.
func (s *sandbox) up(t testing.TB, stack *spec.Stack) {
	t.Helper()
	for _, n := range stack.Networks {
		if n.External {
			continue
		}
		if err := s.CreateNetwork(t.Context(), n); err != nil {
			t.Fatal(err)
		}
	}
	for _, v := range stack.Volumes {
		if err := s.CreateVolume(t.Context(), v); err != nil {
			t.Fatal(err)
		}
	}
	for _, svc := range stack.Services {
		found, err := s.Image(t.Context(), svc.Image)
		if err != nil {
			t.Fatal(err)
		}
		for number := 1; number <= svc.Replicas; number++ {
			c, err := stack.Container(svc, number, spec.Facts{APIVersion: "1.41", ImageID: found.ID})
			if err != nil {
				t.Fatal(err)
			}
			s.start(t, c)
		}
	}
}

// TestCollectFromEngine observes a stack that the adapter made, with what is foreign to it.
func TestCollectFromEngine(t *testing.T) {
	other, s := open(t), open(t) // cleaned up in reverse: the network is free when its turn comes
	external := other.network(t, "external", network.CreateOptions{})
	motd := filepath.Join(t.TempDir(), "motd.txt")
	writeFile(t, motd, []byte("mounted"))
	stack := s.stackOf(t, fmt.Sprintf(`
services:
  web:
    image: %s
    command: sleep 600
    scale: 2
    networks: [default, external]
    configs: [copied, mounted]
    stop_signal: SIGKILL
  db:
    image: %[1]s
    command: sleep 600
    volumes: ["data:/data"]
    stop_signal: SIGKILL
configs:
  copied: {content: "hello"}
  mounted: {file: %s}
networks:
  external: {external: true, name: %s}
volumes:
  data: {}
`, testImage, motd, external.Name))
	s.up(t, stack)

	snapshot, err := observe.Collect(t.Context(), s.Engine, stack)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range snapshot.Containers {
		got = append(got, fmt.Sprint(strings.TrimPrefix(c.Name, s.prefix), " ", c.Service, " ", c.Number, " ", c.Status(), " ", len(c.Files)))
	}
	want := []string{"-db-1 db 1 running 0", "-web-1 web 1 running 1", "-web-2 web 2 running 1"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("containers (-want +got):\n%s", diff)
	}
	const helloDigest = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
	if diff := cmp.Diff(map[string]observe.CopiedFile{"/copied": {Digest: helloDigest, Mode: 0o444}}, snapshot.Containers[1].Files); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if len(snapshot.Gaps) != 0 || len(snapshot.Networks) != 2 || len(snapshot.Volumes) != 1 || len(snapshot.Images) != 1 {
		t.Errorf("gaps %v, networks %d, volumes %d, images %d", snapshot.Gaps, len(snapshot.Networks), len(snapshot.Volumes), len(snapshot.Images))
	}
	if _, known := snapshot.Networks[external.Name]; !known {
		t.Error("the external network is missing")
	}
	if id := snapshot.Refs[testImage]; snapshot.Images[id].ID != id || id == "" {
		t.Errorf("reference resolves to %q", id)
	}
	if file, known := snapshot.HostFiles[motd]; snapshot.Engine.Local && (!known || time.Since(file.ModTime) > time.Hour) {
		t.Errorf("the mounted file is not among %v", snapshot.HostFiles)
	}
}

// BenchmarkCollect compares the collection of 100 running containers with the bare cost of the same calls, 8-way, taken
// in turns; it reports their ratio.
func BenchmarkCollect(b *testing.B) {
	s := open(b)
	stack := s.stackOf(b, fmt.Sprintf("services: {web: {image: %q, command: sleep 3600, scale: 100, stop_signal: SIGKILL, network_mode: none}}", testImage))
	s.up(b, stack)
	var collected, bare time.Duration
	for b.Loop() {
		began := time.Now()
		snapshot, err := observe.Collect(b.Context(), s.Engine, stack)
		if err != nil || len(snapshot.Containers) != 100 || len(snapshot.Gaps) != 0 {
			b.Fatal(err, snapshot)
		}
		collected += time.Since(began)
		began = time.Now()
		if err := s.bareCalls(b.Context()); err != nil {
			b.Fatal(err)
		}
		bare += time.Since(began)
	}
	b.ReportMetric(float64(collected.Microseconds())/1000/float64(b.N), "ms/collect")
	b.ReportMetric(float64(bare.Microseconds())/1000/float64(b.N), "ms/bare")
	b.ReportMetric(float64(collected)/float64(bare), "collect/bare")
}

// bareCalls makes the same API calls and drops the answers.
func (s *sandbox) bareCalls(ctx context.Context) error {
	var list []container.Summary
	first, firstCtx := errgroup.WithContext(ctx)
	first.SetLimit(8)
	first.Go(func() (err error) {
		list, err = s.raw.ContainerList(firstCtx, container.ListOptions{All: true, Filters: s.mine()})
		return err
	})
	first.Go(func() error { _, err := s.raw.Ping(firstCtx); return err })
	first.Go(func() error { _, err := s.Networks(firstCtx, s.prefix); return err })
	first.Go(func() error { _, err := s.Volumes(firstCtx, s.prefix); return err })
	first.Go(func() error { _, err := s.raw.ImageInspect(firstCtx, testImage); return err })
	if err := first.Wait(); err != nil {
		return err
	}
	second, secondCtx := errgroup.WithContext(ctx)
	second.SetLimit(8)
	for _, c := range list {
		second.Go(func() error { _, err := s.raw.ContainerInspect(secondCtx, c.ID); return err })
	}
	return second.Wait()
}
