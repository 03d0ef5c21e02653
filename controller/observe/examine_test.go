package observe

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/google/go-cmp/cmp"

	"composure/spec"
)

// silent is an engine that never answers.
type silent struct{ fake }

func (*silent) LogsTimed(ctx context.Context, _ string, _, _ int) (string, error) {
	<-ctx.Done()
	return "", ctx.Err()
}

func (*silent) Top(ctx context.Context, _ string) (container.TopResponse, error) {
	<-ctx.Done()
	return container.TopResponse{}, ctx.Err()
}

func (*silent) Stats(ctx context.Context, _ string) (container.StatsResponse, error) {
	<-ctx.Done()
	return container.StatsResponse{}, ctx.Err()
}

func (*silent) AllContainers(ctx context.Context) ([]container.Summary, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// An urgent action waits for evidence no longer than it must; what did not come is a gap, and what is known already
// is there all the same.
func TestEvidenceIsBoundedInTime(t *testing.T) {
	cases := map[string]struct {
		needs  []Need
		urgent bool
		limit  time.Duration
		gaps   int
	}{
		"urgent":     {[]Need{NeedLogs, NeedStats, NeedProcesses}, true, 150 * time.Millisecond, 3},
		"not urgent": {[]Need{NeedLogs, NeedStats, NeedProcesses}, false, 5 * time.Second, 3},
		"with ports": {[]Need{NeedLogs, NeedPorts}, false, 5 * time.Second, 2},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				stack, snapshot := withProbes()
				snapshot.Containers[0].Inspect.State.Health = &container.Health{Log: []*container.HealthcheckResult{{ExitCode: 1}}}
				ctx := t.Context()
				if c.urgent {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, CheapTime)
					defer cancel()
				}
				got := NewExaminer(ExaminerConfig{Engine: &silent{}}).Examine(ctx, stack, snapshot, "api", c.needs)
				if took := time.Since(start); took != c.limit {
					t.Errorf("took %s, want %s", took, c.limit)
				}
				if len(got) != 1 || len(got[0].Gaps) != c.gaps || got[0].Gaps[0].Service != "api" || len(got[0].Health) != 1 {
					t.Errorf("got %+v, want %d gaps", got, c.gaps)
				}
			})
		})
	}
}

// A healthcheck that hangs is given time to answer, and an engine that hangs is not mistaken for one.
func TestCheckByHand(t *testing.T) {
	hang := func(ctx context.Context, _ []string) (ExecResult, error) {
		<-ctx.Done()
		return ExecResult{}, ctx.Err()
	}
	slow := func(ctx context.Context, argv []string) (ExecResult, error) {
		time.Sleep(3 * time.Second)
		return ExecResult{Output: strings.Join(argv, " ")}, nil
	}
	cases := map[string]struct {
		exec   func(context.Context, []string) (ExecResult, error)
		test   []string
		gone   bool
		exit   int
		output string // empty: it could not be made
	}{
		"slow":         {exec: slow, test: []string{"CMD", "check", "-q"}, output: "check -q"},
		"in a shell":   {exec: slow, test: []string{"CMD-SHELL", "check -q || exit 1"}, output: "/bin/sh -c check -q || exit 1"},
		"hangs":        {exec: hang, test: []string{"CMD", "check"}, exit: -1, output: "no answer within 4.5s"},
		"engine hangs": {exec: hang, test: []string{"CMD", "check"}, gone: true},
		"switched off": {exec: slow, test: []string{"NONE"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				engine := &silent{fake{exec: c.exec}}
				engine.gone.Store(c.gone)
				stack, snapshot := withProbes()
				snapshot.Containers[0].Inspect.Config.Healthcheck = &container.HealthConfig{Test: c.test, Timeout: time.Second}
				got := NewExaminer(ExaminerConfig{Engine: engine}).Examine(t.Context(), stack, snapshot, "api", []Need{NeedCheck})[0]
				switch {
				case got.Check == nil && c.output != "":
					t.Errorf("it was not made: %v", got.Gaps)
				case got.Check != nil && (got.Check.ExitCode != c.exit || got.Check.Output != c.output):
					t.Errorf("exit %d, %q; want %d, %q", got.Check.ExitCode, got.Check.Output, c.exit, c.output)
				case (len(got.Gaps) > 0) != c.gone:
					t.Errorf("gaps %v", got.Gaps)
				}
			})
		})
	}
}

