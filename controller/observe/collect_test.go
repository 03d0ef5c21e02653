package observe_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/volume"
	"github.com/google/go-cmp/cmp"

	"composure/controller/observe"
	"composure/spec"
)

// source is an engine with a few objects; fail answers an error for the calls it wants to.
type source struct {
	containers []*container.InspectResponse
	networks   []network.Inspect // labelled
	foreign    []network.Inspect // not labelled
	volumes    []volume.Volume
	images     map[string]image.InspectResponse // by reference and id
	files      map[string]observe.CopiedFile
	local      bool
	fail       func(call, subject string) error

	calls, busy, most atomic.Int64
}

func (s *source) called(call, subject string) error {
	s.calls.Add(1)
	if busy := s.busy.Add(1); busy > s.most.Load() {
		s.most.Store(busy)
	}
	defer s.busy.Add(-1)
	time.Sleep(time.Millisecond) // so that calls overlap
	if s.fail == nil {
		return nil
	}
	return s.fail(call, subject)
}

func (s *source) Engine(context.Context) (observe.Engine, error) {
	return observe.Engine{Version: "20.10.24", Local: s.local}, s.called("engine", "")
}

func (s *source) Containers(_ context.Context, project string) ([]container.Summary, error) {
	var list []container.Summary
	for _, c := range s.containers {
		list = append(list, container.Summary{ID: c.ID, Names: []string{"/other/alias", c.Name}, ImageID: c.Image, Labels: c.Config.Labels})
	}
	return list, s.called("containers", project)
}

func (s *source) Container(_ context.Context, id string) (*container.InspectResponse, error) {
	if err := s.called("container", id); err != nil {
		return nil, err
	}
	for _, c := range s.containers {
		if c.ID == id {
			return c, nil
		}
	}
	return nil, observe.ErrNotFound
}

func (s *source) Networks(_ context.Context, project string) ([]network.Inspect, error) {
	return s.networks, s.called("networks", project)
}

func (s *source) Volumes(_ context.Context, project string) ([]volume.Volume, error) {
	return s.volumes, s.called("volumes", project)
}

func (s *source) Network(_ context.Context, name string) (network.Inspect, error) {
	if err := s.called("network", name); err != nil {
		return network.Inspect{}, err
	}
	for _, n := range s.foreign {
		if n.Name == name {
			return n, nil
		}
	}
	return network.Inspect{}, observe.ErrNotFound
}

func (s *source) Volume(_ context.Context, name string) (volume.Volume, error) {
	return volume.Volume{}, errors.Join(s.called("volume", name), observe.ErrNotFound)
}

func (s *source) Image(_ context.Context, ref string) (image.InspectResponse, error) {
	if err := s.called("image", ref); err != nil {
		return image.InspectResponse{}, err
	}
	found, ok := s.images[ref]
	if !ok {
		return found, observe.ErrImageMissing
	}
	return found, nil
}

func (s *source) CopiedFile(_ context.Context, _, path string) (observe.CopiedFile, error) {
	if err := s.called("file", path); err != nil {
		return observe.CopiedFile{}, err
	}
	file, ok := s.files[path]
	if !ok {
		return observe.CopiedFile{}, observe.ErrNotFound
	}
	return file, nil
}

// inspected is a container of the project "app".
func inspected(service string, number int, imageID string) *container.InspectResponse {
	name := fmt.Sprintf("app-%s-%d", service, number)
	return &container.InspectResponse{
		ContainerJSONBase: &container.ContainerJSONBase{ID: "id-" + name, Name: "/" + name, Image: imageID, State: &container.State{Status: "running", Running: true}},
		Config: &container.Config{Labels: map[string]string{
			spec.LabelProject: "app", spec.LabelService: service, spec.LabelNumber: strconv.Itoa(number), spec.LabelOneOff: "False",
		}},
	}
}

