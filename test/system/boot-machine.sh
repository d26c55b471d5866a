#!/bin/sh
# Boots a throw-away copy of a root in systemd-nspawn. machine.ts starts it in mount and process
# namespaces of its own: when it is killed, every mount and process of the machine goes with it.
#
#   boot-machine.sh LAYERS WORK NAME SRC NPM_CACHE
#
# LAYERS are read-only folders joined by colons, topmost first; WORK/host is laid over them; SRC is
# in the machine as /src, read-only.
set -eu
layers=$1 work=$2 name=$3 src=$4 npm_cache=$5

# The host's own hierarchy may be of version 1, on which systemd 257 refuses to boot.
mount -t cgroup2 none /sys/fs/cgroup
mkdir -p "/sys/fs/cgroup/$name"
echo 0 >"/sys/fs/cgroup/$name/cgroup.procs"

mkdir -p "$work/upper" "$work/overlay" "$work/root" "$npm_cache"
mount -t overlay overlay -o "lowerdir=$layers,upperdir=$work/upper,workdir=$work/overlay" "$work/root"
cp -R "$work/host/." "$work/root"

while :; do
  code=0
  systemd-nspawn --quiet --directory="$work/root" --machine="$name" --boot \
    --register=no --keep-unit --settings=no --link-journal=no --timezone=off \
    --resolv-conf=replace-host --console=pipe \
    --bind-ro="$src:/src" --bind="$npm_cache:/root/.npm" || code=$?
  # With --keep-unit, nspawn leaves it to its caller to start the machine again after a reboot.
  [ "$code" = 133 ] || exit "$code"
done
