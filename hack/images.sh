#!/usr/bin/env bash
# Builds the images that the demo and the tests use, without any registry:
#
#   composure-test/busybox:1, busybox:2   every applet as a command
#   composure-test/base:1                 the machine's distribution, minimal
#   composure-test/postgres:15            a real PostgreSQL server
#   composure-test/api:1, api:2           the demo API, two versions
#   composure-test/frontend:1             its reverse proxy
#   composure-test/systemd:1              a service manager, when asked for: hack/images.sh systemd:1
#
# Everything comes from the distribution's packages, through the archives and the
# settings that apt uses on this machine. (The server is the distribution's own
# version: 15 on Debian 12. The tag stays the same elsewhere.)
#
# An image carries a fingerprint of its sources as a label and is rebuilt only
# when they change. Root file systems are kept in the cache directory.
set -euo pipefail
cd "$(dirname "$0")/.."

cache=${XDG_CACHE_HOME:-$HOME/.cache}/composure
label=composure-test.sources
declare -A present # tag -> fingerprint of the image that exists

fail() {
    printf 'hack/images.sh: %s\n' "$*" >&2
    exit 1
}

# quietly COMMAND...: run it, and show what it said only when it fails.
quietly() {
    "$@" >"$work/output" 2>&1 || {
        cat "$work/output" >&2
        fail "$* failed"
    }
}

# apt_sources: the distribution's own archives among the machine's apt sources,
# one line each. Third parties' archives have no place in a test image.
apt_sources() {
    apt-get indextargets --format 'deb $(REPO_URI) $(RELEASE) $(COMPONENT)' \
        'Created-By: Packages' "Origin: $ID" | sort -u
}

# prepare: what building needs, once a run and only when something is built.
prepare() {
    [ -z "${prepared:-}" ] || return 0
    prepared=yes
    command -v apt-get >/dev/null || fail "the images are made from Debian or Ubuntu packages: run this on one of them"
    command -v go >/dev/null || fail "go is not on PATH; install Go 1.26 or newer (https://go.dev/dl)"
    [ -n "$(apt_sources)" ] || quietly apt-get update
    if ! command -v mmdebstrap >/dev/null; then
        [ "$(id -u)" = 0 ] || fail "mmdebstrap is missing: run 'apt-get install mmdebstrap' as root"
        quietly apt-get update
        quietly env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends mmdebstrap
    fi
    [ -n "$(apt_sources)" ] || fail "no archive of $ID among the apt sources of this machine"
}

# rootfs TARGET PACKAGES: a minimal root file system with PACKAGES (comma
# separated) as a tar file, from the cache when the same was made before.
# PostgreSQL goes without its optional just-in-time compiler: half of its size.
rootfs() {
    local target=$1 packages=$2 key cached
    apt_sources >"$work/sources.list"
    apt-config dump | grep -E '^Acquire::([Hh]ttps?|Check|Retries|Proxy)' >"$work/apt.conf" || true
    key=$({ declare -f rootfs; echo "$packages"; cat "$work/sources.list"; } | sha256sum | cut -c 1-16)
    cached=$cache/rootfs-$key.tar
    if [ ! -s "$cached" ]; then
        quietly mmdebstrap --quiet --variant=minbase --keyring=/usr/share/keyrings \
            --aptopt="$work/apt.conf" --include="$packages" \
            --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
            --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='force-unsafe-io' \
            --dpkgopt='path-exclude=*/libLLVM*' --dpkgopt='path-exclude=*/llvmjit*' --dpkgopt='path-exclude=*/bitcode/*' \
            --customize-hook='rm -rf "$1"/var/lib/postgresql/*/main "$1"/etc/apt/apt.conf.d/99mmdebstrap' \
            --customize-hook='if [ -d "$1/usr/lib/postgresql" ]; then
                cd "$1/usr/lib/postgresql" && ln -s [0-9]*/bin bin &&
                chroot "$1" install -d -m 700 -o postgres -g postgres /var/lib/postgresql/data; fi' \
            "$VERSION_CODENAME" "$work/rootfs.tar" "$work/sources.list"
        mv "$work/rootfs.tar" "$cached"
    fi
    ln -f "$cached" "$target" 2>/dev/null || cp "$cached" "$target"
}

