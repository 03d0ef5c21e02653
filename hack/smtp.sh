#!/usr/bin/env bash
# Makes sure that the SMTP server of the notification tests is there (aiosmtpd, which Debian and Ubuntu package) and
# prints where: a folder for PYTHONPATH. The tests call it, and start the server themselves, on loopback. Nothing is
# installed: the packages are unpacked into the cache directory.
set -euo pipefail

dir=${XDG_CACHE_HOME:-$HOME/.cache}/composure/aiosmtpd

fail() {
    printf 'hack/smtp.sh: %s\n' "$*" >&2
    exit 1
}

command -v python3 >/dev/null || fail "python3 is missing; the SMTP server of the tests needs it"

mkdir -p "$(dirname "$dir")"
exec 9>"$dir.lock"
flock 9 # tests of several packages call this at once
if [ ! -f "$dir/complete" ]; then
    command -v apt-get >/dev/null || fail "put aiosmtpd 1.4 with its dependencies (attrs, atpublic) into $dir and create $dir/complete"
    printf 'getting aiosmtpd from the distribution\n' >&2
    work=$(mktemp -d "$dir.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    packages=(python3-aiosmtpd python3-attr python3-public)
    download() { (cd "$work" && apt-get download -qq -o APT::Sandbox::User=root "${packages[@]}" >/dev/null); }
    download || { apt-get update -qq >/dev/null && download; } || fail "cannot download ${packages[*]}"
    for package in "$work"/*.deb; do
        dpkg -x "$package" "$work/unpacked"
    done
    touch "$work/unpacked/usr/lib/python3/dist-packages/complete"
    rm -rf "$dir"
    mv "$work/unpacked/usr/lib/python3/dist-packages" "$dir"
fi
printf '%s\n' "$dir"
