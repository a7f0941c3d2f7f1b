# shellcheck shell=bash
# The demo's parts: build, configure, start, call, check, stop. Sourced by
# script/demo. Promises: ends only processes that it started, and leaves files
# nowhere but in its own folder, the build and the cache.

: "${root:?}"
home=$(realpath -m "${GOASTGATEWAY_DEMO:-$root/.demo}")

# Starting takes a moment; this much, only when something is wrong.
readonly READY_SECONDS=20

gateway_bin=
phone_bin=

# build gateway|check : the gateway, and for the check the headless phone too.
build() {
  gateway_bin=${GOASTGATEWAY_BIN:-} phone_bin=${GOASTGATEWAY_PHONE:-}
  local -a wanted=()
  [ -n "$gateway_bin" ] || wanted+=(--bin goastgateway)
  [ "$1" = gateway ] || [ -n "$phone_bin" ] || wanted+=(--example headless_phone)
  [ ${#wanted[@]} -gt 0 ] || return 0
  have cargo || die "needs Rust: cargo is not in the PATH (see https://rustup.rs, or apt-get install cargo)"
  have cc || apt_install gcc libc6-dev
  step "Building the gateway (the first time some six minutes on two cores)"
  (cd "$root" && cargo build --release --locked "${wanted[@]}") >&2 ||
    die "the build failed; the reason stands above"
  local target
  target=$(cd "$root" && cargo metadata --no-deps --format-version 1 |
    sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
  gateway_bin=${gateway_bin:-$target/release/goastgateway}
  phone_bin=${phone_bin:-$target/release/examples/headless_phone}
}

# The addresses by which another machine may reach this one.
own_addresses() { hostname -I 2>/dev/null | tr ' ' '\n' | grep -E '^[0-9.]+$|^[0-9a-f]+:[0-9a-f:]+$' || true; }

# write_certificate DIR NAME… : self-signed, and kept as long as it still fits.
write_certificate() {
  local dir=$1 name names='' n=0
  shift
  for name in "$@"; do
    case $name in
      *[!0-9.]*:* | *:*) names+="IP.$((++n)) = $name"$'\n' ;;
      *[!0-9.]*) names+="DNS.$((++n)) = $name"$'\n' ;;
      *) names+="IP.$((++n)) = $name"$'\n' ;;
    esac
  done
  if [ "$(cat "$dir/certificate.names" 2>/dev/null)" = "$names" ] &&
    openssl x509 -in "$dir/cert.pem" -noout -checkend 86400 >/dev/null 2>&1; then
    return
  fi
  step "Making a certificate for $*"
  # Not a CA: whoever trusts it trusts this one host, and nothing signed by it.
  cat >"$dir/certificate.cnf" <<CNF
[req]
prompt = no
distinguished_name = subject
x509_extensions = leaf
[subject]
CN = goastgateway demo
[leaf]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = @names
[names]
$names
CNF
  (umask 077 && openssl req -x509 -config "$dir/certificate.cnf" -newkey ec \
    -pkeyopt ec_paramgen_curve:P-256 -nodes -sha256 -days 365 \
    -keyout "$dir/key.pem" -out "$dir/cert.pem" 2>"$dir/openssl.log") ||
    die "openssl could not make a certificate: $(tail -n 1 "$dir/openssl.log")"
  printf '%s\n' "$names" >"$dir/certificate.names"
}

