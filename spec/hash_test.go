package spec

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"composure/test/corpus"
)

var record = flag.Bool("record", false, "record the hashes that the docker compose binaries of hack/peers.sh print")

// generations of docker compose, and what to call their own version label.
var generations = map[string]string{"v2.40.3": "2.40.3", "v5.6.0": "5.6.0"}

const hashesFile = "testdata/hashes.json"

// v2 prints the hash of a service before it reads its environment and label files, but labels containers with the
// hash afterwards: what it prints for these files is no hash that any container has. The interoperation test has their labels.
var unprintable = []string{"env-file", "environment-list", "environment-map", "extends", "labels"}

// TestServiceHashes compares with what docker compose itself says: file → service → hash, of each generation.
func TestServiceHashes(t *testing.T) {
	if err := corpus.Install(); err != nil {
		t.Fatal(err)
	}
	if *record {
		recordHashes(t)
	}
	raw, err := os.ReadFile(hashesFile)
	if err != nil {
		t.Fatal(err)
	}
	var recorded map[string]map[string]map[string]string
	if err := json.Unmarshal(raw, &recorded); err != nil {
		t.Fatal(err)
	}
	for generation, version := range generations {
		equal := 0
		for file, services := range recorded[generation] {
			stack := loadCorpus(t, file)
			for name, want := range services {
				c, err := stack.Container(stack.Service(name), 1, Facts{Compose: version})
				if err != nil {
					t.Errorf("%s: %v", file, err)
				} else if !slices.Contains(c.Hashes, want) {
					t.Errorf("%s: %s %s: the accepted hashes lack %s", file, generation, name, want)
				} else if c.Hash != want {
					t.Errorf("%s: %s %s: would write %s, docker compose writes %s", file, generation, name, c.Hash, want)
				} else {
					equal++
				}
			}
		}
		t.Logf("docker compose %s: %d hashes equal", generation, equal)
	}
}

func loadCorpus(t *testing.T, name string) *Stack {
	t.Helper()
	stack, err := Load(t.Context(), Options{
		Files: []string{corpus.File(name)}, ProjectName: "cmpsr-interop-" + name, Environ: corpus.Environ,
	})
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return stack
}

func recordHashes(t *testing.T) {
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	recorded := map[string]map[string]map[string]string{}
	for generation := range generations {
		recorded[generation] = map[string]map[string]string{}
		for _, file := range corpus.Names() {
			if generation == "v2.40.3" && slices.Contains(unprintable, file) {
				continue
			}
			binary := filepath.Join(cache, "composure", "bin", "docker-compose-"+generation)
			recorded[generation][file] = printedHashes(t, binary, file)
		}
	}
	out, err := json.MarshalIndent(recorded, "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(hashesFile, append(out, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}

func printedHashes(t *testing.T, binary, file string) map[string]string {
	cmd := exec.Command(binary, "-f", corpus.File(file), "-p", "cmpsr-interop-"+file, "config", "--hash", "*")
	cmd.Env = append(slices.Clone(corpus.Environ), "PATH="+os.Getenv("PATH"), "HOME="+t.TempDir())
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v: %s", file, err, stderr.String())
	}
	services := map[string]string{}
	for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		var name, hash string
		if _, err := fmt.Sscan(line, &name, &hash); err != nil {
			t.Fatalf("%s: %q: %v", file, line, err)
		}
		services[name] = hash
	}
	return services
}
