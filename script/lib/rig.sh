# shellcheck shell=bash
# shellcheck disable=SC2154 # asterisk… come from get-asterisk.sh, rig_… from rig.env
# One running Asterisk that lives in a folder of its own: configured from
# tests/rig/, started, asked, stopped. Sourced by script/asterisk.
# Promises: start returns only when Asterisk itself says that it is booted;
# stop ends only what start started here.

: "${root:?}"

# Booting takes a second or two; this much, only when something is wrong.
readonly BOOT_SECONDS=30
# An operator's patience with `core stop now` before it is killed.
readonly STOP_SECONDS=10

# absolute DIR : the path that Asterisk, the tests and the operator all use.
absolute() { (cd "$1" && pwd -P); }

# Reads DIR/rig.env into variables named rig_…
read_rig() {
  dir=$(absolute "$1" 2>/dev/null) || die "there is no folder $1"
  [ -r "$dir/rig.env" ] || die "$1 holds no rig; start one: script/asterisk start $1"
  local key value
  while IFS='=' read -r key value; do
    printf -v "rig_${key,,}" '%s' "$value"
  done <"$dir/rig.env"
}

rig_pid() { cat "$1/asterisk.pid" 2>/dev/null || true; }
rig_runs() { is_ours "$(rig_pid "$1")" "$1/etc/asterisk.conf"; }

# ask DIR COMMAND : what Asterisk says to it. To be read to its end: whoever pipes it to `grep -q` ends it
# by a signal now and then, and with `pipefail` has no for an answer.
ask() {
  local dir=$1
  shift
  "${asterisk[@]}" -C "$dir/etc/asterisk.conf" -rx "$*" 2>&1
}

# write_config DIR : every template, its @…@ filled in.
write_config() {
  local dir=$1 template item prompts=
  mkdir -p "$dir"/{etc,var,data/sounds,spool,run,log,records}
  chmod 700 "$dir"
  # The data folder is put together from links: the package's own has absolute
  # ones inside, which lead nowhere when it is not at the root of the system.
  for item in "$asterisk_data"/*; do
    [ "${item##*/}" = sounds ] || ln -sfn "$item" "$dir/data/"
  done
  for item in "$asterisk_data"/sounds/en "$asterisk_data"/sounds/en_* /usr/share/asterisk/sounds/en; do
    if compgen -G "$item/demo-congrats.*" >/dev/null; then
      prompts=$item
      break
    fi
  done
  if [ -n "$prompts" ]; then
    ln -sfn "$prompts" "$dir/data/sounds/en"
  else
    say "No recorded prompts found (asterisk-core-sounds-en): 'speech' will be a tone."
  fi
  for template in "$root"/tests/rig/*.conf; do
    sed -e "s|@DIR@|$dir|g" -e "s|@MODULES@|$asterisk_modules|g" -e "s|@NAME@|rig-$ami|g" \
      -e "s|@GATEWAY@|$gateway|g" -e "s|@AMI_PORT@|$ami|g" -e "s|@HTTP_PORT@|$http|g" \
      -e "s|@SIP_PORT@|$sip|g" -e "s|@SECRET@|$secret|g" "$template" >"$dir/etc/${template##*/}"
  done
  # Modules complain of files that are not there; empty ones are defaults.
  for item in acl cdr pjproject cel ccss chan_websocket cli_permissions codecs musiconhold udptl; do
    [ -e "$dir/etc/$item.conf" ] || : >"$dir/etc/$item.conf"
  done
  : >"$dir/ended.log"
  : >"$dir/talked.log"
  (
    umask 077
    cat >"$dir/rig.env" <<ENV
DIR=$dir
GATEWAY=$gateway
AMI_PORT=$ami
AMI_USER=rig
AMI_SECRET=$secret
HTTP_PORT=$http
SIP_PORT=$sip
ARI_USER=rig
ARI_SECRET=$secret
ENDED_LOG=$dir/ended.log
TALKED_LOG=$dir/talked.log
RECORDS=$dir/records
PROMPTS=$prompts
VERSION=$asterisk_version
ENV
  )
}

