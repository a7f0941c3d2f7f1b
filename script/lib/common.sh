# shellcheck shell=bash
# What script/asterisk and script/demo share: talking to the operator, ports,
# processes. Sourced, never run. Promises: nothing here changes the machine.

# Standard output is for answers, standard error for progress: `x=$(script/…)`
# stays usable while a person still sees what takes so long.
say() { printf '%s\n' "$*" >&2; }
step() { printf '• %s\n' "$*" >&2; }
die() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 1
}

# 77 is how test runners write "skipped": nothing failed, nothing was proven.
readonly EXIT_SKIPPED=77
skip() {
  printf '%s: skipped: %s\n' "${0##*/}" "$*" >&2
  exit "$EXIT_SKIPPED"
}

# Usage texts are the comment block at the head of each script, so that what
# --help says and what the file says cannot drift apart.
usage_from_head() { awk 'NR > 1 { if (!/^#/) exit; sub(/^# ?/, ""); print }' "$1"; }

have() { command -v "$1" >/dev/null 2>&1; }
is_root() { [ "$(id -u)" -eq 0 ]; }

# apt_install PACKAGE… : installs what is missing, as root, quietly; the log
# tells why when it fails.
apt_install() {
  is_root || die "needs $*, which is not installed; install it (apt-get install $*) or run as root"
  have apt-get || die "needs $*, which is not installed, and this machine has no apt-get"
  step "Installing $* with apt-get"
  local log
  log=$(mktemp)
  if ! DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@" >"$log" 2>&1; then
    # An index that was never fetched, or is too old, is the usual reason.
    if ! { apt-get update && DEBIAN_FRONTEND=noninteractive \
      apt-get install -y --no-install-recommends "$@"; } >"$log" 2>&1; then
      tail -n 20 "$log" >&2
      rm -f "$log"
      die "apt-get could not install $*"
    fi
  fi
  rm -f "$log"
}

# True while something on this machine listens on TCP port $1 (any address).
port_is_taken() {
  local hex tables=(/proc/net/tcp)
  [ -r /proc/net/tcp6 ] && tables+=(/proc/net/tcp6)
  hex=$(printf '%04X' "$1")
  # Field 4 is the state; 0A is LISTEN. The kernel's table needs no tool and
  # no connection that the listener would have to log.
  awk -v port="$hex" '
    FNR > 1 && $4 == "0A" { n = split($2, at, ":"); if (at[n] == port) found = 1 }
    END { exit !found }
  ' "${tables[@]}"
}

# free_port [PREFERRED] : prints PREFERRED when nobody listens there, otherwise
# one from below the kernel's ephemeral range. At random, so that two rigs that
# start in the same instant do not ask for the same one.
free_port() {
  local port=${1:-} tries
  if [ -n "$port" ] && ! port_is_taken "$port"; then
    echo "$port"
    return
  fi
  for ((tries = 0; tries < 200; tries++)); do
    port=$((20000 + (RANDOM * 32768 + RANDOM) % 12000))
    if ! port_is_taken "$port"; then
      echo "$port"
      return
    fi
  done
  die "found no free TCP port between 20000 and 31999"
}

# free_ports COUNT : so many, no two the same, a line each.
free_ports() {
  local port
  local -A found=()
  while [ ${#found[@]} -lt "$1" ]; do
    port=$(free_port '')
    found[$port]=free
  done
  printf '%s\n' "${!found[@]}"
}

# random_hex BYTES : from the kernel, never from $RANDOM: it guards a login.
random_hex() { od -An -N "$1" -tx1 /dev/urandom | tr -d ' \n'; }

# is_ours PID WORD : true when PID is alive and WORD is on its command line. A
# pid file may outlive its process, and the number may belong to another by now.
is_ours() {
  [ -n "${1:-}" ] && [ -r "/proc/$1/cmdline" ] && grep -qzF -- "$2" "/proc/$1/cmdline" 2>/dev/null
}

# wait_gone PID SECONDS : waits until the process has ended; false if it has not.
wait_gone() {
  local deadline=$((SECONDS + $2))
  while [ -d "/proc/$1" ] && [ "$(awk '/^State:/ { print $2 }' "/proc/$1/status" 2>/dev/null)" != Z ]; do
    [ "$SECONDS" -lt "$deadline" ] || return 1
    sleep 0.05
  done
}
