#!/usr/bin/env bash
# Makes docker compose available as a test-only tool, in the two generations
# Composure interoperates with, and prints the path of each binary.
#
# A binary runs standalone exactly as `docker compose` would:
#
#   docker-compose-v2.40.3 -f compose.yaml -p name up -d
#
# (installed as ~/.docker/cli-plugins/docker-compose it is also a CLI plugin).
# The modules come through the Go module proxy. As a dependency of another
# module they lack go.sum lines, so each is built inside a copy of its own tree.
set -euo pipefail

cache=${XDG_CACHE_HOME:-$HOME/.cache}/composure
log=$cache/peers.log
versions=(v2.40.3 v5.6.0)

fail() {
    printf 'hack/peers.sh: %s\n' "$*" >&2
    exit 1
}

# build VERSION OUTPUT: compile docker compose VERSION into OUTPUT. The version
# is linked in because compose writes it into every container's labels.
build() {
    local version=$1 output=$2
    local module=github.com/docker/compose/${version%%.*}
    local source
    (cd / && GOFLAGS=-mod=mod go mod download -json "$module@$version") >"$log" 2>&1 || true
    source=$(sed -n 's/^[[:space:]]*"Dir": "\(.*\)",\{0,1\}$/\1/p' "$log")
    [ -d "$source" ] || fail "cannot download $module@$version; check 'go env GOPROXY' and the network; log: $log"

    local work
    work=$(mktemp -d "$cache/peers.XXXXXX")
    cp -R "$source/." "$work"
    chmod -R u+w "$work"
    (cd "$work" && CGO_ENABLED=0 GOFLAGS='' GOWORK=off go build -trimpath -buildvcs=false \
        -ldflags "-s -w -X $module/internal.Version=$version" -o docker-compose ./cmd) 2>>"$log" ||
        fail "docker compose $version does not build with $(go version); log: $log"
    mv "$work/docker-compose" "$output"
    rm -rf "$work"
}

command -v go >/dev/null || fail "go is not on PATH; install Go 1.26 or newer (https://go.dev/dl)"
mkdir -p "$cache/bin"
exec 9>"$cache/peers.lock"
flock 9
rm -rf "$cache"/peers.?????? # left by a run that was interrupted; the lock is ours

for version in "${versions[@]}"; do
    binary=$cache/bin/docker-compose-$version
    if [ ! -x "$binary" ]; then
        printf 'building docker compose %s (once, several minutes)\n' "$version" >&2
        build "$version" "$binary"
    fi
    printf '%s\n' "$binary"
done
