# Sourced by run.sh and tokens.sh: what is measured, and its tables.

targets=()
declare -A title_of port_of tokens_of

median='
function median(values, n,   i, j, swap) {
  for (i = 1; i <= n; i++) for (j = i + 1; j <= n; j++)
    if (values[j] < values[i]) { swap = values[i]; values[i] = values[j]; values[j] = swap }
  return n % 2 ? values[(n + 1) / 2] : (values[n / 2] + values[n / 2 + 1]) / 2
}'

# add_target NAME TITLE PORT TOKENS
add_target() {
  [[ $1 == bare-pingora || $1 =~ $only ]] || return 0
  targets+=("$1")
  title_of[$1]=$2 port_of[$1]=$3 tokens_of[$1]=$folder/$4.tokens
}

# load TARGET JOURNEY SECONDS [FIRST COUNT]: drives the target; prints what load.lua writes.
load() {
  BENCH_OUTCOME=$folder/outcome wrk -t1 -c"$connections" -d"${3}s" --timeout 10s -s "$here/load.lua" \
    "http://127.0.0.1:${port_of[$1]}" -- "$2" "${tokens_of[$1]}" "${@:4}" >"$folder/wrk.out" 2>&1 ||
    { cat "$folder/wrk.out" >&2; return 1; }
  cat "$folder/outcome"
}

# answers TARGET JOURNEY STATUS: a target that answers something else would be measured at something else.
answers() {
  local arguments=() path=/api/accounts status
  if [ "$2" = transfer ]; then
    path=/api/transfers
    arguments=(-H 'content-type: application/json' -d '{"from":"A-1","to":"A-2","amount":12,"currency":"EUR"}')
  fi
  status=$(curl -s -o "$folder/answer" -w '%{http_code}' -A 'bank-app/4.2 (bench)' -H 'accept: application/json' \
    -H "authorization: Bearer $(head -1 "${tokens_of[$1]}")" "${arguments[@]}" "http://127.0.0.1:${port_of[$1]}$path")
  [ "$status" = "$3" ] && return
  echo "error: $1 answers a $2 with $status, not $3: $(head -c 400 "$folder/answer")" >&2
  exit 1
}

# journey JOURNEY STATUS: every target in turn, round by round; medians, and ratios to the bare Pingora.
journey() {
  local target round own kernel own_after kernel_after requests rest
  for target in "${targets[@]}"; do
    answers "$target" "$1" "$2"
    load "$target" "$1" "$seconds" >/dev/null
  done
  : >"$folder/rounds"
  for round in $(seq "$rounds"); do
    for target in "${targets[@]}"; do
      read -r own kernel < <(cpu_us "$target")
      read -r requests rest < <(load "$target" "$1" "$seconds")
      read -r own_after kernel_after < <(cpu_us "$target")
      echo "$target $((own_after - own + kernel_after - kernel)) $requests $rest $((kernel_after - kernel))" >>"$folder/rounds"
    done
  done
  for target in "${targets[@]}"; do answers "$target" "$1" "$2"; done
  echo
  table "$1"
}

# Of each round: target, CPU us, requests, duration us, p50 us, p99 us, refused, socket errors, CPU us in the kernel.
table() {
  local target
  printf '%-34s %10s %8s %8s %10s %10s %8s %8s\n' "$1" requests/s "p50 ms" "p99 ms" "CPU us/req" "in kernel" "to bare" failed
  for target in "${targets[@]}"; do
    awk -v target="$target" -v title="${title_of[$target]}" "$median"'
      $3 > 0 && $1 == "bare-pingora" { bare[++nb] = $2 / $3 }
      $1 == target { failed += $7 + $8 }
      $3 > 0 && $1 == target { n++; cpu[n] = $2 / $3; kernel[n] = $9 / $3; rate[n] = $3 / $4 * 1e6; p50[n] = $5 / 1000; p99[n] = $6 / 1000 }
      END {
        base = median(bare, nb); own = median(cpu, n)
        printf "%-34s %10.0f %8.2f %8.2f %10.1f %10.1f %8.2f %8d\n", title, median(rate, n), median(p50, n), median(p99, n),
          own, median(kernel, n), base ? own / base : 0, failed
      }' "$folder/rounds"
  done
}

# memory_table TARGET…: at rest, and with idle connections that have each had one answer.
memory_table() {
  local target rest busy
  echo
  printf '%-34s %10s %22s %14s\n' memory "at rest kB" "$idle idle connections kB" "kB/connection"
  for target in "$@"; do
    [ -n "${port_of[$target]:-}" ] || continue
    rest=$(memory_kb "$target")
    busy=$(with_idle_connections "$target")
    awk -v t="${title_of[$target]}" -v r="$rest" -v b="$busy" -v n="$idle" \
      'BEGIN { printf "%-34s %10d %22d %14.1f\n", t, r, b, (b - r) / n }'
  done
}

# In a shell of its own: its end closes the connections.
with_idle_connections() (
  ulimit -n 4096
  port=${port_of[$1]}
  token=$(head -1 "${tokens_of[$1]}")
  for _ in $(seq "$idle"); do
    exec {connection}<>"/dev/tcp/127.0.0.1/$port"
    printf 'GET /api/accounts HTTP/1.1\r\nHost: 127.0.0.1:%s\r\nAuthorization: Bearer %s\r\nAccept: */*\r\nUser-Agent: bench\r\n\r\n' \
      "$port" "$token" >&"$connection"
    read -r -t 10 _ status _ <&"$connection"
    [ "$status" = 200 ] || { echo "error: $1 refused an idle connection: $status" >&2; exit 1; }
  done
  memory_kb "$1"
)

# What the gateway itself says that it decided, warm-up and probes included: a hold would pass for an answer elsewhere.
outcomes_of_gateway() {
  echo
  echo "Decisions of the gateway, by its own count:"
  curl -s "http://127.0.0.1:$1/metrics" | grep -E '^gatehouse_(requests|refusals)_total.* [1-9]' | sed 's/^/  /'
}

# demo_start_time WHICH: from the command to its ready-file.
demo_start_time() {
  local began ended
  rm -f "$folder/ready"
  began=$(date +%s%N)
  start demo "$bin/gatehouse" --log-filter warn demo --gateway 127.0.0.1:0 --admin 127.0.0.1:0 --observe 127.0.0.1:0 \
    --bank 127.0.0.1:0 --idp 127.0.0.1:0 --data "$folder/demo" --ready-file "$folder/ready"
  wait_for_file demo "$folder/ready"
  ended=$(date +%s%N)
  echo "Start of the demo, $1: $(((ended - began) / 1000000)) ms; at rest $(memory_kb demo) kB"
  kill -TERM "${pid_of[demo]}"
  wait "${pid_of[demo]}" 2>/dev/null || true
}
