# shellcheck shell=bash
# shellcheck disable=SC2034 # what is set here is read in rig.sh
# Finds an Asterisk that is new enough, or puts one into the cache. Sourced by
# script/asterisk. Promises: a half-done download is never used, two runs at
# once do not collide, and nothing outside the cache folder is changed (but for
# debootstrap itself, which is installed when it is missing).
#
# Where it runs from: packages are unpacked into ROOT by debootstrap, but
# Asterisk is *run* without chroot, by ROOT's own dynamic loader with ROOT's own
# libraries. So it needs no root and no mounts, it sees the same paths as
# everybody else, and any number of instances share one ROOT.

: "${root:?}"
cache=${GOASTGATEWAY_CACHE:-$root/.cache/asterisk}

# The oldest that speaks JSON and keeps its word about hangup causes.
readonly WANTED="22.8 or newer (23.2 in the 23 line), with chan_websocket"

# Set by find_asterisk: the command to run it (an array), its modules, its data.
asterisk=()
asterisk_version=
asterisk_modules=
asterisk_data=

# new_enough "Asterisk 22.10.1~dfsg…"
new_enough() {
  local major minor
  [[ $1 =~ ([0-9]+)\.([0-9]+) ]] || return 1
  major=${BASH_REMATCH[1]} minor=${BASH_REMATCH[2]}
  case $major in
    22) [ "$minor" -ge 8 ] ;;
    23) [ "$minor" -ge 2 ] ;;
    *) [ "$major" -ge 24 ] ;;
  esac
}