# configure DIR here|everywhere : chooses ports, and what else both programs have
# to know; listens for browsers on loopback only, or on every address of this machine.
configure() {
  local dir=$1 reach=$2 name
  bind='' origins=''
  local -a names=(localhost 127.0.0.1)
  have openssl || apt_install openssl
  mkdir -p "$dir"
  chmod 700 "$dir"
  asterisk_port=$(free_port 8765) browser_port=$(free_port 8766) admin_port=$(free_port 8767)
  if [ "$reach" = here ]; then
    bind=127.0.0.1
  else
    mapfile -t -O ${#names[@]} names < <(own_addresses)
  fi
  write_certificate "$dir" "${names[@]}"
  for name in "${names[@]}"; do
    [[ $name == *:* ]] && name="[$name]"
    origins+="${origins:+, }\"https://$name:$browser_port\""
  done
  # The secret stays, so that links from yesterday still log in.
  if [ ! -s "$dir/secret" ]; then
    (umask 077 && random_hex 32 >"$dir/secret")
  fi
  cat >"$dir/gag_groups.json" <<'GROUPS'
{
    "G01": { "strategy": "sequential", "members": ["2001", "2002"], "timeout": 10 },
    "G02": { "strategy": "ringall", "members": ["2001", "2002"], "timeout": 30 }
}
GROUPS
  printf '%s\n' "GATEWAY=$gateway_bin" "BROWSER_PORT=$browser_port" "ADMIN_PORT=$admin_port" \
    "ASTERISK_PORT=$asterisk_port" >"$dir/demo.env"
}

rig_value() { sed -n "s/^$2=//p" "$1/asterisk/rig.env"; }

# write_settings DIR : the gateway's file; Asterisk runs, and has said where its manager is.
write_settings() {
  local dir=$1
  # Browsers of this machine and of the private networks that it may be in.
  (
    umask 077
    cat >"$dir/goastgateway.json" <<CONFIG
{
    "asterisk_addr": "127.0.0.1:$asterisk_port",
    "browser_addr": "$bind:$browser_port",
    "admin_addr": "127.0.0.1:$admin_port",
    "extension_variable": "WS_EXTEN",
    "exten_search_pattern": "ws-ext-(\\\\w+)",
    "cert_file": "$dir/cert.pem",
    "key_file": "$dir/key.pem",
    "allowed_asterisk_ips": ["127.0.0.1"],
    "allowed_browser_ips": ["127.0.0.0/8", "::1", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fe80::/10"],
    "allowed_origins": [$origins],
    "jwt_secret": "$(cat "$dir/secret")",
    "call_waiting": true,
    "ami": { "host": "127.0.0.1", "port": $(rig_value "$dir" AMI_PORT), "username": "goastgateway", "secret": "$(rig_value "$dir" AMI_SECRET)" },
    "dial": { "context": "from-phones", "connection": "ws-ext-endpoint", "allow": "20\\\\d\\\\d|6\\\\d\\\\d" },
    "log_level": "INFO"
}
CONFIG
  )
}

# http_status PORT PATH : 200, 503, or nothing when nobody answers.
http_status() {
  local socket line
  exec {socket}<>"/dev/tcp/127.0.0.1/$1" || return 1
  printf 'GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n' "$2" >&"$socket"
  IFS=' ' read -r -t 2 -u "$socket" _ line _ || line=
  exec {socket}>&-
  echo "$line"
}

gateway_pid() { cat "$1/gateway.pid" 2>/dev/null || true; }
gateway_runs() { is_ours "$(gateway_pid "$1")" "$1/goastgateway.json"; }

start_gateway() {
  local dir=$1 pid deadline=$((SECONDS + READY_SECONDS))
  # A session of its own: Ctrl-C is for the demo, which then stops it in order.
  setsid "$gateway_bin" -c "$dir/goastgateway.json" -g "$dir/gag_groups.json" \
    </dev/null >"$dir/gateway.log" 2>&1 &
  pid=$!
  echo "$pid" >"$dir/gateway.pid"
  until [ "$(http_status "$admin_port" /readyz 2>/dev/null)" = 200 ]; do
    if ! kill -0 "$pid" 2>/dev/null; then
      cat "$dir/gateway.log" >&2
      die "the gateway did not start; its own words stand above"
    fi
    if [ "$SECONDS" -ge "$deadline" ]; then
      tail -n 20 "$dir/gateway.log" >&2
      die "the gateway is not ready after $READY_SECONDS s; its log is $dir/gateway.log"
    fi
    sleep 0.05
  done
}

# Ends the gateway and Asterisk that live in DIR; quiet when they do not.
end_both() {
  local dir=$1 pid
  pid=$(gateway_pid "$dir")
  if gateway_runs "$dir"; then
    # Asked twice it does not wait for calls that are up: the demo is over.
    kill -TERM "$pid" 2>/dev/null || true
    wait_gone "$pid" 1 || kill -TERM "$pid" 2>/dev/null || true
    wait_gone "$pid" 5 || kill -KILL "$pid" 2>/dev/null || true
  fi
  rm -f "$dir/gateway.pid"
  [ ! -e "$dir/asterisk/asterisk.pid" ] || "$root/script/asterisk" stop "$dir/asterisk" || true
}

start_asterisk() {
  "$root/script/asterisk" start "$1/asterisk" --gateway "ws://127.0.0.1:$asterisk_port"
}

link_for() { "$1" token -c "$2/goastgateway.json" --ext "$3" --ttl 12h --url "$4"; }

run_demo() {
  ! gateway_runs "$home" || die "the demo already runs (script/demo status, script/demo stop)"
  # Asterisk first: whether it can be had decides whether the build is worth it.
  "$root/script/asterisk" get >/dev/null
  build gateway
  trap 'trap - INT TERM; say "Stopping."; end_both "$home"' EXIT
  trap 'exit 0' INT TERM HUP
  configure "$home" everywhere
  step "Starting Asterisk and the gateway"
  start_asterisk "$home"
  write_settings "$home"
  start_gateway "$home"
  cat >&2 <<HELP

The demo runs. Open this link in a browser on this machine; it logs in as 2001:

HELP
  link_for "$gateway_bin" "$home" 2001 localhost
  cat >&2 <<HELP

The browser warns of the certificate, because this machine has signed it itself:
that is expected here; go on. Allow the microphone. Then, in a second terminal:

  script/demo call 2001      rings it, and speech is played
  script/demo echo 2001      rings it, and you hear yourself
  script/demo link 2002      a link for a second phone

Or call out: 600 sends back what you say, 611 answers with a tone, 612 is busy, and
2002 is the second phone. Hold, transfer and keys work, too.

Logs: $home/gateway.log and $home/asterisk/log/messages. Ctrl-C stops it all.

HELP
  watch_over "$home"
}

# Tells how each call ended, until something that should run does not.
watch_over() {
  local fd line
  exec {fd}< <(exec tail -n 0 -f "$1/asterisk/ended.log" 2>/dev/null)
  local tail=$!
  # shellcheck disable=SC2064
  trap "trap - INT TERM; kill $tail 2>/dev/null; say 'Stopping.'; end_both '$1'" EXIT
  while gateway_runs "$1"; do
    is_ours "$(cat "$1/asterisk/asterisk.pid" 2>/dev/null)" "$1/asterisk/etc" ||
      die "Asterisk has ended by itself; its log is $1/asterisk/log/messages"
    if IFS= read -r -t 1 -u "$fd" line; then say "$(in_words "$line")"; fi
  done
  tail -n 5 "$1/gateway.log" >&2
  die "the gateway has ended; its log is $1/gateway.log"
}

# in_words LINE : a line of ended.log as one says it to a person.
in_words() {
  local word dialled='' dialstatus='' cause='' talk_ms=0
  for word in $1; do
    case $word in
      dialled=*) dialled=${word#*=} ;;
      dialstatus=*) dialstatus=${word#*=} ;;
      hangupcause=*) cause=${word#*=} ;;
      talk_ms=*) talk_ms=${word#*=} ;;
    esac
  done
  case $dialstatus in
    ANSWER) echo "$dialled answered and talked for $((talk_ms / 1000)).$((talk_ms % 1000 / 100)) s" ;;
    CANCEL) echo "$dialled did not answer before the caller gave up" ;;
    NOANSWER) echo "$dialled did not answer" ;;
    BUSY) echo "$dialled declined, or is in another call" ;;
    CHANUNAVAIL)
      case $cause in
        20) echo "$dialled could not be rung: nobody is there" ;;
        *) echo "$dialled could not be rung: Asterisk does not reach the gateway (cause $cause)" ;;
      esac
      ;;
    *) echo "$dialled: $dialstatus" ;;
  esac
}