# Recipes: each fills a build context beside the Dockerfile of the image.
base() { rootfs "$1/rootfs.tar" ca-certificates; }
systemd() { rootfs "$1/rootfs.tar" systemd,dbus,procps; }
postgres() { rootfs "$1/rootfs.tar" postgresql && mkdir "$1/run"; }
api() { program "$1/api" "$2" ./test/demo/api; }
frontend() { program "$1/frontend" "$2" ./test/demo/frontend; }
busybox() {
    local context=$1 version=$2 root=$work/busybox applet
    rm -rf "$root" && mkdir -p "$root/unpacked" "$root/rootfs"/{bin,dev,etc,proc,sys,tmp,root,var}
    (cd "$root" && quietly apt-get download busybox-static && dpkg -x busybox-static_*.deb unpacked)
    cp "$root"/unpacked/{usr/,}bin/busybox "$root/rootfs/bin/" 2>/dev/null || [ -x "$root/rootfs/bin/busybox" ]
    for applet in $("$root/rootfs/bin/busybox" --list); do
        [ "$applet" = busybox ] || ln -s busybox "$root/rootfs/bin/$applet"
    done
    chmod 1777 "$root/rootfs/tmp"
    echo "$version" >"$root/rootfs/etc/version"
    printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n' >"$root/rootfs/etc/passwd"
    printf 'root:x:0:\nnogroup:x:65534:\n' >"$root/rootfs/etc/group"
    tar -C "$root/rootfs" --owner 0 --group 0 -cf "$context/rootfs.tar" .
}

# program OUTPUT VERSION PACKAGE: a static binary of one of the demo's programs.
program() {
    quietly env CGO_ENABLED=0 go build -trimpath -buildvcs=false \
        -ldflags "-s -w -X main.version=$2" -o "$1" "$3"
}

# fingerprint TAG RECIPE SOURCE...: identifies what an image is made from.
fingerprint() {
    local tag=$1 recipe=$2
    shift 2
    {
        echo "$tag $ID $VERSION_CODENAME $(uname -m)"
        declare -f "$recipe"
        case $recipe in
            base | postgres | systemd) declare -f rootfs ;;
            api | frontend) declare -f program ;;
        esac
        find "$@" -type f ! -name '*_test.go' -print0 | sort -z | xargs -0 sha256sum
        sed -n 's, //.*,,; /jackc\//p' go.mod
    } | sha256sum | cut -c 1-32
}

# image TAG SOURCE...: make sure that the image is there and up to date.
# Its recipe and its Dockerfile's folder have the name of the tag without version.
image() {
    local tag=$1 recipe=${1%%:*} want context old
    shift
    want=$(fingerprint "$tag" "$recipe" "hack/images/$recipe" "$@")
    [ "${present[$tag]:-}" != "$want" ] || return 0

    echo "building composure-test/$tag" >&2
    prepare
    context=$work/context
    rm -rf "$context" && cp -R "hack/images/$recipe" "$context"
    "$recipe" "$context" "${tag#*:}"
    old=$(docker image inspect --format '{{.Id}}' "composure-test/$tag" 2>/dev/null || true)
    quietly env DOCKER_BUILDKIT=0 docker build --tag "composure-test/$tag" --label "$label=$want" "$context"
    [ -z "$old" ] || docker image rm "$old" >/dev/null 2>&1 || true # still in use: somebody else's to remove
}

command -v docker >/dev/null || fail "docker is not on PATH; run hack/engine.sh first"
ID=$(. /etc/os-release && echo "${ID^}")
VERSION_CODENAME=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")

mkdir -p "$cache"
exec 9>"$cache/images.lock"
flock 9
rm -rf "$cache"/images.?????? # left by a run that was killed; the lock is ours
work=$(mktemp -d "$cache/images.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

tags=(busybox:1 busybox:2 api:1 api:2 frontend:1 postgres:15 base:1 "$@")
while read -r tag sum; do
    [ -z "$tag" ] || present[${tag#composure-test/}]=$sum
done < <(docker image inspect --format "{{range .RepoTags}}{{println . (index \$.Config.Labels \"$label\")}}{{end}}" \
    "${tags[@]/#/composure-test/}" 2>/dev/null)

image busybox:1
image busybox:2
image api:1 test/demo/api hack/images/busybox
image api:2 test/demo/api hack/images/busybox
image frontend:1 test/demo/frontend hack/images/busybox
image postgres:15
image base:1
for tag; do image "$tag"; done
