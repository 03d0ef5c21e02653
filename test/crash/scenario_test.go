//go:build linux

package crash

import (
	"encoding/json"
	"strings"

	"composure/controller/view"
	"composure/test/rig"
)

// scenario is a state in which a remedy applies, and the run that applies it.
type scenario struct {
	name    string
	slice   bool // part of `make test`; all of them are in `make crash`
	file    string
	prepare func(l *lab)          // makes the state
	args    func(l *lab) []string // of the run; nil: `reconcile --once`
	exit    int                   // of a run that nothing strikes
	undo    func(l *lab)          // makes the file what converges again
	check   func(l *lab)
	fresh   bool // the stack was removed with its rows
}

// web is a service that keeps rows in a named volume, and something in an anonymous one.
const web = `x-composure: {min_healthy: 100ms, prune: remove}
services:
  web:
    image: ` + rig.Image + `
    command: ` + rig.Writer + `
    environment: {VERSION: "v0"}
    restart: always
    stop_signal: SIGKILL
    volumes: ['data:/data', /scratch]
volumes: {data: {}}
`

// with is web with more keys of the service.
func with(keys string) string {
	return strings.Replace(web, "    restart: always\n", "    restart: always\n"+keys, 1)
}

const checked = `    healthcheck: {test: [CMD, "true"], interval: 1s, retries: 2}
`

// scenarios are the remedies of the deployment verb, and what people ask for by hand.
var scenarios = []scenario{
	{name: "recreate", slice: true, file: web, prepare: func(l *lab) { l.edit() }, check: func(l *lab) { l.same(false) }},
	{name: "create", fresh: true, file: with(`    networks: {default: {aliases: [site]}, back: {}}
    configs: [{source: conf, target: /etc/conf}]
`) + "configs: {conf: {content: level}}\nnetworks: {back: {internal: true}}\n", prepare: func(l *lab) { l.Sweep() }},
	{name: "refused", file: web, exit: 1, check: func(l *lab) { l.same(true) },
		prepare: func(l *lab) { l.Edit("    restart: always\n", "    restart: always\n    working_dir: /proc/none\n") },
		undo:    func(l *lab) { l.Edit("    working_dir: /proc/none\n", "") }},
	{name: "undo", file: with(checked), exit: 1, check: func(l *lab) { l.same(true) },
		prepare: func(l *lab) { l.Edit(`[CMD, "true"]`, `[CMD, "false"]`) },
		undo:    func(l *lab) { l.Edit(`[CMD, "false"]`, `[CMD, "true"]`) }},
	{name: "revert", file: web, check: func(l *lab) { l.same(true) }, prepare: func(l *lab) {
		l.edit()
		l.diesBefore("remove:" + l.Container("web") + ".old-" + l.was[:12])
		l.unedit()
	}},
	{name: "rename", file: web, check: func(l *lab) { l.same(true) }, prepare: func(l *lab) {
		l.Docker("rename", l.Container("web"), l.Name+"-elsewhere")
	}},
	{name: "unpause", file: web, check: func(l *lab) { l.same(true) }, prepare: func(l *lab) { l.Docker("pause", l.Container("web")) }},
	{name: "repair", file: with("    mem_limit: 64m\n"), check: func(l *lab) { l.same(true) }, prepare: func(l *lab) {
		l.Docker("update", "--memory", "48m", "--memory-swap", "96m", "--restart", "no", l.Container("web"))
		l.Docker("network", "disconnect", l.Name+"_default", l.Container("web"))
		l.Docker("network", "connect", l.Name+"_default", l.Container("web"))
	}},
	{name: "start", file: web, check: func(l *lab) { l.same(true) }, prepare: func(l *lab) { l.Docker("stop", l.Container("web")) }},
	{name: "graceful", file: web, check: func(l *lab) { l.same(true) }, prepare: func(*lab) {},
		args: func(*lab) []string { return []string{"restart", "--graceful", "web"} }},
	{name: "hard", file: web, prepare: func(*lab) {}, args: func(*lab) []string { return []string{"restart", "--hard", "--force", "web"} }},
	{name: "rollback", file: web, prepare: func(l *lab) { l.edit(); l.Converge(); l.was = l.Inspect("web").ID },
		args: func(l *lab) []string { return []string{"rollback", "--force", "--to", l.before(), "web"} },
		undo: func(l *lab) { l.Composure("release", "web") }},
	{name: "orphan", file: web, check: func(l *lab) { l.same(true) }, prepare: func(l *lab) {
		l.Docker("run", "-d", "--name", l.Name+"-gone-1", "--network", "none", "--label", "com.docker.compose.project="+l.Name,
			"--label", "com.docker.compose.service=gone", "--label", "com.docker.compose.container-number=1", "--label", "com.docker.compose.oneoff=False",
			"--label", "com.docker.compose.config-hash=0", "--stop-signal", "SIGKILL", rig.Image, "sleep", "1000")
	}},
	{name: "replicas", file: strings.Replace(with("    scale: 2\n"), "9>/data/lock", "9>/data/lock-$$(hostname)", 1), prepare: func(l *lab) { l.edit() }, check: func(l *lab) { l.same(false) }},
	{name: "follower", file: strings.Replace(web, "volumes: {data: {}}\n", `  side:
    image: `+rig.Image+`
    command: [sleep, "1000"]
    restart: always
    stop_signal: SIGKILL
    network_mode: service:web
volumes: {data: {}}
`, 1), prepare: func(l *lab) { l.edit() }, check: func(l *lab) {
		if got := string(l.Inspect("side").HostConfig.NetworkMode); got != "container:"+l.Inspect("web").ID {
			l.T.Errorf("side is in the network of %s", got)
		}
	}},
}

// same wants web's container to be the one that there was, or another one.
func (l *lab) same(want bool) {
	l.T.Helper()
	if now := l.Inspect("web").ID; (now == l.was) != want {
		l.T.Errorf("web is %.12s, was %.12s", now, l.was)
	}
}

// diesBefore runs `reconcile --once` until it is about to make a step.
func (l *lab) diesBefore(step string) {
	l.T.Helper()
	l.Env = []string{"COMPOSURE_TEST_KILL_BEFORE=" + step}
	defer func() { l.Env = nil }()
	l.Wants(-1, rig.Once()...)
}

// revisions are those on record, newest first.
func (l *lab) revisions() []view.Revision {
	l.T.Helper()
	r := l.Wants(0, "history", "-o", "json")
	var history view.History
	if err := json.Unmarshal([]byte(r.Out), &history); err != nil || len(history.Revisions) == 0 {
		l.T.Fatalf("no revisions (%v): %s", err, r.Out)
	}
	return history.Revisions
}

// before is the revision before the one that was applied last.
func (l *lab) before() string {
	l.T.Helper()
	all := l.revisions()
	for _, r := range all {
		if r.ID != all[0].ID {
			return r.ID
		}
	}
	l.T.Fatal("there is only one revision")
	return ""
}
