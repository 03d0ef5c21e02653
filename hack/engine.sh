#!/usr/bin/env bash
# Makes sure that a Docker Engine answers.
#
# One that does, at DOCKER_HOST or at the default socket, is used as it is and
# nothing is changed. Otherwise, on Debian or Ubuntu as root, docker.io is
# installed from the distribution and the daemon started in the background.
# Anywhere else this stops and says what to do. Silent when there was nothing to do.
set -euo pipefail

log=/var/log/composure-dockerd.log

say() { printf 'hack/engine.sh: %s\n' "$*" >&2; }
fail() {
    say "$@"
    exit 1
}

# answers: an engine replies. A daemon that accepts and then hangs does not count.
answers() {
    command -v docker >/dev/null && timeout 10 docker version --format '{{.Server.Version}}' >/dev/null 2>&1
}

# running: a daemon process exists, though it may not answer yet.
running() {
    local pid
    pid=$(cat /var/run/docker.pid 2>/dev/null) && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = dockerd ]
}

# packages NAME...: install what the distribution has among NAME.
packages() {
    local name known=()
    for name in "$@"; do
        if apt-cache show "$name" >/dev/null 2>&1; then known+=("$name"); fi
    done
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${known[@]}" >"$log" 2>&1 || {
        tail -n 20 "$log" >&2
        fail "installing ${known[*]} failed"
    }
}

install_engine() {
    say "installing docker.io from the distribution"
    apt-get update -qq >/dev/null || fail "apt-get update failed"
    # Newer releases keep the client and the storage helper in packages of their own.
    packages docker.io docker-cli iptables ca-certificates
}

# storage_driver: overlay2 where the kernel and the file system below allow it,
# else what needs less. An existing daemon.json has decided already.
storage_driver() {
    local probe=/var/lib/docker/composure-probe
    mkdir -p "$probe"/{lower,upper,work,merged}
    if mount -t overlay overlay -o "lowerdir=$probe/lower,upperdir=$probe/upper,workdir=$probe/work" "$probe/merged" 2>/dev/null; then
        umount "$probe/merged"
        echo overlay2
    elif [ -c /dev/fuse ] && { command -v fuse-overlayfs >/dev/null || packages fuse-overlayfs; }; then
        echo fuse-overlayfs
    else
        echo vfs
    fi
    rm -rf "$probe"
}

start_daemon() {
    if [ -d /run/systemd/system ]; then
        say "starting the docker service"
        systemctl start docker || fail "'systemctl start docker' failed; see 'journalctl -u docker'"
        return
    fi
    local options=()
    if ! grep -qs storage-driver /etc/docker/daemon.json; then
        options=(--storage-driver "$(storage_driver)")
    fi
    say "starting dockerd ${options[*]} in the background, log in $log"
    setsid dockerd "${options[@]}" >"$log" 2>&1 </dev/null &
    daemon=$!
}

# wait_for_engine: until it answers, or its process is gone, or a minute is over.
wait_for_engine() {
    local deadline=$((SECONDS + 60))
    until answers; do
        if [ -n "${daemon:-}" ] && ! kill -0 "$daemon" 2>/dev/null; then
            tail -n 20 "$log" >&2
            fail "dockerd ended while starting; its whole log is $log"
        fi
        [ $SECONDS -lt $deadline ] || fail "the engine did not answer within 60 s; see $log"
        sleep 0.2
    done
}

answers && exit 0

[ -z "${DOCKER_HOST:-}" ] || fail "no engine answers at DOCKER_HOST=$DOCKER_HOST; start it, or unset DOCKER_HOST to use the local one"
[ "$(id -u)" = 0 ] || fail "no engine answers. Start Docker (on most systems 'sudo systemctl start docker'), make sure that this user may use it, or run this as root on Debian or Ubuntu"

exec 9>/run/composure-engine.lock
flock 9
answers && exit 0 # somebody else was first
if ! running; then
    if ! command -v dockerd >/dev/null || ! command -v docker >/dev/null; then
        command -v apt-get >/dev/null || fail "no Docker Engine here, and this is neither Debian nor Ubuntu: install Docker 20.10 or newer and start it"
        install_engine
    fi
    answers || running || start_daemon 9>&-
fi
wait_for_engine
say "Docker Engine $(docker version --format '{{.Server.Version}}') is ready"