func TestReadTimed(t *testing.T) {
	text := "ut of a cut line\n" +
		"2026-01-02T03:04:05.000000001Z plain\n" +
		"2026-01-02T03:04:06.000000001Z -----BEGIN RSA PRIVATE KEY-----\n" +
		"2026-01-02T03:04:06.000000001Z MIIEsecretsecret\n" +
		"2026-01-02T03:04:06.000000001Z -----END RSA PRIVATE KEY-----\n" +
		"2026-01-02T03:04:07.000000001Z token is hunter22, long " + strings.Repeat("ä", 3000) + "\n"
	lines, last := readTimed(text, []string{"hunter22"})
	if want := time.Date(2026, 1, 2, 3, 4, 7, 1, time.UTC); !last.Equal(want) {
		t.Errorf("last line at %s, want %s", last, want)
	}
	whole := strings.Join(lines, "\n")
	for _, secret := range []string{"MIIE", "hunter22", "cut line"} {
		if strings.Contains(whole, secret) {
			t.Errorf("%q is shown:\n%s", secret, whole)
		}
	}
	if lines[0] != "plain" {
		t.Errorf("first line %q", lines[0])
	}
	for _, l := range lines {
		if len(l) > maxLine {
			t.Errorf("a line of %d bytes", len(l))
		}
	}
}

func TestSecretValues(t *testing.T) {
	c := running("api", "c1")
	c.Inspect.Config.Env = []string{"DB_PASSWORD=correct-horse", "PIN_TOKEN=ab", "DATABASE_URL=postgres://app:battery-staple@db/shop", "MODE=production"}
	got := line("app said correct-horse, battery-staple, ab, production\x1b[31m\nand more", secretValues(nil, c))
	if strings.Contains(got, "horse") || strings.Contains(got, "staple") || !strings.Contains(got, "ab, production[31m and more") {
		t.Errorf("shown: %q", got)
	}
}

// TestSecretInASecret: of a secret that begins like another one nothing is left over.
func TestSecretInASecret(t *testing.T) {
	c := running("api", "c1")
	c.Inspect.Config.Env = []string{"APP_TOKEN=battery", "DB_PASSWORD=battery-staple"}
	if got := line("login with battery-staple failed", secretValues(nil, c)); strings.Contains(got, "staple") {
		t.Errorf("shown: %q", got)
	}
}

func TestReadStats(t *testing.T) {
	c := running("api", "c1")
	c.Inspect.HostConfig.Memory = 100
	cases := map[string]struct {
		usage uint64
		parts map[string]uint64
		want  int64
	}{
		"cgroup v1":              {90, map[string]uint64{"total_inactive_file": 50, "inactive_file": 10}, 40},
		"cgroup v2":              {90, map[string]uint64{"inactive_file": 10}, 80},
		"more cache than in use": {90, map[string]uint64{"inactive_file": 95}, 90},
		"nothing about cache":    {90, nil, 90},
	}
	for name, tc := range cases {
		got := readStats(container.StatsResponse{MemoryStats: container.MemoryStats{Usage: tc.usage, Stats: tc.parts}}, c)
		if got.MemoryUsage != tc.want || got.MemoryLimit != 100 {
			t.Errorf("%s: %+v, want usage %d", name, got, tc.want)
		}
	}
}

// counting is an engine whose container uses half a CPU, and whose clock is ahead.
type counting struct{ start time.Time }

func (c counting) Stats(context.Context, string) (container.StatsResponse, error) {
	used := uint64(time.Since(c.start)) / 2
	return container.StatsResponse{
		Read: time.Now().Add(time.Hour), MemoryStats: container.MemoryStats{Usage: 7}, CPUStats: container.CPUStats{CPUUsage: container.CPUUsage{TotalUsage: used}},
	}, nil
}

