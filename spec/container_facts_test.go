package spec

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/mount"
	"github.com/google/go-cmp/cmp"
)

// loadText loads a compose file of the given text as project "app".
func loadText(t *testing.T, text string) *Stack {
	t.Helper()
	file := filepath.Join(t.TempDir(), "compose.yaml")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	stack, err := Load(t.Context(), Options{Files: []string{file}, ProjectName: "app", Environ: []string{}})
	if err != nil {
		t.Fatal(err)
	}
	return stack
}

func mustContainer(t *testing.T, stack *Stack, service string, number int, f Facts) Container {
	t.Helper()
	c, err := stack.Container(stack.Service(service), number, f)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestNamespacesOfOtherServices(t *testing.T) {
	stack := loadText(t, `
services:
  owner: {image: a}
  guest:
    image: a
    network_mode: service:owner
    ipc: service:owner
    pid: service:owner
    volumes_from: [owner:ro, container:outside:ro]
`)
	unknown := mustContainer(t, stack, "guest", 1, Facts{})
	known := mustContainer(t, stack, "guest", 1, Facts{ContainerIDs: map[string]string{"owner": "abc"}})
	got := []string{string(known.Host.NetworkMode), string(known.Host.IpcMode), string(known.Host.PidMode)}
	got = append(got, known.Host.VolumesFrom...)
	// docker compose drops the mode of volumes_from, and hashes without it
	want := []string{"container:abc", "container:abc", "container:abc", "abc", "outside"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if len(known.Networks) != 0 {
		t.Errorf("a shared network namespace has networks of its own: %v", known.Networks)
	}
	if known.Hash == unknown.Hash {
		t.Error("the config hash does not follow the container that is shared")
	}
	again := mustContainer(t, stack, "guest", 1, Facts{})
	if diff := cmp.Diff(unknown.Host.VolumesFrom, again.Host.VolumesFrom); diff != "" {
		t.Errorf("building a container changed the stack: %s", diff)
	}
}

func TestCarriedVolumes(t *testing.T) {
	stack := loadText(t, `
services:
  db:
    image: a
    volumes:
      - /declared
      - {type: volume, target: /frozen, read_only: true}
      - data:/data
      - {type: tmpfs, target: /memory}
volumes: {data: {}}
`)
	c := mustContainer(t, stack, "db", 1, Facts{Carried: map[string]string{
		"/declared": "v1", "/frozen": "v2", "/of-the-image": "v3", "/data": "v4", "/memory": "v5",
	}})
	want := []mount.Mount{
		{Type: "volume", Source: "v1", Target: "/declared"},
		{Type: "volume", Source: "v2", Target: "/frozen", ReadOnly: true},
		{Type: "tmpfs", Target: "/memory"},
		{Type: "volume", Source: "v3", Target: "/of-the-image"},
	}
	if diff := cmp.Diff(want, c.Host.Mounts); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"app_data:/data:rw"}, c.Host.Binds); diff != "" {
		t.Error(diff)
	}
}

func TestGenerationOfLabels(t *testing.T) {
	stack := loadText(t, "services:\n  web:\n    image: a\n    volumes: [./:/src]\n")
	current := mustContainer(t, stack, "web", 2, Facts{ImageID: "sha256:1"})
	v2 := mustContainer(t, stack, "web", 2, Facts{Compose: "2.40.3"})
	if current.Hash == v2.Hash {
		t.Error("both generations hash a short bind alike")
	}
	if diff := cmp.Diff([]string{current.Hash, v2.Hash}, current.Hashes); diff != "" {
		t.Error(diff)
	}
	for label, want := range map[string]string{
		LabelVersion: ComposeVersion, LabelNumber: "2", LabelConfigHash: current.Hash, LabelImage: "sha256:1",
		LabelDependsOn: "", LabelOneOff: "False", LabelWorkingDir: stack.WorkingDir,
	} {
		if got, ok := current.Config.Labels[label]; !ok || got != want {
			t.Errorf("label %s is %q, want %q", label, got, want)
		}
	}
	if got := v2.Config.Labels[LabelVersion]; got != "2.40.3" {
		t.Errorf("label %s is %q, want that of the stack", LabelVersion, got)
	}
	if _, ok := v2.Config.Labels[LabelImage]; ok {
		t.Error("an image label although the image is not known")
	}
}

func TestProxies(t *testing.T) {
	stack := loadText(t, "services:\n  web:\n    image: a\n    environment: {NO_PROXY: own, UNSET: }\n")
	c := mustContainer(t, stack, "web", 1, Facts{Proxies: map[string]string{"HTTP_PROXY": "http://p", "NO_PROXY": "x"}})
	if diff := cmp.Diff([]string{"HTTP_PROXY=http://p", "NO_PROXY=own", "UNSET"}, c.Config.Env); diff != "" {
		t.Error(diff)
	}
}

func TestMacAddressByAPIVersion(t *testing.T) {
	stack := loadText(t, "services:\n  web:\n    image: a\n    mac_address: 02:42:00:00:00:01\n")
	old := mustContainer(t, stack, "web", 1, Facts{APIVersion: "1.43"})
	if old.Config.MacAddress != "02:42:00:00:00:01" || old.Networks[0].Settings.MacAddress != "" { //nolint:staticcheck // below API 1.44
		t.Errorf("below API 1.44 the address belongs to the container: %q, %q", old.Config.MacAddress, old.Networks[0].Settings.MacAddress) //nolint:staticcheck // below API 1.44
	}
	current := mustContainer(t, stack, "web", 1, Facts{APIVersion: "1.44"})
	if current.Config.MacAddress != "" || current.Networks[0].Settings.MacAddress != "02:42:00:00:00:01" { //nolint:staticcheck // below API 1.44
		t.Errorf("from API 1.44 on the address belongs to the network: %q, %q", current.Config.MacAddress, current.Networks[0].Settings.MacAddress) //nolint:staticcheck // below API 1.44
	}
}

// TestContradictions are files that load and that no engine could run: file, line, key and what to do.
func TestContradictions(t *testing.T) {
	tests := map[string]struct{ text, want string }{
		"secret of a swarm driver": {`
services:
  web: {image: a, secrets: [token]}
secrets:
  token:
    file: ./token
    driver: vault
`, "compose.yaml:7: secrets.token.driver: only a swarm has such secrets"},
		"content in a read-only container": {`
services:
  web:
    image: a
    read_only: true
    configs: [app]
configs:
  app: {content: x}
`, "compose.yaml:6: services.web.configs: configs.app cannot be copied into a read-only container"},
		"owner that is no number": {`
services:
  web:
    image: a
    configs: [{source: app, uid: root}]
configs:
  app: {content: x}
`, `services.web.configs: uid of app is "root"; write a number`},
		"security option": {`
services:
  web:
    image: a
    security_opt: [nonsense]
`, `compose.yaml:5: services.web.security_opt: "nonsense" is no security option`},
		"missing seccomp profile": {`
services:
  web:
    image: a
    security_opt: [seccomp=./absent.json]
`, "services.web.security_opt: read seccomp profile"},
		"two addresses": {`
services:
  web:
    image: a
    mac_address: 02:42:00:00:00:01
    networks: {lan: {mac_address: "02:42:00:00:00:02"}}
networks: {lan: {}}
`, "compose.yaml:5: services.web.mac_address: differs from the mac_address of network lan"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			stack := loadText(t, test.text)
			_, err := stack.Container(stack.Service("web"), 1, Facts{})
			var located *Error
			if !errors.As(err, &located) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want an error with %q", err, test.want)
			}
		})
	}
}
