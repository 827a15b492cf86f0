# Sourced by run.sh and tokens.sh: configurations, processes, ports; what they cost.

declare -A pid_of
audience=urn:gatehouse:demo-bank

# begin: a folder for this run, what it needs, and the binaries; whatever it starts ends with it.
begin() {
  local tool
  folder=$(mktemp -d "${TMPDIR:-/tmp}/gatehouse-bench.XXXXXX")
  chmod 711 "$folder" # nginx's workers give up root and still have to get in
  trap stop_all EXIT
  trap 'exit 130' INT TERM
  for tool in wrk curl nginx; do
    command -v "$tool" >/dev/null || { echo "missing: $tool (apt-get install --no-install-recommends $tool)" >&2; exit 1; }
  done
  if [ -z "$bin" ]; then
    (cd "$root" && cargo build --profile "$profile" -p proxy --bin gatehouse -p tests --bin bare-pingora --bin bench-issuer)
    bin=${CARGO_TARGET_DIR:-$root/target}/$profile
  fi
  # Every variable in capitals may stand as @NAME@ in a configuration.
  FOLDER=$folder CONFIGS=$root/configs THREADS=$threads AUDIENCE=$audience
}

# What every target stands before, and what all are compared to.
start_upstream_and_bare() {
  fill peers/upstream.nginx.conf
  start upstream nginx -c "$folder/upstream.nginx.conf" -g 'daemon off;'
  wait_for_port upstream "$UPSTREAM"
  start bare-pingora "$bin/bare-pingora" --listen "127.0.0.1:$BARE" --upstream "127.0.0.1:$UPSTREAM" --threads "$threads"
}

# fill TEMPLATE [NAME]: writes the template into the folder, perhaps under another name, with its @NAMES@ filled in.
fill() {
  local text name
  text=$(cat "$here/$1")
  for name in FOLDER CONFIGS THREADS AUDIENCE ISSUER UPSTREAM BARE STEALING GATEWAY OBSERVE NGINX HAPROXY JWT ALGORITHM VERIFIES WAF; do
    text=${text//@$name@/${!name:-}}
  done
  printf '%s\n' "$text" >"$folder/${2:-$(basename "$1")}"
}

# start NAME COMMAND…: in the background, its output in the folder.
start() {
  local name=$1
  shift
  "$@" >"$folder/$name.out" 2>&1 </dev/null &
  pid_of[$name]=$!
}

stop_all() {
  local pid
  trap - EXIT
  for pid in "${pid_of[@]}"; do kill -TERM "$pid" 2>/dev/null || true; done
  for pid in "${pid_of[@]}"; do
    for _ in $(seq 50); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
    kill -KILL "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
  rm -rf "$folder"
}

# give_up NAME WHY: with what the process said.
give_up() {
  echo "error: $1 $2" >&2
  tail -n 20 "$folder/$1.out" "$folder/$1.log" >&2 2>/dev/null || true
  exit 1
}

answers_on() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# A port nobody listens on, below those that the system hands out for outgoing connections.
free_port() {
  local port
  while :; do
    port=$((12000 + RANDOM % 18000))
    [ -e "${folder}/port.$port" ] || answers_on "$port" || { touch "$folder/port.$port"; echo "$port"; return; }
  done
}

# patiently NAME WHAT COMMAND…: until the command succeeds, the process ends, or a minute is over.
patiently() {
  local name=$1 what=$2 deadline=$((SECONDS + 60))
  shift 2
  until "$@"; do
    kill -0 "${pid_of[$name]}" 2>/dev/null || give_up "$name" "ended before it $what"
    [ $SECONDS -lt $deadline ] || give_up "$name" "never $what"
    sleep 0.02
  done
}

wait_for_port() { patiently "$1" "listened on port $2" answers_on "$2"; }
wait_for_file() { patiently "$1" "wrote $2" test -s "$2"; }
is_ready() { curl -sf -o /dev/null "http://127.0.0.1:$1/readyz"; }
wait_until_ready() { patiently gatehouse "was ready" is_ready "$1"; }

# The process and its children (nginx's workers).
family() {
  local child
  echo "$1"
  for child in $(cat /proc/"$1"/task/*/children 2>/dev/null); do family "$child"; done
}

# CPU time that target NAME has used so far, microseconds in itself and in the kernel: fields 14 and 15 of /proc/PID/stat.
cpu_us() {
  local pid
  for pid in $(family "${pid_of[$1]}"); do
    sed 's/.*) //' "/proc/$pid/stat" 2>/dev/null || true
  done | awk -v tick="$(getconf CLK_TCK)" '{ own += $12; kernel += $13 } END { printf "%.0f %.0f\n", own * 1e6 / tick, kernel * 1e6 / tick }'
}

# Resident memory of target NAME, kB.
memory_kb() {
  local pid
  for pid in $(family "${pid_of[$1]}"); do grep VmRSS "/proc/$pid/status" 2>/dev/null || true; done |
    awk '{ kb += $2 } END { print kb + 0 }'
}