func TestMemorySampler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, snapshot := withProbes()
		m := NewMemorySampler(counting{time.Now()})
		if !m.Sample(t.Context(), snapshot) || m.Sample(t.Context(), snapshot) {
			t.Error("it samples at once, and not again within a minute")
		}
		if diff := cmp.Diff(map[string]Stats{"c1": {MemoryUsage: 7, CPUUnknown: true, At: time.Now()}}, m.Samples()); diff != "" {
			t.Errorf("first round (-want +got):\n%s", diff)
		}
		time.Sleep(time.Minute)
		if !m.Sample(t.Context(), snapshot) {
			t.Error("it does not sample after a minute")
		}
		if diff := cmp.Diff(map[string]Stats{"c1": {MemoryUsage: 7, CPU: 0.5, At: time.Now()}}, m.Samples()); diff != "" {
			t.Errorf("second round (-want +got):\n%s", diff)
		}
	})
}

func TestReadSockets(t *testing.T) {
	const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 100 0 0 10 0
   1: 0100007F:1F91 0100007F:0050 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0 100 0 0 10 0
   2: 00000000000000000000000001000000:0050 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 4713 1
   3: 0000000000000000FFFF00000100000A:0051 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 4714 1
   4: nonsense
`
	var got []string
	for _, l := range readSockets(strings.NewReader(table)) {
		got = append(got, fmt.Sprint(l.address, " ", l.inode))
	}
	want := []string{"127.0.0.1:8080 4711", "[::1]:80 4713", "10.0.0.1:81 4714"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("listeners (-want +got):\n%s", diff)
	}
}

func TestReadDF(t *testing.T) {
	const output = `Filesystem           1024-blocks    Used Available Capacity Mounted on
overlay               61202244  20000000  40000000  33% /
tmpfs                     1024         0      1024   0% /run
`
	want := []Disk{{"/", 61202244 << 10, 40000000 << 10}, {"/run", 1 << 20, 1 << 20}}
	if diff := cmp.Diff(want, readDF(output, []string{"/", "/run"})); diff != "" {
		t.Errorf("disks (-want +got):\n%s", diff)
	}
}

func TestConnectionString(t *testing.T) {
	cases := []struct {
		env  []string
		want string
	}{
		{[]string{"DATABASE_URL=postgresql+asyncpg://u:p@db:5432/x"}, "postgres://u:p@db:5432/x"},
		{[]string{"DSN=mysql://u:p@db/x"}, ""},
		{[]string{"PGHOST=db", "PGUSER=u", "PGPASSWORD=p:/?", "PGDATABASE=x"}, "postgres://u:p%3A%2F%3F@db:5432/x"},
		{[]string{"POSTGRES_HOST=db", "POSTGRES_PORT=6543", "POSTGRES_USER=u"}, "postgres://u:@db:6543/u"},
		{[]string{"POSTGRES_PASSWORD=p"}, ""},
	}
	for _, c := range cases {
		if got := connectionString(c.env); got != c.want {
			t.Errorf("%q: got %q, want %q", c.env, got, c.want)
		}
	}
}

func TestAddress(t *testing.T) {
	c := running("api", "c1")
	snapshot := &Snapshot{Containers: []Container{c}}
	at := place{seen: look{&spec.Stack{}, snapshot}, self: c}
	if got, err := at.address(c); err == nil {
		t.Errorf("a network of unknown driver: %s, want no address", got)
	}
	sharing := running("side", "c2")
	sharing.Inspect.HostConfig.NetworkMode = "container:c1"
	c.Inspect.HostConfig.NetworkMode = "host"
	if got, err := at.address(sharing); err != nil || got != "127.0.0.1" {
		t.Errorf("shares the network of one on the host's: %s, %v", got, err)
	}
	at.cfg.EngineHost = "engine.test"
	if got, err := at.address(c); err == nil {
		t.Errorf("another host: %s, want no address", got)
	}
	if hostIsOn(netip.MustParseAddr("203.0.113.7")) {
		t.Error("this host is not on a network for documentation")
	}
}
