// Package mutation is what people do to the containers of a stack behind Composure's back: one list for the tests that
// say what each change is called, and for those that have it repaired on a real engine.
package mutation

import (
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/go-connections/nat"

	"composure/spec"
)

// Rich is a service, web, that uses a little of everything; DB_PASSWORD must be set.
const Rich = `
services:
  web:
    image: composure-test/busybox:1
    command: [sleep, "1000"]
    environment:
      LOG_LEVEL: info
      DB_PASSWORD: ${DB_PASSWORD}
    user: "1000:1000"
    working_dir: /tmp
    hostname: front
    labels:
      tier: front
    healthcheck:
      test: [CMD, "true"]
      interval: 1s
    mem_limit: 64m
    mem_reservation: 32m
    cpus: 0.5
    pids_limit: 100
    shm_size: 32m
    ulimits:
      nofile: {soft: 1024, hard: 2048}
    restart: unless-stopped
    networks:
      front:
        aliases: [site]
      back: {}
    ports: ["127.0.0.1::8080"]
    expose: ["9000"]
    extra_hosts: ["db.internal:10.0.0.9"]
    dns: [9.9.9.9]
    volumes:
      - data:/data
      - ./conf:/conf:ro
      - /scratch
    tmpfs: [/run/cache]
    cap_add: [NET_ADMIN]
    cap_drop: [MKNOD]
    security_opt: ["no-new-privileges:true"]
    group_add: ["2000"]
    sysctls: {net.core.somaxconn: "256"}
    stop_signal: SIGKILL
    stop_grace_period: 2s
    logging:
      driver: json-file
      options: {max-size: 1m}
    oom_score_adj: 100
    configs: [app]
    secrets: [token]
networks:
  front: {}
  back: {internal: true}
volumes:
  data: {}
configs:
  app: {content: "level=1"}
secrets:
  token: {file: ./token.txt}
`

// Files are those that Rich needs beside it.
var Files = map[string]string{"conf/a.conf": "a", "token.txt": "one-two-three"}

// Stack is a running stack of Rich, on an engine that also has a volume <project>_other and a network
// <project>_foreign.
type Stack interface {
	// Recreate replaces the container of a service by hand: another request, with all labels kept.
	Recreate(service string, change func(*spec.Container))
	// Docker runs the docker command line.
	Docker(args ...string) string
	// Names replaces $P by the project, $C by web's container and $DIR by the project directory.
	Names() *strings.Replacer
}

// Mutation is one thing that somebody does, and what drift must say of it: "field: desired → observed [remedy]".
type Mutation struct {
	Name string
	Do   func(s Stack)
	Want []string // with $P, $C and $DIR
}

