package interop

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/storage"

	"composure/controller/observe"
)

// recording is what one generation of docker compose made of one corpus file: one line of a file in testdata.
type recording struct {
	File     string
	Snapshot *observe.Snapshot
}

func recordingsFile(generation string) string {
	return filepath.Join("testdata", "observed-"+generation+".jsonl")
}

// readRecordings returns the snapshots of a generation by corpus file.
func readRecordings(t *testing.T, generation string) map[string]*observe.Snapshot {
	t.Helper()
	f, err := os.Open(recordingsFile(generation))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	snapshots := map[string]*observe.Snapshot{}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var r recording
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			t.Fatalf("%s: %v", recordingsFile(generation), err)
		}
		snapshots[r.File] = r.Snapshot
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return snapshots
}

// recorder collects the snapshots of a run and writes them when the test ends.
type recorder struct {
	mu   sync.Mutex
	made map[string][]recording // by generation
}

func (r *recorder) add(t *testing.T, generation, file string, s *observe.Snapshot) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.made[generation] = append(r.made[generation], recording{file, trimmed(t, s)})
}

func (r *recorder) write(t *testing.T) {
	for generation, recordings := range r.made {
		slices.SortFunc(recordings, func(a, b recording) int {
			if a.File < b.File {
				return -1
			}
			return 1
		})
		f, err := os.Create(recordingsFile(generation))
		if err != nil {
			t.Fatal(err)
		}
		encoder := json.NewEncoder(f)
		for _, one := range recordings {
			if err := encoder.Encode(one); err != nil {
				t.Fatal(err)
			}
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// trimmed is a deep copy without what belongs to the machine and is never compared.
func trimmed(t *testing.T, s *observe.Snapshot) *observe.Snapshot {
	t.Helper()
	raw, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var trimmed observe.Snapshot
	if err := json.Unmarshal(raw, &trimmed); err != nil {
		t.Fatal(err)
	}
	trimmed.Engine.ID = ""
	for _, c := range trimmed.Containers {
		base := c.Inspect.ContainerJSONBase
		base.ResolvConfPath, base.HostnamePath, base.HostsPath, base.LogPath = "", "", "", ""
		base.GraphDriver = storage.DriverData{}
		if len(base.HostConfig.MaskedPaths) > 0 { // the engine's own; an emptied list is the file's wish
			base.HostConfig.MaskedPaths, base.HostConfig.ReadonlyPaths = nil, nil
		}
	}
	for id, i := range trimmed.Images {
		trimmed.Images[id] = image.InspectResponse{ID: i.ID, RepoTags: i.RepoTags, Config: i.Config, Os: i.Os, Architecture: i.Architecture}
	}
	return &trimmed
}