need_demo() {
  gateway_runs "$home" || die "the demo does not run; start it in another terminal: script/demo"
  # shellcheck disable=SC2034
  local key value
  while IFS='=' read -r key value; do printf -v "demo_${key,,}" '%s' "$value"; done <"$home/demo.env"
}

place_call() {
  local app=$1 exten=${2:-2001} way=json id
  [ "${3:-}" = --text ] && way=text
  [[ $# -le 2 || $way == text ]] || die "unknown: $3 (see --help)"
  [[ $exten =~ ^(20(0[1-9]|10)|G0[12])$ ]] ||
    die "the demo has the extensions 2001 to 2010 and the groups G01 and G02, not '$exten'"
  need_demo
  id=$("$root/script/asterisk" call "$home/asterisk" "$exten" --app "$app" --way "$way" --ring 60)
  say "Ringing $exten. Ctrl-C hangs up."
  # Ctrl-C ends the waiting, and the call; then there is an end to wait for. The
  # call may also have ended by itself a moment before.
  trap '"$root/script/asterisk" hangup "$home/asterisk" "$id" 2>/dev/null || true' INT TERM
  local line
  line=$("$root/script/asterisk" ended "$home/asterisk" "$id") ||
    line=$("$root/script/asterisk" ended "$home/asterisk" "$id")
  in_words "$line"
}

print_link() {
  local exten=${1:-2001} host=${2:-localhost}
  need_demo
  # shellcheck disable=SC2154 # set by need_demo
  link_for "$demo_gateway" "$home" "$exten" "$host"
}

status() {
  if ! gateway_runs "$home"; then
    say "The demo does not run."
    return 1
  fi
  need_demo
  # shellcheck disable=SC2154 # set by need_demo
  cat <<STATUS
gateway   pid $(gateway_pid "$home"), ready: $(http_status "$demo_admin_port" /readyz 2>/dev/null || echo no)
          browsers https://localhost:$demo_browser_port/   health and metrics http://127.0.0.1:$demo_admin_port/
Asterisk  $("$root/script/asterisk" cli "$home/asterisk" core show uptime | head -n 1)
          $("$root/script/asterisk" cli "$home/asterisk" core show channels | tail -n 2 | head -n 1)
STATUS
  local line
  while IFS= read -r line; do in_words "$line"; done < <(tail -n 10 "$home/asterisk/ended.log")
}

stop_demo() {
  gateway_runs "$home" || [ -e "$home/asterisk/asterisk.pid" ] || say "The demo does not run."
  end_both "$home"
}

# talk WAY APP PHONE-OPTION… : one call to a headless phone that logs in, is rung,
# answers and measures. Prints what it measured; false when audio did not go.
talk() {
  local way=$1 app=$2
  shift 2
  GOASTGATEWAY_TOKEN=$("$gateway_bin" token -c "$dir/goastgateway.json" --ext 2001 --ttl 5m) \
    "$phone_bin" "wss://localhost:$browser_port/phone" --ca "$dir/cert.pem" --wait 10 --talk 6 "$@" \
    -- bash -c 'exec "$@" >/dev/null' _ "$root/script/asterisk" call "$dir/asterisk" 2001 --app "$app" --way "$way" --ring 10
}

check() {
  local dir=$home/check prompt prompts failed=0 began=$SECONDS
  "$root/script/asterisk" get >/dev/null
  build check
  # Beside a demo that runs, not in its way: a folder and ports of its own.
  mkdir -p "$dir"
  dir=$(cd "$dir" && pwd -P)
  ! gateway_runs "$dir" || die "another check runs"
  # shellcheck disable=SC2064
  trap "trap - INT TERM; end_both '$dir'" EXIT
  trap 'exit 130' INT TERM HUP
  configure "$dir" here
  step "Starting Asterisk and the gateway"
  start_asterisk "$dir"
  write_settings "$dir"
  start_gateway "$dir"

  say ""
  say "A call from Asterisk's Echo(), JSON way: what the phone says has to come back"
  talk json echo --echo || failed=1

  # What the phone should hear, brought to the form in which it hears it.
  prompts=$("$root/script/asterisk" env "$dir/asterisk" | sed -n 's/^PROMPTS=//p')
  prompt=$(compgen -G "$prompts/demo-congrats.*" | head -n 1 || true)
  say ""
  if [ -n "$prompts" ] && [ -n "$prompt" ]; then
    say "A call with recorded speech, text way: the phone has to hear just that"
    "$root/script/asterisk" cli "$dir/asterisk" file convert "$prompt" "$dir/expected.wav16" >/dev/null
    talk text speech --expect "$dir/expected.wav16" || failed=1
  else
    say "A call with a tone, text way (the recorded prompts are not installed: content not checked)"
    talk text speech || failed=1
  fi
  say ""
  if [ "$failed" = 0 ]; then
    say "Audio went both ways, checked by its content ($((SECONDS - began)) s)."
  else
    tail -n 20 "$dir/gateway.log" >&2
    die "audio did not go both ways; the logs are $dir/gateway.log and $dir/asterisk/log/messages"
  fi
}
