package engine

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/system"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"composure/controller/observe"
)

func TestNormalizeHost(t *testing.T) {
	tests := []struct {
		host   string
		secure bool
		want   string // empty: refused
	}{
		{"unix:///run/x.sock", true, "unix:///run/x.sock"},
		{"ssh://me@host:22", false, "ssh://me@host:22"},
		{"tcp://host:1234", false, "tcp://host:1234"},
		{"tcp://host", false, "tcp://host:2375"},
		{"tcp://host", true, "tcp://host:2376"},
		{"host:1234", false, "tcp://host:1234"},
		{" host ", true, "tcp://host:2376"},
		{"tcp://:1234", false, "tcp://localhost:1234"},
		{"tcp://[::1]:1234", false, "tcp://[::1]:1234"},
		{"tcp://[::1]", false, "tcp://[::1]:2375"},
		{"https://host:1234/base", true, "tcp://host:1234/base"},
		{"npipe:////./pipe/docker_engine", false, ""},
		{"fd://", false, ""},
	}
	for _, test := range tests {
		got, err := normalizeHost(test.host, test.secure)
		if got != test.want || (err != nil) != (test.want == "") {
			t.Errorf("%q, TLS %v: got %q, %v, want %q", test.host, test.secure, got, err, test.want)
		}
	}
}

// TestClassify recognises what engines of several generations say; the tests on an engine provoke that one's own words.
func TestClassify(t *testing.T) {
	tests := map[string]error{
		// 20.10
		"driver failed programming external connectivity on endpoint web (a1): Bind for 0.0.0.0:80 failed: port is already allocated":                               observe.ErrPortAllocated,
		"driver failed programming external connectivity on endpoint web (a1): Error starting userland proxy: listen tcp4 0.0.0.0:80: bind: address already in use": observe.ErrPortInUse,
		`OCI runtime create failed: container_linux.go:380: starting container process caused: exec: "x": executable file not found in $PATH: unknown`:              observe.ErrBadCommand,
		"Address already in use":                                                          observe.ErrAddressTaken,
		"network app_default not found":                                                   observe.ErrNetworkMissing,
		"2 matches found based on name: network app_default is ambiguous":                 observe.ErrNetworkTwice,
		"Head http://127.0.0.1:5000/v2/app/manifests/1: no basic auth credentials":        observe.ErrDenied,
		"manifest for 127.0.0.1:5000/app:2 not found: manifest unknown: manifest unknown": observe.ErrImageMissing,
		// 26 to 29
		"failed to set up container networking: driver failed programming external connectivity on endpoint web (a1): failed to bind host port 0.0.0.0:80/tcp: address already in use": observe.ErrPortInUse,
		"failed to set up container networking: network app_default not found":                                                                                                         observe.ErrNetworkMissing,
		"failed to set up container networking: Address already in use":                                                                                                                observe.ErrAddressTaken,
		"No such image: app:1": observe.ErrImageMissing,
		"pull access denied for app, repository does not exist or may require 'docker login': denied: requested access to the resource is denied":                                                                           observe.ErrDenied,
		"failed to create task for container: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: error during container init: exec: \"/etc\": permission denied": observe.ErrBadCommand,
	}
	for text, want := range tests {
		err := classify(errors.New("Error response from daemon: " + text))
		if !errors.Is(err, want) || err.Error() != text {
			t.Errorf("%s: got %v, want it to be %q", text, err, want)
		}
	}
	err := classify(errors.New(`Conflict. The container name "/app-web-1" is already in use by container "0a1b2c". You have to remove (or rename) that container to be able to reuse that name.`))
	var taken *observe.NameTaken
	if !errors.As(err, &taken) || taken.Name != "app-web-1" || taken.Holder != "0a1b2c" || !errors.Is(err, observe.ErrNameTaken) {
		t.Errorf("got %+v", taken)
	}
}

// TestLastBytes keeps the end of whatever is written, in whatever pieces.
func TestLastBytes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pieces := rapid.SliceOf(rapid.String()).Draw(t, "pieces")
		limit := rapid.IntRange(0, 20).Draw(t, "limit")
		out := &lastBytes{limit: limit}
		for _, piece := range pieces {
			_, _ = out.Write([]byte(piece))
			if len(out.kept) > 2*limit {
				t.Fatalf("keeps %d bytes", len(out.kept))
			}
		}
		all := strings.Join(pieces, "")
		if want := all[max(0, len(all)-limit):]; out.String() != want || out.cut != (len(all) > limit) {
			t.Fatalf("got %q, cut %v, want %q", out.String(), out.cut, want)
		}
	})
}

// TestBuildTrace reads a message that was recorded from a build.
func TestBuildTrace(t *testing.T) {
	const recorded = `"CokBCkdzaGEyNTY6YTQ2MTBlMTk3Yjc3ZDZiZGI1OTI1NzEyYTBjMGM0ZWQ4MzJiZDllYWIwZTRiM2E5MDk5OGFhMDZhYjYzNGFhORokW2ludGVybmFsXSBsb2FkIHJlbW90ZSBidWlsZCBjb250ZXh0KgsIzseR2AYQoZWQVDILCM7HkdgGEIyS5G8="`
	var got []string
	trace := newBuildTrace(func(p Progress) { got = append(got, p.String()) })
	for range 2 { // BuildKit repeats itself
		trace.read(json.RawMessage(recorded))
	}
	if diff := cmp.Diff([]string{"[internal] load remote build context: done"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func FuzzBuildTrace(f *testing.F) {
	f.Add([]byte{10, 3, 26, 1, 'x'})
	f.Add(appendField(nil, statusLogs, appendField(nil, logText, []byte("line\n"))))
	f.Fuzz(func(t *testing.T, encoded []byte) {
		detail, err := json.Marshal(encoded)
		if err != nil {
			t.Fatal(err)
		}
		newBuildTrace(func(Progress) {}).read(detail)
	})
}

// FuzzGRPCFrame reads what a broken engine might send.
func FuzzGRPCFrame(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 1, 'x'})
	f.Add([]byte{0, 255, 255, 255, 255})
	f.Fuzz(func(t *testing.T, sent []byte) {
		message, err := (&grpcStream{in: bytes.NewReader(sent)}).read()
		if err == nil && len(message) > len(sent) {
			t.Errorf("read %d bytes of %d", len(message), len(sent))
		}
	})
}

// TestDrops: which limits an engine says that its kernel cannot set.
func TestDrops(t *testing.T) {
	all := system.Info{OSType: "linux", MemoryLimit: true, SwapLimit: true, CPUShares: true, CPUCfsPeriod: true, CPUCfsQuota: true, CPUSet: true, PidsLimit: true}
	noSwap, noMemory := all, all
	noSwap.SwapLimit, noMemory.MemoryLimit = false, false
	for name, test := range map[string]struct {
		info system.Info
		want []string
	}{
		"everything":          {all, nil},
		"no swap accounting":  {noSwap, []string{"memswap_limit"}},
		"no memory delegated": {noMemory, []string{"mem_limit", "mem_reservation", "memswap_limit"}},
		"windows":             {system.Info{OSType: "windows"}, nil},
		"rootless, cgroup v1": {system.Info{OSType: "linux"}, []string{"mem_limit", "mem_reservation", "memswap_limit", "cpu_shares", "cpu_period", "cpu_quota", "cpuset", "pids_limit"}},
	} {
		if diff := cmp.Diff(test.want, drops(test.info)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}