// full is an engine on which the stack below runs.
func full() *source {
	oneOff := inspected("web", 9, "sha256:old")
	oneOff.Config.Labels[spec.LabelOneOff] = "True"
	building := inspected("web", 3, "sha256:half")
	delete(building.Config.Labels, spec.LabelNumber)
	return &source{
		containers: []*container.InspectResponse{building, oneOff, inspected("web", 10, "sha256:web"), inspected("web", 2, "sha256:web"), inspected("db", 1, "sha256:db")},
		networks:   []network.Inspect{{Name: "app_default"}},
		foreign:    []network.Inspect{{Name: "shared"}},
		volumes:    []volume.Volume{{Name: "app_data"}},
		images: map[string]image.InspectResponse{
			"web:1": {ID: "sha256:web"}, "sha256:web": {ID: "sha256:web"}, "sha256:db": {ID: "sha256:db"}, "sha256:old": {ID: "sha256:old"},
		},
		files: map[string]observe.CopiedFile{"/motd": {Digest: "d1", Mode: 0o444}},
	}
}

// stack is a stack of two services, of which one has a file copied in.
func stack(t testing.TB) *spec.Stack {
	t.Helper()
	file := filepath.Join(t.TempDir(), "compose.yaml")
	err := os.WriteFile(file, []byte(`
name: app
services:
  web: {image: "web:1", scale: 2, configs: [motd, gone], networks: [default, shared]}
  db: {image: "db:1", volumes: ["data:/data", "later:/later"]}
configs:
  motd: {content: hello}
  gone: {content: away}
networks:
  shared: {external: true, name: shared}
volumes:
  data: {}
  later: {}
`), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := spec.Load(t.Context(), spec.Options{Files: []string{file}, Environ: []string{}})
	if err != nil {
		t.Fatal(err)
	}
	return loaded
}

func TestCollect(t *testing.T) {
	src := full()
	snapshot, err := observe.Collect(t.Context(), src, stack(t))
	if err != nil {
		t.Fatal(err)
	}
	var names []string // without the builder's, which has labels of the image that is being built
	for _, c := range snapshot.Containers {
		names = append(names, fmt.Sprintf("%s %s %d %v", c.Name, c.Service, c.Number, c.OneOff))
	}
	want := []string{"app-db-1 db 1 false", "app-web-2 web 2 false", "app-web-9 web 9 true", "app-web-10 web 10 false"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("containers (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]observe.CopiedFile{"/motd": {Digest: "d1", Mode: 0o444}, "/gone": {}}, snapshot.Containers[1].Files); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if snapshot.Containers[0].Files != nil || snapshot.Containers[2].Files != nil {
		t.Error("files were looked for where none are copied in")
	}
	if diff := cmp.Diff(map[string]string{"web:1": "sha256:web", "db:1": ""}, snapshot.Refs); diff != "" {
		t.Errorf("refs (-want +got):\n%s", diff)
	}
	if len(snapshot.Images) != 3 || len(snapshot.Networks) != 2 || len(snapshot.Volumes) != 1 || len(snapshot.Gaps) != 0 {
		t.Errorf("got %d images, %d networks, %d volumes, gaps %v", len(snapshot.Images), len(snapshot.Networks), len(snapshot.Volumes), snapshot.Gaps)
	}
	// engine, 3 lists, 2 references, 4 containers, 2 unknown images, 1 network, 1 volume, 2 files of 2 containers
	if got := src.calls.Load(); got != 18 {
		t.Errorf("%d calls", got)
	}
	if got := src.most.Load(); got > 8 {
		t.Errorf("%d calls at a time", got)
	}
}

// TestCollectGaps fails one call at a time: what is not known is named, and all the rest is there.
func TestCollectGaps(t *testing.T) {
	broken := errors.New("500 broken")
	tests := map[string]struct {
		call, subject string
		err           error
		want          []observe.Gap
		containers    int
	}{
		"inspect hangs":         {"container", "id-app-db-1", observe.ErrNoAnswer, []observe.Gap{{Subject: "container app-db-1", Service: "db", Err: observe.ErrNoAnswer.Error()}}, 3},
		"container has gone":    {"container", "id-app-db-1", observe.ErrNotFound, nil, 3},
		"networks":              {"networks", "app", broken, []observe.Gap{{Subject: "networks", Err: "500 broken"}}, 4},
		"volumes":               {"volumes", "app", broken, []observe.Gap{{Subject: "volumes", Err: "500 broken"}}, 4},
		"external network":      {"network", "shared", broken, []observe.Gap{{Subject: "network shared", Err: "500 broken"}}, 4},
		"volume not there yet":  {"volume", "app_later", broken, nil, 4},
		"reference":             {"image", "web:1", broken, []observe.Gap{{Subject: "image web:1", Err: "500 broken"}}, 4},
		"image of a container":  {"image", "sha256:db", broken, []observe.Gap{{Subject: "image sha256:db", Err: "500 broken"}}, 4},
		"image was removed":     {"image", "sha256:db", observe.ErrImageMissing, nil, 4},
		"content of a file":     {"file", "/motd", broken, []observe.Gap{{Subject: "container app-web-10 files", Service: "web", Err: "500 broken"}, {Subject: "container app-web-2 files", Service: "web", Err: "500 broken"}}, 4},
		"external network gone": {"network", "shared", observe.ErrNotFound, nil, 4},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			src := full()
			src.fail = func(call, subject string) error {
				if call == test.call && subject == test.subject {
					return test.err
				}
				return nil
			}
			snapshot, err := observe.Collect(t.Context(), src, stack(t))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, snapshot.Gaps); diff != "" {
				t.Errorf("gaps (-want +got):\n%s", diff)
			}
			if len(snapshot.Containers) != test.containers {
				t.Errorf("%d containers, want %d", len(snapshot.Containers), test.containers)
			}
			if ref, known := snapshot.Refs["web:1"]; test.subject == "web:1" && known {
				t.Errorf("an unread reference is not a missing image: %q", ref)
			}
		})
	}
}

