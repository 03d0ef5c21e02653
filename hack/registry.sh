#!/usr/bin/env bash
# Makes sure that the docker-registry binary is there; the pull tests start it
# themselves, on loopback. Debian and Ubuntu package it. Silent when it is there.
set -euo pipefail

fail() {
    printf 'hack/registry.sh: %s\n' "$*" >&2
    exit 1
}

! command -v docker-registry >/dev/null || exit 0

command -v apt-get >/dev/null || fail "docker-registry is not on PATH; install Docker's registry (2.8 or newer) under that name"
[ "$(id -u)" = 0 ] || fail "docker-registry is missing: run 'apt-get install docker-registry' as root"

printf 'installing docker-registry from the distribution\n' >&2
packages=$(mktemp -d)
trap 'rm -rf "$packages"' EXIT

# Only the binary is wanted: the package would also start a service on all addresses.
apt-get update -qq >/dev/null || fail "apt-get update failed"
(cd "$packages" && apt-get download -qq -o APT::Sandbox::User=root docker-registry >/dev/null) || fail "no package docker-registry in this distribution"
dpkg -x "$packages"/docker-registry_*.deb "$packages/unpacked"
install -m 755 "$packages/unpacked/usr/bin/docker-registry" /usr/local/bin/docker-registry
