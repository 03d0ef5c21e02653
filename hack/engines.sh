#!/usr/bin/env bash
# Runs a command beside a newer Docker Engine than the machine's, taken from a newer Debian suite:
#
#   hack/engines.sh trixie go test ./test/e2e
#
# The engine lives in a root file system of that suite, in namespaces of its own for mounts, processes and network; the
# command gets DOCKER_HOST, the test images, and the engine's network, where its published ports are. When the command
# ends, the engine and all that ran on it is gone. The root file system is kept in the cache directory.
#
# Needs root, on Debian; the mirror is that of the machine's apt.
set -euo pipefail
cd "$(dirname "$0")/.."

suite=${1:?usage: hack/engines.sh SUITE COMMAND...}
shift
cache=${XDG_CACHE_HOME:-$HOME/.cache}/composure
root=$cache/engine-$suite

fail() {
    printf 'hack/engines.sh: %s\n' "$*" >&2
    exit 1
}

[ "$(id -u)" = 0 ] || fail "an engine of another suite needs root: run this as root"
command -v mmdebstrap >/dev/null || fail "mmdebstrap is missing: run 'apt-get install mmdebstrap'"

# mirror: the distribution's first archive among the machine's apt sources.
mirror() { apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' | sort -u | grep -v security | head -n 1; }

mkdir -p "$cache"
work=$(mktemp -d "${TMPDIR:-/tmp}/composure-engine.XXXXXX")
host=
finish() {
    if [ -n "$host" ]; then
        kill -KILL "$host" 2>/dev/null || true # and the kernel everything in its namespaces
        wait "$host" 2>/dev/null || true
    fi
    # What was killed a moment ago may still hold a file.
    for _ in $(seq 100); do rm -rf "$work" 2>/dev/null && break || sleep 0.1; done
    find /sys/fs/cgroup -depth -type d -path "*/$(basename "$work")*" -exec rmdir {} + 2>/dev/null || true
}
trap finish EXIT
trap 'exit 130' INT TERM

exec 9>"$cache/engine-$suite.lock"
flock 9
if [ ! -e "$root/.complete" ]; then
    archive=$(mirror)
    [ -n "$archive" ] || fail "no Debian archive among the apt sources of this machine"
    printf 'making a root file system of %s with its Docker Engine\n' "$suite" >&2
    rm -rf "$root"
    apt-config dump | grep -E '^Acquire::([Hh]ttps?|Check|Retries|Proxy)' >"$work/apt.conf" || true
    mmdebstrap --quiet --variant=minbase --keyring=/usr/share/keyrings --aptopt="$work/apt.conf" --dpkgopt=force-unsafe-io \
        --include=docker.io,iptables,ca-certificates,fuse-overlayfs,iproute2 "$suite" "$root" "deb $archive $suite main" >"$work/output" 2>&1 || {
        tail -n 20 "$work/output" >&2
        fail "mmdebstrap $suite failed"
    }
    touch "$root/.complete"
fi

driver=$(docker info --format '{{.Driver}}')
socket=$work/docker.sock
printf '{"storage-driver": "%s", "data-root": "%s/data", "exec-root": "%s/exec", "pidfile": "%s/pid", "hosts": ["unix://%s", "unix:///var/run/docker.sock"], "default-cgroupns-mode": "host", "cgroup-parent": "/%s", "features": {"containerd-snapshotter": false}}' \
    "$driver" "$work" "$work" "$work" "$socket" "$(basename "$work")" >"$work/daemon.json"

# The engine's root is changed, not only its view of it (chroot): else what is run inside a container by exec or cp would
# find itself outside of it. The working directory of tests is below the temporary directory: it is where it was.
unshare --net --mount --pid --fork --kill-child sh -c '
    set -e
    root=$1 work=$2
    mount --make-rprivate /
    mount --bind "$root" "$root"
    mount -t proc proc "$root/proc"
    mount -t tmpfs none "$root/run" # where containers of its own find its socket
    for dir in sys dev tmp; do mount --rbind "/$dir" "$root/$dir"; done
    ip link set lo up
    mkdir -p "$root/machine"
    cd "$root"
    pivot_root . machine
    umount -l /machine
    dockerd --config-file "$work/daemon.json" >"$work/log" 2>&1 &
    while :; do sleep 3600; done' sh "$root" "$work" 9>&- &
host=$!

deadline=$((SECONDS + 120))
until DOCKER_HOST=unix://$socket timeout 10 docker version >/dev/null 2>&1; do
    kill -0 "$host" 2>/dev/null || fail "the engine ended: $(tail -n 20 "$work/log")"
    [ $SECONDS -lt $deadline ] || fail "the engine does not answer: $(tail -n 20 "$work/log")"
    sleep 0.2
done
flock -u 9
docker save $(docker image ls --filter reference='composure-test/*' --format '{{.Repository}}:{{.Tag}}') |
    DOCKER_HOST=unix://$socket docker load --quiet >/dev/null
first=$(cat "/proc/$host/task/$host/children")
DOCKER_HOST=unix://$socket nsenter --target "${first%% *}" --net -- "$@"