// TestCollectNothing: without an engine or a list of containers there is no snapshot.
func TestCollectNothing(t *testing.T) {
	for _, call := range []string{"engine", "containers", "container", "networks", "image", "file"} {
		src := full()
		src.fail = func(failing, _ string) error {
			if failing == call {
				return fmt.Errorf("dial: %w", observe.ErrUnreachable)
			}
			return nil
		}
		if _, err := observe.Collect(t.Context(), src, stack(t)); !errors.Is(err, observe.ErrUnreachable) {
			t.Errorf("%s: got %v", call, err)
		}
	}
	src := full()
	src.fail = func(call, _ string) error {
		if call == "containers" {
			return observe.ErrNoAnswer
		}
		return nil
	}
	if _, err := observe.Collect(t.Context(), src, stack(t)); !errors.Is(err, observe.ErrNoAnswer) {
		t.Errorf("without a list: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	src.fail = func(call, _ string) error {
		if call == "container" {
			cancel()
			return ctx.Err()
		}
		return nil
	}
	if _, err := observe.Collect(ctx, src, stack(t)); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestCollectHostFiles looks at files only when the engine is on this host.
func TestCollectHostFiles(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "app.conf")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	edited := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	if err := os.Chtimes(file, edited, edited); err != nil {
		t.Fatal(err)
	}
	src := full()
	src.containers[1].Mounts = append(src.containers[1].Mounts, []container.MountPoint{
		{Type: "bind", Source: file}, {Type: "bind", Source: dir}, {Type: "bind", Source: file + "2"}, {Type: "bind", Source: "/etc/passwd", RW: true},
	}...)
	for _, local := range []bool{true, false} {
		src.local = local
		snapshot, err := observe.Collect(t.Context(), src, stack(t))
		if err != nil {
			t.Fatal(err)
		}
		if !local {
			if snapshot.HostFiles != nil {
				t.Errorf("looked at another host's files here: %v", snapshot.HostFiles)
			}
			continue
		}
		if len(snapshot.HostFiles) != 1 || !snapshot.HostFiles[file].ModTime.Equal(edited) {
			t.Errorf("got %v", snapshot.HostFiles)
		}
	}
}

// TestLogFrom: the engine stamps a start after the process runs, so that the first lines of a log are older than it.
func TestLogFrom(t *testing.T) {
	const never, created, ended, start = "0001-01-01T00:00:00Z", "2026-11-01T09:00:00Z", "2026-11-01T09:30:00Z", "2026-11-01T10:00:00Z"
	for name, test := range map[string]struct{ started, finished, want string }{
		"never started":     {never, never, never},
		"its first run":     {start, never, created},
		"started once more": {start, ended, ended},
		"ended":             {start, "2026-11-01T11:00:00Z", "2026-11-01T09:59:59Z"},
	} {
		c := observe.Container{Inspect: &container.InspectResponse{ContainerJSONBase: &container.ContainerJSONBase{
			Created: created, State: &container.State{StartedAt: test.started, FinishedAt: test.finished},
		}}}
		if got := c.LogFrom().Format(time.RFC3339); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}