# look_in ROOT BINARY : takes the Asterisk below ROOT ('' is this system itself)
# when it is new enough and complete. Sets the four variables above.
look_in() {
  local prefix=$1 binary=$2 loader dir
  local -a libraries=()
  [ -x "$binary" ] || return 1
  asterisk=("$binary")
  if [ -n "$prefix" ]; then
    loader=$(find "$prefix"/lib64 "$prefix"/lib "$prefix"/usr/lib -maxdepth 2 \
      -name 'ld-linux*.so.*' 2>/dev/null | head -n 1)
    [ -n "$loader" ] || return 1
    for dir in "$prefix"/usr/lib/*-linux-gnu* "$prefix"/usr/lib; do
      [ -d "$dir" ] && libraries+=("$dir")
    done
    asterisk=("$loader" --inhibit-cache --library-path "$(IFS=: && echo "${libraries[*]}")" "$binary")
  fi
  asterisk_version=$("${asterisk[@]}" -V 2>/dev/null) || return 1
  new_enough "$asterisk_version" || return 1
  asterisk_modules=$(find "$prefix"/usr/lib "$prefix"/usr/lib64 "$prefix"/usr/local/lib \
    -name chan_websocket.so -printf '%h\n' 2>/dev/null | head -n 1)
  [ -n "$asterisk_modules" ] || return 1
  for dir in /usr/share/asterisk /var/lib/asterisk /usr/local/share/asterisk; do
    if [ -d "$prefix$dir/sounds" ]; then
      asterisk_data=$prefix$dir
      return
    fi
  done
  asterisk_data=
}

find_asterisk() {
  local given=${GOASTGATEWAY_ASTERISK:-}
  if [ -n "$given" ]; then
    if [ -d "$given" ]; then
      given=$(cd "$given" && pwd)
      look_in "${given%/}" "${given%/}/usr/sbin/asterisk" && return
    else
      look_in '' "$given" && return
    fi
    die "GOASTGATEWAY_ASTERISK=$given is not an Asterisk $WANTED"
  fi
  local installed
  installed=$(PATH=$PATH:/usr/sbin:/usr/local/sbin command -v asterisk || true)
  [ -n "$installed" ] && look_in '' "$installed" && return
  look_in "$cache/root" "$cache/root/usr/sbin/asterisk"
}

# Prints the mirror that this machine's apt reads its own release from.
apt_mirror() {
  (
    # shellcheck disable=SC1091
    . /etc/os-release
    # shellcheck disable=SC2016 # apt's own placeholders, not the shell's
    apt-get indextargets --format '$(COMPONENT)|$(RELEASE)|$(ORIGIN)|$(REPO_URI)' \
      'Created-By: Packages' 2>/dev/null |
      awk -F'|' -v code="${VERSION_CODENAME:-none}" '
        # Not …-security, …-updates or another vendor: those hold no base system.
        $1 == "main" && $2 !~ /-/ && ($3 ~ /^(Debian|Ubuntu)$/ || $2 == code) &&
          $4 ~ /^(https?|ftp|file):/ { print $4; exit }'
  )
}

# Debian has the package in testing; Ubuntu, whose mirrors carry no Debian, in
# the release it is working on.
suite_and_components() {
  # shellcheck disable=SC1091
  case $(. /etc/os-release && echo "$ID ${ID_LIKE:-}") in
    ubuntu* | *" ubuntu"*) echo "${GOASTGATEWAY_SUITE:-devel} main,universe" ;;
    *) echo "${GOASTGATEWAY_SUITE:-testing} main" ;;
  esac
}

# run_logged LOG WHAT COMMAND… : runs it with its output in LOG, and shows that
# it is alive: on a terminal the last line of it, elsewhere a line now and then.
run_logged() {
  local log=$1 what=$2 pid began=$SECONDS said=0
  shift 2
  # A group of its own, ended whole: a Ctrl-C must not leave half of it running
  # behind our back.
  setsid "$@" >>"$log" 2>&1 </dev/null &
  pid=$!
  # shellcheck disable=SC2064
  trap "kill -TERM -- -$pid 2>/dev/null; wait $pid 2>/dev/null; exit 130" INT TERM HUP
  while kill -0 "$pid" 2>/dev/null; do
    if [ -t 2 ]; then
      printf '\r\033[K  %s, %d s: %.50s' "$what" $((SECONDS - began)) \
        "$(tail -n 1 "$log" | tr -d '\r' | sed 's/^I: //')" >&2
    elif [ $((SECONDS - began)) -ge $((said + 10)) ]; then
      said=$((SECONDS - began))
      say "  $what, $said s"
    fi
    sleep 0.2
  done
  [ -t 2 ] && printf '\r\033[K' >&2
  trap - INT TERM HUP
  if ! wait "$pid"; then
    tail -n 15 "$log" >&2
    die "$what failed; the whole log is $log"
  fi
}

# debootstrap mounts /proc inside while it works; an interrupted one leaves it,
# and deleting through a mount would be deleting something else.
unmount_below() {
  local at
  awk -v below="$1/" 'index($2, below) == 1 { print $2 }' /proc/mounts | sort -r |
    while read -r at; do umount "$at" || die "cannot unmount $at"; done
}

discard() {
  [ -e "$1" ] || return 0
  unmount_below "$1"
  rm -rf --one-file-system "$1"
}

fetch_asterisk() {
  local half=$cache/root.partial log=$cache/get.log mirror suite components
  have apt-get || skip "this machine has no Asterisk $WANTED and no apt-get to fetch one with; install one, or name one in GOASTGATEWAY_ASTERISK"
  is_root || skip "this machine has no Asterisk $WANTED, and fetching one needs root: run 'sudo script/asterisk get' once, or install one"
  have debootstrap || apt_install debootstrap

  read -r suite components < <(suite_and_components)
  mirror=${GOASTGATEWAY_MIRROR:-$(apt_mirror)}
  [ -n "$mirror" ] || die "found no package mirror in this machine's apt configuration; name one in GOASTGATEWAY_MIRROR"
  step "Getting Asterisk from $suite into $cache (about 450 MB, once)"
  : >"$log"

  # apt may reach its mirror only through a proxy; debootstrap asks the environment.
  local proxy
  proxy=$(apt-config shell P Acquire::http::Proxy 2>/dev/null | sed -n "s/^P='\(.*\)'$/\1/p")
  [ -n "$proxy" ] && [ "$proxy" != DIRECT ] && export http_proxy=${http_proxy:-$proxy}

  # Stage 1, thrown away whole when it was interrupted; downloads are kept.
  if [ ! -e "$half/.base-is-complete" ]; then
    discard "$half"
    mkdir -p "$cache/packages"
    run_logged "$log" "base system" debootstrap --variant=minbase --include=ca-certificates \
      --components="$components" --cache-dir="$cache/packages" "$suite" "$half" "$mirror"
    : >"$half/.base-is-complete"
  fi
  # Stage 2 can be tried again on top of stage 1: dpkg knows how far it came.
  # Inside, apt reaches and trusts the mirror exactly as this machine's own does:
  # proxies, and whether a mirror that stands still on purpose may be used.
  apt-config dump | grep -E '^Acquire::((http|https|ftp)::[Pp]roxy|Check-(Valid-Until|Date)|Retries)' \
    >"$half/etc/apt/apt.conf.d/90host" || true
  # Nothing is to be started in there by its installation.
  printf '#!/bin/sh\nexit 101\n' >"$half/usr/sbin/policy-rc.d"
  chmod 755 "$half/usr/sbin/policy-rc.d"
  # shellcheck disable=SC2016 # for the shell inside
  run_logged "$log" "Asterisk and its prompts" chroot "$half" /bin/sh -ec '
    export DEBIAN_FRONTEND=noninteractive LC_ALL=C
    dpkg --configure -a
    apt-get update
    apt-get install -y --no-install-recommends asterisk asterisk-core-sounds-en
    apt-get clean'
  look_in "$half" "$half/usr/sbin/asterisk" ||
    die "what $suite offers is not an Asterisk $WANTED: ${asterisk_version:-none}"

  discard "$cache/root"
  mv "$half" "$cache/root" # from here on, and only now, it counts
  rm -rf "$cache/packages"
}

# Makes sure there is one, whoever asks first; sets the variables at the top.
get_asterisk() {
  find_asterisk && return
  mkdir -p "$cache" 2>/dev/null || skip "cannot write to $cache; name another folder in GOASTGATEWAY_CACHE"
  local lock
  exec {lock}>"$cache/lock"
  if ! flock -n "$lock"; then
    step "Waiting for another run that is getting Asterisk into $cache"
    flock "$lock"
  fi
  # The other run may have finished it while we waited.
  if ! find_asterisk; then
    fetch_asterisk
    find_asterisk
  fi
  exec {lock}>&-
}

get_command() {
  [ $# -eq 0 ] || die "get takes no arguments"
  local began=$SECONDS
  get_asterisk
  say "$asterisk_version is ready ($((SECONDS - began)) s). Start one: script/asterisk start DIR"
  printf '%q ' "${asterisk[@]}"
  echo
}