# ami ACTION-LINE… : logs in, does one action, logs off. Prints the answer;
# false when the login or the action was refused. The rig_… variables say where.
ami() {
  local socket line answer='' part
  exec {socket}<>"/dev/tcp/127.0.0.1/$rig_ami_port" || return 1
  {
    printf 'Action: Login\r\nUsername: %s\r\nSecret: %s\r\nEvents: off\r\n\r\n' \
      "$rig_ami_user" "$rig_ami_secret"
    printf '%s\r\n' "$@"
    printf '\r\nAction: Logoff\r\n\r\n'
  } >&"$socket"
  # The banner and the login's answer are one block, the action's is the next.
  for part in login action; do
    answer=
    while IFS= read -r -t 10 -u "$socket" line && line=${line%$'\r'} && [ -n "$line" ]; do
      answer+=$line$'\n'
    done
    if [[ $answer != *"Response: Success"* ]]; then
      exec {socket}>&-
      printf '%s: %s' "$part" "$answer"
      return 1
    fi
  done
  exec {socket}>&-
  printf '%s' "$answer"
}

# boot DIR : starts it and waits until it says itself that it is booted.
# False when it ended, or is deaf, or its ports went to somebody else.
boot() {
  local dir=$1 pid deadline=$((SECONDS + BOOT_SECONDS))
  # A session of its own: a Ctrl-C in the terminal is for the script, which
  # then stops Asterisk in order.
  setsid "${asterisk[@]}" -f -C "$dir/etc/asterisk.conf" </dev/null >"$dir/log/console" 2>&1 &
  pid=$!
  echo "$pid" >"$dir/asterisk.pid"
  # Its control socket appears early; from then on it answers for itself.
  until [ -S "$dir/run/asterisk.ctl" ] && [[ $(ask "$dir" core waitfullybooted) == *'fully booted'* ]]; do
    kill -0 "$pid" 2>/dev/null || return 1
    [ "$SECONDS" -lt "$deadline" ] || return 1
    sleep 0.02
  done
  # Nobody else knows this instance's secret: a login proves that the port is its.
  read_rig "$dir"
  ami 'Action: Ping' >/dev/null && [[ $(ask "$dir" http show status) == *"Bound to 127.0.0.1:$http"$'\n'* ]]
}

