-- Load for wrk: `BENCH_OUTCOME=FILE wrk … -s load.lua URL -- read|transfer TOKENS`. Customers take turns, each with a token
-- of its own from the file TOKENS. FILE gets "requests microseconds p50_us p99_us refused socket_errors".
local requests, turn = {}, 0

function init(arguments)
  local kind, tokens = arguments[1], arguments[2]
  local customer = 0
  for token in io.lines(tokens) do
    customer = customer + 1
    local headers = {
      ["Authorization"] = "Bearer " .. token,
      ["Accept"] = "application/json",
      ["User-Agent"] = "bank-app/4.2 (bench)",
    }
    if kind == "transfer" then
      headers["Content-Type"] = "application/json"
      local body = string.format('{"from":"A-%d","to":"A-%d","amount":12,"currency":"EUR","memo":"Shared lunch"}',
        1000 + customer, 2000 + customer)
      requests[customer] = wrk.format("POST", "/api/transfers", headers, body)
    else
      requests[customer] = wrk.format("GET", "/api/accounts", headers)
    end
  end
end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end

function done(summary, latency, _)
  local errors = summary.errors
  local file = assert(io.open(os.getenv("BENCH_OUTCOME"), "w"))
  file:write(string.format("%d %d %.0f %.0f %d %d\n", summary.requests, summary.duration, latency:percentile(50),
    latency:percentile(99), errors.status, errors.connect + errors.read + errors.write + errors.timeout))
  file:close()
end
