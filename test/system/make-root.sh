#!/bin/sh
# Builds a small Debian with systemd and npm, for the system tests to boot, and prints its path.
# It is kept in ${MYSERVER_TEST_ROOTS:-/var/cache/myserver-test-roots} and built again only when
# this script changes. Mirror and proxies are those of this machine's own apt.
#
#   make-root.sh bookworm     # systemd 252
#   make-root.sh trixie       # systemd 257
set -eu

say() { printf 'make-root: %s\n' "$1" >&2; }
fail() { say "$1"; exit 1; }

suite=${1:-}
case $suite in
  bookworm | trixie) ;;
  *) fail "usage: make-root.sh bookworm|trixie" ;;
esac

roots=${MYSERVER_TEST_ROOTS:-/var/cache/myserver-test-roots}
version=$(sha256sum "$0" | cut -c1-12)
root=$roots/$suite-$version

if [ -d "$root" ]; then
  printf '%s\n' "$root"
  exit 0
fi

[ "$(id -u)" = 0 ] || fail "must run as root"
command -v debootstrap >/dev/null || fail "debootstrap is missing: apt-get install debootstrap"

# In a mount namespace of its own no mount outlives the script, however it ends.
if [ "${MAKE_ROOT_UNSHARED:-}" != yes ]; then
  MAKE_ROOT_UNSHARED=yes exec unshare --mount --propagation private "$0" "$@"
fi

find_mirror() {
  # shellcheck disable=SC2016 # apt fills these in, not the shell
  apt-get indextargets --format '$(LABEL) $(REPO_URI)' 'Created-By: Packages' |
    sed -n 's/^Debian //p' | head -n 1
}
mirror=$(find_mirror)
if [ -z "$mirror" ]; then
  say "apt has no package lists yet: fetching them"
  apt-get update >&2
  mirror=$(find_mirror)
fi
[ -n "$mirror" ] || fail "this machine's apt has no Debian mirror to take packages from"

eval "$(apt-config shell http_proxy Acquire::http::Proxy https_proxy Acquire::https::Proxy)"
export http_proxy="${http_proxy:-}" https_proxy="${https_proxy:-}"

mkdir -p "$roots"
build=$(mktemp -d "$roots/.building-$suite-XXXXXX")
log=$build.log
clean_up() {
  umount "$build/proc" 2>/dev/null || true
  rm -rf --one-file-system "$build"
  rm -f "$log"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

quietly() { "$@" >>"$log" 2>&1 </dev/null || { tail -n 40 "$log" >&2; fail "failed: $*"; }; }

# debootstrap resolves no alternatives, so it gets the base only, and apt the rest.
say "bootstrapping $suite"
quietly debootstrap --variant=minbase --include=systemd,systemd-sysv,dbus,ca-certificates \
  "$suite" "$build" "$mirror"

printf 'deb %s %s main\n' "$mirror" "$suite" >"$build/etc/apt/sources.list"
apt-config dump | grep '^Acquire::' >"$build/etc/apt/apt.conf.d/90host" || true
cp -L /etc/resolv.conf "$build/etc/resolv.conf"
mount -t proc proc "$build/proc"

inside() { quietly env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 chroot "$build" "$@"; }
say "installing curl, procps, sudo and npm into $suite"
inside apt-get update
inside apt-get install --yes --no-install-recommends curl procps sudo npm
inside apt-get clean
umount "$build/proc"

# An empty file makes every boot of a fresh copy a machine of its own.
: >"$build/etc/machine-id"
rm -rf "$build"/var/lib/apt/lists/* "$build/var/lib/dbus/machine-id"
chmod 755 "$build"

# The rename is the last step: a root that is there is complete. Another builder may have been first.
if mv -T "$build" "$root" 2>/dev/null; then
  for old in "$roots/$suite"-*; do
    [ "$old" = "$root" ] || rm -rf --one-file-system "$old"
  done
fi
[ -d "$root" ] || fail "could not put $root in place"
printf '%s\n' "$root"