start_command() {
  local dir='' gateway=ws://127.0.0.1:8765 ami_wish='' http_wish='' stay=''
  while [ $# -gt 0 ]; do
    case $1 in
      --gateway) gateway=${2:?--gateway needs a URL} && shift ;;
      --ami) ami_wish=${2:?--ami needs a port} && shift ;;
      --http) http_wish=${2:?--http needs a port} && shift ;;
      --foreground) stay=signal ;;
      --until-eof) stay=eof ;;
      -*) die "start has no option $1 (see --help)" ;;
      *)
        [ -z "$dir" ] || die "start takes one folder"
        dir=$1
        ;;
    esac
    shift
  done
  [ -n "$dir" ] || die "start needs a folder: script/asterisk start DIR"
  [[ $gateway =~ ^wss?://[^[:space:]]+$ ]] || die "--gateway: '$gateway' is not a ws:// URL"
  get_asterisk
  mkdir -p "$dir"
  dir=$(absolute "$dir")
  # The kernel's limit for the name of a Unix socket.
  [ ${#dir} -le 85 ] || die "$dir is too long a name for a folder that holds a socket (85 characters at most)"
  ! rig_runs "$dir" || die "an Asterisk already runs in $dir (pid $(rig_pid "$dir")); stop it: script/asterisk stop $dir"

  local ami http sip ports secret try
  # One that is started again is known by the password that it had.
  secret=$(sed -n 's/^ARI_SECRET=//p' "$dir/rig.env" 2>/dev/null || true)
  secret=${secret:-$(random_hex 16)}
  for try in 1 2 3; do
    mapfile -t ports < <(free_ports 3)
    ami=${ami_wish:-${ports[0]}} http=${http_wish:-${ports[1]}} sip=${ports[2]}
    rm -f "$dir/run/asterisk.ctl"
    write_config "$dir"
    boot "$dir" && break
    ask "$dir" core stop now >/dev/null 2>&1 || true
    end_rig "$dir"
    # A port may have been taken between choosing and binding; try others.
    if [ "$try" = 3 ] || [ -n "$ami_wish$http_wish" ]; then
      tail -n 20 "$dir/log/console" "$dir/log/messages" >&2 2>/dev/null || true
      die "Asterisk did not start in $dir (manager port $ami, HTTP port $http); its log is $dir/log"
    fi
  done
  say "$rig_version runs in $dir (pid $(rig_pid "$dir"), manager 127.0.0.1:$ami, gateway $gateway)."
  [ -n "$stay" ] || return 0
  echo "ready $dir" # for a program that waits for it

  # The folder is written out here: a trap runs when this function's names are gone.
  # shellcheck disable=SC2064
  trap "end_rig $(printf '%q' "$dir")" EXIT
  trap 'exit 0' INT TERM HUP
  local ended
  while rig_runs "$dir"; do
    if [ "$stay" = eof ]; then
      ended=0
      read -r -t 1 _ || ended=$?
      [ "$ended" -eq 0 ] || [ "$ended" -gt 128 ] || return 0 # over 128: just the second
    else
      wait_gone "$(rig_pid "$dir")" 3600 || true
    fi
  done
  die "Asterisk has ended by itself; its log is $dir/log/messages"
}

# end_rig DIR : stops what runs there, politely first. Quiet when nothing does.
end_rig() {
  local pid
  pid=$(rig_pid "$1")
  if rig_runs "$1"; then
    ask "$1" core stop now >/dev/null 2>&1 || true
    if ! wait_gone "$pid" "$STOP_SECONDS"; then
      kill -KILL "$pid" 2>/dev/null || true
      wait_gone "$pid" 5 || say "pid $pid in $1 does not end"
    fi
  fi
  rm -f "$1/asterisk.pid" "$1/run/asterisk.ctl"
}

stop_command() {
  [ $# -eq 1 ] || die "stop takes one folder: script/asterisk stop DIR"
  [ -d "$1" ] || die "there is no folder $1"
  find_asterisk || die "no Asterisk found to ask"
  local dir
  dir=$(absolute "$1")
  rig_runs "$dir" || say "Nothing runs in $dir."
  end_rig "$dir"
}

need_running() {
  read_rig "$1"
  find_asterisk || die "no Asterisk found to ask"
  rig_runs "$dir" || die "nothing runs in $dir; start it: script/asterisk start $dir"
}

cli_command() {
  local dir
  [ $# -ge 2 ] || die 'cli takes a folder and a command: script/asterisk cli DIR "core show channels"'
  need_running "$1"
  shift
  ask "$dir" "$@"
}

env_command() {
  local dir
  [ $# -eq 1 ] || die "env takes one folder"
  read_rig "$1"
  cat "$dir/rig.env"
}

call_command() {
  local dir exten='' app=speech way=json caller=0312345678 ring='' for_seconds='' give_up=86400000 id='' waiting=''
  [ $# -ge 2 ] || die "call takes a folder and an extension: script/asterisk call DIR 2001"
  need_running "$1"
  shift
  while [ $# -gt 0 ]; do
    case $1 in
      --app) app=${2:?--app needs a name} && shift ;;
      --way) way=${2:?--way needs json or text} && shift ;;
      --caller) caller=${2:?--caller needs a number} && shift ;;
      --ring) ring=${2:?--ring needs seconds} && shift ;;
      --for) for_seconds=${2:?--for needs seconds} && shift ;;
      --give-up) give_up=${2:?--give-up needs milliseconds} && shift ;;
      --id) id=${2:?--id needs a name} && shift ;;
      --wait) waiting=yes ;;
      -*) die "call has no option $1 (see --help)" ;;
      *)
        [ -z "$exten" ] || die "call takes one extension"
        exten=$1
        ;;
    esac
    shift
  done
  [[ $exten =~ ^[A-Za-z0-9]+$ ]] || die "call: '$exten' is not an extension"
  [[ $app =~ ^[a-z0-9]+$ ]] || die "--app: '$app' is not one of speech, echo, tone440, tone1000, record, duplex, silence, nothing, dtmf, hangup"
  [[ ${ring:-1}${for_seconds:-1}$give_up =~ ^[0-9]+$ ]] || die "--ring, --for and --give-up take whole numbers"
  [[ $caller =~ ^[0-9A-Za-z+*#]+$ ]] || die "--caller: '$caller' is not a number"
  id=${id:-call-$(random_hex 4)}
  [[ $id =~ ^[A-Za-z0-9._-]+$ ]] || die "--id: '$id': letters, digits, . _ - only"
  case $way in
    json) ;;
    text) exten=9$exten ;;
    *) die "--way is json or text" ;;
  esac
  local answer
  answer=$(ami 'Action: Originate' "Channel: Local/$exten@phones/n" 'Context: apps' "Exten: $app" 'Priority: 1' \
    "ChannelId: $id" "OtherChannelId: $id-dial" \
    'Async: true' "Timeout: $give_up" "CallerID: \"Rig\" <$caller>" "Variable: RIG_CALL=$id" \
    ${ring:+"Variable: RIG_RING=$ring"} ${for_seconds:+"Variable: RIG_FOR=$for_seconds"}) ||
    die "Asterisk refused the call: $answer"
  if [ -n "$waiting" ]; then wait_for_end "$dir" "$id"; else echo "$id"; fi
}