// All are the mutations of Rich.
func All() []Mutation {
	byHand := func(change func(c *spec.Container)) func(Stack) {
		return func(s Stack) { s.Recreate("web", change) }
	}
	byBind := func(destination, bind string) func(Stack) {
		return func(s Stack) {
			s.Recreate("web", func(c *spec.Container) { replaceBind(c, destination, s.Names().Replace(bind)) })
		}
	}
	cli := func(args ...string) func(Stack) {
		return func(s Stack) { run(s, args...) }
	}
	env := func(pairs ...string) func(*spec.Container) {
		return func(c *spec.Container) { c.Config.Env = pairs }
	}
	return []Mutation{
		{"environment", byHand(env("LOG_LEVEL=debug", "DB_PASSWORD=hunter2hunter2")), []string{"environment.LOG_LEVEL: info → debug [recreate]"}},
		{"environment added", byHand(env("LOG_LEVEL=info", "DB_PASSWORD=hunter2hunter2", "TRACE=1")), []string{"environment.TRACE: unset → 1 [recreate]"}},
		{"environment removed", byHand(env("DB_PASSWORD=hunter2hunter2")), []string{"environment.LOG_LEVEL: info → unset [recreate]"}},
		{"command", byHand(func(c *spec.Container) { c.Config.Cmd = []string{"sleep", "2000"} }), []string{"command: sleep 1000 → sleep 2000 [recreate]"}},
		{"entrypoint", byHand(func(c *spec.Container) { c.Config.Entrypoint = []string{"env"} }), []string{"entrypoint: unset → env [recreate]"}},
		{"user", byHand(func(c *spec.Container) { c.Config.User = "root" }), []string{"user: 1000:1000 → root [recreate]"}},
		{"working_dir", byHand(func(c *spec.Container) { c.Config.WorkingDir = "/" }), []string{"working_dir: /tmp → unset [recreate]"}},
		{"hostname", byHand(func(c *spec.Container) { c.Config.Hostname = "other" }), []string{"hostname: front → other [recreate]"}},
		{"label", byHand(func(c *spec.Container) { c.Config.Labels["tier"] = "back" }), []string{"labels.tier: front → back [recreate]"}},
		{"label added", byHand(func(c *spec.Container) { c.Config.Labels["x"] = "y" }), []string{"labels.x: unset → y [recreate]"}},
		{"healthcheck removed", byHand(func(c *spec.Container) { c.Config.Healthcheck = &container.HealthConfig{Test: []string{"NONE"}} }), []string{"healthcheck: configured → none [recreate]"}},
		{"healthcheck test", byHand(func(c *spec.Container) {
			c.Config.Healthcheck = &container.HealthConfig{Test: []string{"CMD", "echo"}, Interval: time.Second}
		}), []string{"healthcheck.test: CMD true → CMD echo [recreate]"}},
		{"healthcheck interval", byHand(func(c *spec.Container) {
			c.Config.Healthcheck = &container.HealthConfig{Test: []string{"CMD", "true"}, Interval: time.Minute}
		}), []string{"healthcheck.interval: 1s → 1m [recreate]"}},
		{"memory", cli("update", "--memory", "48m", "--memory-swap", "96m", "$C"), []string{"mem_limit: 64 MiB → 48 MiB [in-place]"}},
		{"swap", cli("update", "--memory-swap", "96m", "$C"), []string{"memswap_limit: 128 MiB → 96 MiB [in-place]"}},
		{"reservation", cli("update", "--memory-reservation", "16m", "$C"), []string{"mem_reservation: 32 MiB → 16 MiB [in-place]"}},
		{"cpus", cli("update", "--cpus", "1", "$C"), []string{"cpus: 0.5 CPUs → 1 CPU [in-place]"}},
		{"cpu_shares", cli("update", "--cpu-shares", "512", "$C"), []string{"cpu_shares: unset → 512 [recreate]"}},
		{"cpuset", cli("update", "--cpuset-cpus", "0", "$C"), []string{"cpuset: unset → 0 [recreate]"}},
		{"pids", cli("update", "--pids-limit", "50", "$C"), []string{"pids_limit: 100 → 50 [in-place]"}},
		{"restart policy", cli("update", "--restart", "no", "$C"), []string{"restart: unless-stopped → no [in-place]"}},
		{"shm_size", byHand(func(c *spec.Container) { c.Host.ShmSize = 0 }), []string{"shm_size: 32 MiB → 64 MiB [recreate]"}},
		{"ulimit", byHand(func(c *spec.Container) {
			c.Host.Ulimits = []*container.Ulimit{{Name: "nofile", Soft: 512, Hard: 2048}}
		}), []string{"ulimits.nofile: 1024:2048 → 512:2048 [recreate]"}},
		{"oom_score_adj", byHand(func(c *spec.Container) { c.Host.OomScoreAdj = 0 }), []string{"oom_score_adj: 100 → unset [recreate]"}},
		{"network disconnected", cli("network", "disconnect", "$P_back", "$C"), []string{"networks.back: attached → not attached [in-place]"}},
		{"network attached", cli("network", "connect", "$P_foreign", "$C"), []string{"networks.$P_foreign: not attached → attached [in-place]"}},
		{"aliases lost", func(s Stack) {
			cli("network", "disconnect", "$P_front", "$C")(s)
			run(s, "network", "connect", "$P_front", "$C")
		}, []string{"networks.front.aliases: $C, site, web → none [in-place]"}},
		{"network host", byHand(func(c *spec.Container) {
			c.Host.NetworkMode, c.Networks, c.Host.PortBindings, c.Host.Sysctls = "host", nil, nil, nil
		}), []string{"network_mode: networks → host [recreate]", "ports.8080/tcp: 127.0.0.1:any port → not published [recreate]", "sysctls.net.core.somaxconn: 256 → unset [recreate]"}},
		{"no network asked for", byHand(func(c *spec.Container) { c.Host.NetworkMode, c.Networks = "", nil }), []string{
			"networks.back: attached → not attached [in-place]", "networks.bridge: not attached → attached [in-place]", "networks.front: attached → not attached [in-place]"}},
		{"static address", byHand(func(c *spec.Container) {
			c.Networks[0].Settings = &network.EndpointSettings{Aliases: append(c.Networks[0].Settings.Aliases, "extra")}
		}), []string{"networks.back.aliases: $C, web → $C, extra, web [in-place]"}},
		{"port", byHand(func(c *spec.Container) {
			c.Host.PortBindings = nat.PortMap{"8081/tcp": {{HostIP: "127.0.0.1"}}}
			c.Config.ExposedPorts = nat.PortSet{"8081/tcp": {}, "9000/tcp": {}}
		}), []string{"ports.8080/tcp: 127.0.0.1:any port → not published [recreate]", "ports.8081/tcp: not published → 127.0.0.1:any port [recreate]"}},
		{"expose", byHand(func(c *spec.Container) { c.Config.ExposedPorts = nat.PortSet{"8080/tcp": {}} }), []string{"expose.9000/tcp: exposed → not exposed [recreate]"}},
		{"extra_hosts", byHand(func(c *spec.Container) { c.Host.ExtraHosts = []string{"db.internal:10.0.0.8"} }), []string{"extra_hosts.db.internal: 10.0.0.9 → 10.0.0.8 [recreate]"}},
		{"dns", byHand(func(c *spec.Container) { c.Host.DNS = nil }), []string{"dns: 9.9.9.9 → unset [recreate]"}},
		{"other volume", byBind("/data", "$P_other:/data"), []string{"volumes./data: volume $P_data → volume $P_other [recreate]"}},
		{"volume read-only", byBind("/data", "$P_data:/data:ro"), []string{"volumes./data: volume $P_data → volume $P_data (read-only) [recreate]"}},
		{"bind removed", byBind("/conf", ""), []string{"volumes./conf: bind $DIR/conf (read-only) → not mounted [recreate]"}},
		{"bind added", byHand(func(c *spec.Container) {
			c.Host.Mounts = append(c.Host.Mounts, mount.Mount{Type: mount.TypeBind, Source: "/usr", Target: "/extra"})
		}), []string{"volumes./extra: not mounted → bind /usr [recreate]"}},
		{"tmpfs", byHand(func(c *spec.Container) { c.Host.Tmpfs = map[string]string{"/run/cache": "size=1m"} }), []string{"volumes./run/cache: tmpfs → tmpfs (size=1m) [recreate]"}},
		{"cap_add", byHand(func(c *spec.Container) { c.Host.CapAdd = []string{"NET_ADMIN", "SYS_TIME"} }), []string{"cap_add: NET_ADMIN → NET_ADMIN, SYS_TIME [recreate]"}},
		{"cap_drop", byHand(func(c *spec.Container) { c.Host.CapDrop = nil }), []string{"cap_drop: MKNOD → unset [recreate]"}},
		{"privileged", byHand(func(c *spec.Container) { c.Host.Privileged = true }), []string{"privileged: false → true [recreate]"}},
		{"security_opt", byHand(func(c *spec.Container) { c.Host.SecurityOpt = nil }), []string{"security_opt: no-new-privileges → unset [recreate]"}},
		{"group_add", byHand(func(c *spec.Container) { c.Host.GroupAdd = nil }), []string{"group_add: 2000 → unset [recreate]"}},
		{"sysctl", byHand(func(c *spec.Container) { c.Host.Sysctls = map[string]string{"net.core.somaxconn": "512"} }), []string{"sysctls.net.core.somaxconn: 256 → 512 [recreate]"}},
		{"read_only", byHand(func(c *spec.Container) { c.Host.ReadonlyRootfs, c.Files = true, nil }), []string{"configs.app: the file's content → missing [recreate]", "read_only: false → true [recreate]"}},
		{"init", byHand(func(c *spec.Container) { yes := true; c.Host.Init = &yes }), []string{"init: false → true [recreate]"}},
		{"tty", byHand(func(c *spec.Container) { c.Config.Tty = true }), []string{"tty: false → true [recreate]"}},
		{"stop_signal", byHand(func(c *spec.Container) { c.Config.StopSignal = "SIGINT" }), []string{"stop_signal: KILL → INT [recreate]"}},
		{"stop_grace_period", byHand(func(c *spec.Container) { c.Config.StopTimeout = nil }), []string{"stop_grace_period: 2s → 10s [recreate]"}},
		{"log option", byHand(func(c *spec.Container) { c.Host.LogConfig.Config = map[string]string{"max-size": "2m"} }), []string{"logging.options.max-size: 1m → 2m [recreate]"}},
		{"log driver", byHand(func(c *spec.Container) { c.Host.LogConfig = container.LogConfig{Type: "none"} }), []string{"logging.driver: json-file → none [recreate]"}},
		{"pid", byHand(func(c *spec.Container) { c.Host.PidMode = "host" }), []string{"pid: unset → host [recreate]"}},
		{"ipc", byHand(func(c *spec.Container) { c.Host.IpcMode = "host" }), []string{"ipc: private → host [recreate]"}},
		{"uts", byHand(func(c *spec.Container) { c.Host.UTSMode, c.Config.Hostname = "host", "" }), []string{"hostname: front → unset [recreate]", "uts: unset → host [recreate]"}},
		{"config content", cli("cp", "$DIR/token.txt", "$C:/app"), []string{"configs.app: the file's content → other content [recreate]"}},
		{"stopped", cli("stop", "$C"), []string{"state: running → exited (137) [in-place]"}},
		{"paused", cli("pause", "$C"), []string{"state: running → paused [in-place]"}},
		{"renamed", cli("rename", "$C", "$P-elsewhere"), []string{"name: $C → $P-elsewhere [in-place]"}},
		{"removed", cli("rm", "-f", "$C"), []string{"existence: exists → missing [in-place]"}},
	}
}

// run runs docker on the names of a stack.
func run(s Stack, args ...string) {
	var own []string
	for _, arg := range args {
		own = append(own, s.Names().Replace(arg))
	}
	s.Docker(own...)
}

// replaceBind puts another entry in the place of what is mounted at a destination; "" takes it away.
func replaceBind(c *spec.Container, destination, bind string) {
	var binds []string
	for _, b := range c.Host.Binds {
		if strings.Split(b, ":")[1] != destination {
			binds = append(binds, b)
		}
	}
	if bind != "" {
		binds = append(binds, bind)
	}
	c.Host.Binds = binds
}
