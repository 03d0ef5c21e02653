package drift

import (
	goflag "flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"composure/spec"
)

var updateRender = goflag.Bool("update-render", false, "write the golden files of the render tests")

const projectRoot = "/srv/shop"

func at(file string, line int) spec.Position {
	return spec.Position{File: file, Line: line}
}

// rich is a report with one of everything that a format must cope with.
func rich() Report {
	compose := projectRoot + "/compose.yaml"
	return Report{
		Stack: "shop",
		Drifts: []Drift{
			{
				Subject: "volume shop_data", Field: "driver_opts", Desired: "type=nfs", Observed: "unset", Pos: at(compose, 61), Origin: OriginFile, Remedy: RemedyReport,
				Cause: "the volume was made with another definition and volumes are never removed; copy its data to a new volume under another name",
			},
			{
				Subject: "network shop_default", Field: FieldExistence, Desired: "exists", Observed: "missing", Pos: at("/srv/shared/networks.yaml", 3), Origin: OriginLive, Remedy: RemedyInPlace,
				Cause: "the network was removed; a deployment creates it",
			},
			{
				Container: "shop-legacy-1", Field: FieldOrphan, Desired: "no such service", Observed: "running", Pos: at(compose, 8), Origin: OriginFile, Remedy: RemedyReport,
				Cause: `the file has no service "legacy"; it is removed only when asked to (prune)`,
			},
			{
				Service: "api", Container: "shop-api-1", Field: "environment.LOG_LEVEL", Desired: "info", Observed: "debug", Pos: at(compose, 14), Origin: OriginLive, Remedy: RemedyRecreate,
				Cause: "the container was made by hand with another value",
			},
			{
				Service: "api", Container: "shop-api-1", Field: "environment.DATABASE_PASSWORD", Desired: "********", Observed: "********", Pos: at(compose, 15), Origin: OriginBoth, Remedy: RemedyRecreate,
				Cause: "edited in the file, and changed on the container by hand as well; both values are secret and not shown",
			},
			{
				Service: "api", Container: "shop-api-1", Field: "command", Pos: at(compose, 12), Origin: OriginFile, Remedy: RemedyRecreate,
				Desired:  "/usr/bin/api --listen :8080 --pool 20 --feature vendor-equipment --feature invoices --timeout 30s --log json --trace off",
				Observed: "/usr/bin/api --listen :8080 --pool 20 --feature vendor-equipment --feature invoices --timeout 10s --log json --trace off",
				Cause:    "the file was edited and is not deployed yet",
			},
			{
				Service: "api", Container: "shop-api-2", Field: "mem_limit", Desired: "512MiB", Observed: "1GiB", Pos: at(compose, 20), Origin: OriginLive, Remedy: RemedyInPlace,
				Cause:    "the limit was raised on the container",
				Override: &Override{Owner: "composure", Reason: "out of memory twice in an hour (incident 7)", Until: time.Date(2026, 11, 24, 9, 30, 0, 0, time.FixedZone("CET", 3600))},
			},
			{
				Service: "frontend", Container: "shop-frontend-1", Field: "labels.greeting", Desired: "Grüße, 世界 👩‍🚒", Observed: "first line\nsecond line\n", Pos: at(compose, 33), Origin: OriginLive, Remedy: RemedyRecreate,
				Cause: "the label was set by hand",
			},
			{
				Service: "frontend", Container: "shop-frontend-1", Field: "healthcheck.test", Desired: `CMD-SHELL curl -f http://localhost:3000 || exit 1`, Observed: "unset", Pos: at(compose, 36), Origin: OriginLive, Remedy: RemedyRecreate,
				Cause: "the container has no healthcheck: nothing notices when it hangs",
			},
			{
				Service: "frontend", Container: "shop-frontend-1", Field: "environment.MOTD", Desired: "hello", Origin: OriginLive, Remedy: RemedyRecreate, Pos: at(compose, 31),
				Observed: "\x1b[2J\x1b]0;owned\a</code><script>alert(1)</script> | `x` **@shop/ops** %0A::error::spoofed ##[add-mask]x \u202egnp.exe",
				Cause:    "the value was set by hand",
			},
			{
				Service: "postgres", Container: "shop-postgres-1", Field: FieldState, Desired: "running", Observed: "exited (137)", Origin: OriginLive, Remedy: RemedyInPlace,
				Cause: "it has stopped; a deployment starts it",
			},
		},
		Impact: []Impact{
			{Service: "api", Remedy: "recreate", DataAtRisk: []string{"shop-api-1: what it wrote outside its volumes is lost: 96MiB"}},
			{Service: "cache", Remedy: "none"},
			{Service: "frontend", Remedy: "recreate", Held: "paused by ops@host: migration | \x1b[31mof rows, until 2026-11-23 04:00 UTC; `composure resume frontend` ends that"},
			{Service: "postgres", Remedy: "in-place"},
			{Service: "worker", Remedy: "none"},
		},
		Gaps: []Gap{{Subject: "container shop-worker-2", Why: "inspect: context deadline exceeded"}},
	}
}

func clean() Report {
	return Report{Stack: "shop", Impact: []Impact{{Service: "api", Remedy: "none"}, {Service: "postgres", Remedy: "none"}}}
}

func incomplete() Report {
	r := clean()
	r.Gaps = []Gap{
		{Subject: "container shop-api-1", Why: "inspect: context deadline exceeded"},
		{Subject: "volumes", Why: "list: 500 Internal Server Error"},
	}
	return r
}

func options() RenderOptions {
	return RenderOptions{
		Root: projectRoot, File: projectRoot + "/compose.yaml", Version: "1.2.3",
		At: time.Date(2026, 11, 23, 3, 12, 45, 0, time.FixedZone("CET", 3600)),
	}
}

func TestRenderGolden(t *testing.T) {
	reports := map[string]Report{"rich": rich(), "clean": clean(), "incomplete": incomplete()}
	extensions := map[string]string{"text": "txt", "json": "json", "markdown": "md", "github": "github", "junit": "xml", "sarif": "sarif"}
	for name, report := range reports {
		for _, format := range Formats() {
			golden(t, name+"."+extensions[format], render(t, format, report, options()))
		}
	}
	o := options()
	o.Width = 80
	golden(t, "rich-80.txt", render(t, "text", rich(), o))
	golden(t, "incomplete-80.txt", render(t, "text", incomplete(), o))
	o.Width, o.Color = 100, true
	golden(t, "rich-color.txt", render(t, "text", rich(), o))
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", "render", name)
	if *updateRender {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

func render(t *testing.T, format string, r Report, o RenderOptions) string {
	t.Helper()
	out, err := Render(format, r, o)
	if err != nil {
		t.Fatalf("%s: %v", format, err)
	}
	return out
}

func TestRenderUnknownFormatNamesTheKnownOnes(t *testing.T) {
	_, err := Render("yaml", clean(), options())
	if err == nil || !strings.Contains(err.Error(), "text, json, markdown, github, junit, sarif") {
		t.Errorf("got %v", err)
	}
}
