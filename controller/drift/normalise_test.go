package drift

import (
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"
	"github.com/google/go-cmp/cmp"

	"composure/controller/observe"
	"composure/test/fixture"
)

// TestSwapFollowsMemory: an unset swap limit is whatever the engine derives from the memory limit, and only that.
func TestSwapFollowsMemory(t *testing.T) {
	const mib = 1 << 20
	for _, tc := range []struct {
		name                     string
		wantMemory, wantSwap     int64
		haveMemory, haveSwap     int64
		differsMemory, differsIn bool
		drops                    []string
	}{
		{"doubled", 64 * mib, 0, 64 * mib, 128 * mib, false, false, nil},
		{"kernel without swap accounting", 64 * mib, 0, 64 * mib, -1, false, false, []string{"memswap_limit"}},
		{"swap made unlimited by hand", 64 * mib, 0, 64 * mib, -1, false, true, nil},
		{"no limit at all", 0, 0, 0, 0, false, false, nil},
		{"memory changed by hand", 64 * mib, 0, 32 * mib, 64 * mib, true, false, nil},
		{"memory raised by hand, swap left", 64 * mib, 0, 100 * mib, 128 * mib, true, false, nil},
		{"swap changed by hand", 64 * mib, 0, 64 * mib, 96 * mib, false, true, nil},
		{"swap set in the file", 64 * mib, 256 * mib, 64 * mib, 128 * mib, false, true, nil},
		{"limits taken away by hand", 64 * mib, 0, 0, 0, true, false, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var want, have container.HostConfig
			want.Memory, want.MemorySwap, have.Memory, have.MemorySwap = tc.wantMemory, tc.wantSwap, tc.haveMemory, tc.haveSwap
			fromEngineMemory(&want, &have, observe.Engine{Drops: tc.drops})
			if got := want.Memory != have.Memory; got != tc.differsMemory {
				t.Errorf("memory differs: %t, want %t", got, tc.differsMemory)
			}
			if got := want.MemorySwap != have.MemorySwap; got != tc.differsIn {
				t.Errorf("swap differs: %t, want %t", got, tc.differsIn)
			}
		})
	}
}

// TestServiceNamedLikeAnID: a service "db" whose container's id begins with db has its alias all the same.
func TestServiceNamedLikeAnID(t *testing.T) {
	stack := fixture.LoadText(t, "services:\n  db:\n    image: web:1\n    hostname: db\n")
	snapshot := fixture.Made(t, stack)
	c := &snapshot.Containers[0]
	c.ID = "db" + c.ID[2:]
	c.Inspect.ID = c.ID
	c.Inspect.NetworkSettings.Networks["app_default"].Aliases = []string{"app-db-1", "db", c.ID[:12]}
	if got := Compute(Input{Stack: stack, Applied: stack, Snapshot: snapshot}); got.Differs() {
		t.Errorf("%+v", got.Drifts)
	}
}

func TestParseBind(t *testing.T) {
	for _, tc := range []struct {
		bind, destination string
		want              mountPoint
	}{
		{"data:/data:rw", "/data", mountPoint{kind: mount.TypeVolume, source: "data"}},
		{"data:/data/:ro,z", "/data", mountPoint{kind: mount.TypeVolume, source: "data", readOnly: true}},
		{"/srv/conf/:/conf", "/conf", mountPoint{kind: mount.TypeBind, source: "/srv/conf"}},
		{"/srv:/srv:ro,rslave", "/srv", mountPoint{kind: mount.TypeBind, source: "/srv", readOnly: true, propagation: "rslave"}},
		{"/srv:/srv:rprivate", "/srv", mountPoint{kind: mount.TypeBind, source: "/srv"}},
		{"/scratch", "/scratch", mountPoint{kind: mount.TypeVolume}},
	} {
		destination, got, ok := parseBind(tc.bind)
		if !ok || destination != tc.destination || got != tc.want {
			t.Errorf("%s: %s %+v, want %s %+v", tc.bind, destination, got, tc.destination, tc.want)
		}
	}
}

func TestRelocate(t *testing.T) {
	for _, tc := range []struct{ source, from, to, want string }{
		{"/srv/app/conf", "/srv/app", "/ci/7", "/ci/7/conf"},
		{"/srv/app", "/srv/app", "/ci/7", "/ci/7"},
		{"/srv/application/conf", "/srv/app", "/ci/7", "/srv/application/conf"},
		{"/etc/hosts", "/srv/app", "/ci/7", "/etc/hosts"},
		{"/srv/app/conf", "", "/ci/7", "/srv/app/conf"},
	} {
		if got := relocate(tc.source, tc.from, tc.to); got != tc.want {
			t.Errorf("relocate(%s, %s, %s) = %s, want %s", tc.source, tc.from, tc.to, got, tc.want)
		}
	}
}

// TestValuesAreExact: equal text must mean equal values, because that is what is compared.
func TestValuesAreExact(t *testing.T) {
	got := []string{
		bytes(64 << 20), bytes(1536 << 20), bytes(2 << 30), bytes(64<<20 + 1), bytes(0), bytes(-1),
		duration(90*time.Second, 0), duration(time.Minute, 0), duration(2*time.Hour, 0), duration(0, 30*time.Second), duration(1500*time.Millisecond, 0),
		quote([]string{"sh", "-c", "echo a b"}), quote([]string{"a", ""}), signal("SIGTERM"), signal(""), signal("9"), signal("sigusr1"),
	}
	want := []string{
		"64 MiB", "1536 MiB", "2 GiB", "67108865 bytes", "", "unlimited",
		"1m30s", "1m", "2h", "30s", "1.5s",
		`sh -c "echo a b"`, `a ""`, "TERM", "TERM", "KILL", "USR1",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rendered (-want +got):\n%s", diff)
	}
}

// TestTemporaryNames: only a name that a recreation gives is one.
func TestTemporaryNames(t *testing.T) {
	for name, want := range map[string]bool{
		"0123456789ab_app-web-1": true, "app-web-1.3fa9c2d1": true,
		"app-web-1": false, "other_app-web-1": false, "0123456789xy_app-web-1": false, "app-web-10": false, "0123456789ab_app-api-1": false,
	} {
		if got := temporary(name, "app-web-1"); got != want {
			t.Errorf("temporary(%s) = %t, want %t", name, got, want)
		}
	}
}

// TestEveryFieldHasAPlaceAndAName: the table is data, and data can be mistyped.
func TestEveryFieldHasAPlaceAndAName(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range fields {
		if seen[f.name] {
			t.Errorf("%s is in the table twice", f.name)
		}
		seen[f.name] = true
		if (f.get == nil) == (f.one == nil) || f.remedy == "" {
			t.Errorf("%s has no value or no remedy", f.name)
		}
	}
	for name, want := range map[string]bool{"mem_limit": true, "restart": true, "cpus": true, "networks": false, "networks.back.aliases": false, "environment.A": false, "state": false} {
		if Updatable(name) != want {
			t.Errorf("Updatable(%s) = %t", name, !want)
		}
	}
}
