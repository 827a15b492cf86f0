-- Load for wrk: `BENCH_OUTCOME=FILE wrk -t1 … -s load.lua URL -- read|transfer TOKENS [FIRST COUNT]`. The lines of the file
-- TOKENS are access tokens, each perhaps with its DPoP proof; customers take turns. With FIRST and COUNT only so many lines from
-- the first on are sent, each once, and then nothing until wrk's time is over.
-- FILE gets "requests microseconds p50_us p99_us refused socket_errors".
local requests, turn, answered = {}, 0, 0

function init(arguments)
  local kind, tokens = arguments[1], arguments[2]
  local first, count = tonumber(arguments[3] or 1), tonumber(arguments[4] or math.huge)
  local number = 0
  for line in io.lines(tokens) do
    number = number + 1
    if number >= first + count then break end
    if number >= first then requests[#requests + 1] = built(kind, line, number) end
  end
  if count < math.huge then
    assert(#requests == count, "too few tokens")
    -- What the other connections send while the last answers come in is sent again.
    function request()
      turn = math.min(turn + 1, #requests)
      return requests[turn]
    end
    function response()
      answered = answered + 1
      if answered == #requests then wrk.thread:stop() end
    end
  end
end

function built(kind, line, customer)
  local token, proof = line:match("^(%S+) (%S+)$")
  local headers = {
    ["Authorization"] = token and ("DPoP " .. token) or ("Bearer " .. line),
    ["DPoP"] = proof,
    ["Accept"] = "application/json",
    ["User-Agent"] = "bank-app/4.2 (bench)",
  }
  if kind ~= "transfer" then return wrk.format("GET", "/api/accounts", headers) end
  headers["Content-Type"] = "application/json"
  local body = string.format('{"from":"A-%d","to":"A-%d","amount":12,"currency":"EUR","memo":"Shared lunch"}',
    1000 + customer, 2000 + customer)
  return wrk.format("POST", "/api/transfers", headers, body)
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