# The caller's half carries the call's name as its Uniqueid; without it, the
# dialling half goes too, whether it rings or talks.
hangup_command() {
  local dir answer
  [ $# -eq 2 ] || die "hangup takes a folder and the name of a call"
  need_running "$1"
  answer=$(ami 'Action: Hangup' "Channel: $2") || die "Asterisk did not hang up $2: $answer"
}

# await_line DIR FILE PREFIX SECONDS : prints the first line of DIR/FILE that
# begins so, the moment it is written. False when time is up or Asterisk is gone.
await_line() {
  local dir=$1 prefix=$3 deadline=$((SECONDS + $4)) tail fd line='' part
  exec {fd}< <(exec tail -n +1 -f "$dir/$2" 2>/dev/null)
  tail=$!
  while [ "$SECONDS" -lt "$deadline" ]; do
    # Half a line may come when the second is over; the rest follows.
    if IFS= read -r -t 1 -u "$fd" part; then
      line+=$part
      [[ $line != "$prefix"* ]] || break
      line=
    else
      line+=$part
      rig_runs "$dir" || break
    fi
  done
  kill "$tail" 2>/dev/null || true
  exec {fd}<&-
  [[ $line == "$prefix"* ]] && printf '%s\n' "$line"
}

wait_for_end() {
  local line
  line=$(await_line "$1" ended.log "call=$2 " 86400) ||
    die "the call $2 did not end before Asterisk did"
  # The caller's half ends a moment later; its records are complete only then.
  case $line in
    *dialstatus=ANSWER*) await_line "$1" talked.log "call=$2 " 10 >/dev/null || true ;;
  esac
  printf '%s\n' "$line"
}

ended_command() {
  local dir
  [[ $# -eq 1 || $# -eq 2 ]] || die "ended takes a folder, and the name of a call to wait for"
  read_rig "$1"
  if [ $# -eq 2 ]; then wait_for_end "$dir" "$2"; else cat "$dir/ended.log"; fi
}
