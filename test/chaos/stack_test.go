//go:build linux

package chaos

import (
	"fmt"
	"strings"

	"composure/test/rig"
)

// writers keep rows in a volume each, and notice when two of them run at once.
const writers = 11

// ports are those of the services that publish one.
var ports = map[string]string{"port1": "19001", "port2": "19002", "port3": "19003"}

// file is a stack of twenty containers.
func file() string {
	var text strings.Builder
	text.WriteString(`x-composure:
  min_healthy: 500ms
  stop_port_holders: [thief-that-may-be-stopped]
  remediation: {stable: 5s, stop_grace: 5s, backoff: {initial: 500ms, factor: 2, max: 5s, reset: 15s}}
services:
  db:
    image: composure-test/postgres:15
    restart: unless-stopped
    stop_signal: SIGINT
    environment: {POSTGRES_PASSWORD: chaos}
    healthcheck: {test: [CMD, pg_isready, --quiet, --host=127.0.0.1, --username=postgres], interval: 5s, timeout: 20s, retries: 3, start_period: 60s}
    volumes: ['db:/var/lib/postgresql/data']
  needs-db:
    image: ` + rig.Image + `
    command: [sleep, "100000"]
    restart: always
    stop_signal: SIGKILL
    depends_on: {db: {condition: service_healthy}}
  once:
    image: ` + rig.Image + `
    command: [sh, -c, "echo ran >> /data/runs"]
    volumes: ['once:/data']
  many:
    image: ` + rig.Image + `
    command: [sleep, "100000"]
    restart: always
    stop_signal: SIGKILL
    scale: 3
`)
	for name, port := range ports {
		fmt.Fprintf(&text, "  %s:\n    image: composure-test/busybox:1\n    command: [httpd, -f, -p, '8080', -h, /etc]\n    restart: unless-stopped\n    stop_signal: SIGKILL\n    ports: ['127.0.0.1:%s:8080']\n", name, port)
	}
	for i := range writers {
		policy := []string{"always", "unless-stopped", `"no"`}[i%3]
		fmt.Fprintf(&text, `  w%d:
    image: %s
    command: %s
    restart: %s
    stop_signal: SIGKILL
    mem_limit: 32m
    memswap_limit: 32m
    healthcheck: {test: [CMD, test, "!", -e, /tmp/ill], interval: 5s, timeout: 20s, retries: 2}
    volumes: ['w%d:/data']
`, i, rig.Image, rig.Writer, policy, i)
	}
	text.WriteString("volumes:\n  db: {}\n  once: {}\n")
	for i := range writers {
		fmt.Fprintf(&text, "  w%d: {}\n", i)
	}
	return text.String()
}
