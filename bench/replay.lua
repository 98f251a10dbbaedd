-- wrk: replays the raw requests of the file REQUESTS (records "<length>\n<bytes>") in a circle.
-- With SAMPLE set, writes "<id> <seq>" of every EVERY-th answer to that file, for reading back.
local requests, n, i = {}, 0, 0

local function sample(file, every)
  local out, seen = assert(io.open(file, "w")), 0
  out:setvbuf("line")
  function response(status, headers, body)
    seen = seen + 1
    if status < 300 and seen % every == 0 then
      out:write(body:match('"id":"([^"]+)"'), " ", body:match('"seq":(%d+)'), "\n")
    end
  end
end

function init(args)
  local file = assert(io.open(os.getenv("REQUESTS"), "rb"))
  local all, at = file:read("*a"), 1
  file:close()
  while at <= #all do
    local eol = all:find("\n", at, true)
    local length = tonumber(all:sub(at, eol - 1))
    n = n + 1
    requests[n] = all:sub(eol + 1, eol + length)
    at = eol + length + 1
  end
  if os.getenv("SAMPLE") then sample(os.getenv("SAMPLE"), tonumber(os.getenv("EVERY"))) end
end

function request()
  i = i % n + 1
  return requests[i]
end

function done(summary, latency, all)
  local e = summary.errors
  io.write(string.format(
    'RESULT {"requests":%d,"us":%d,"p50":%d,"p99":%d,"refused":%d,"broken":%d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    e.status, e.connect + e.read + e.write + e.timeout))
end
