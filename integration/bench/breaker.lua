-- A circuit breaker as one would write it in Envoy's Lua filter, to have something to compare with.
--
-- Per key (the route): successes, failures and slow calls in a sliding window of ten slots; closed, open, half-open with
-- one probe at a time, then a linear ramp; exponential back-off. What it can't do and Holdfast does: every worker thread has a Lua
-- state of its own, so N workers count, open and probe N times; it exports no metrics; it has no operator's override.

local WINDOW_MS, SLOTS = 10000, 10
local SLOT_MS = WINDOW_MS / SLOTS
local MINIMUM_CALLS, FAILURE_RATIO = 20, 0.5
local SLOW_MS, SLOW_RATIO = 3000, 1.0
local OPEN_BASE_MS, OPEN_MAX_MS, JITTER = 5000, 60000, 0.2
local PROBE_TIMEOUT_MS, RAMP_MS = 60000, 10000
local GRPC_FAILURES = {["2"] = true, ["4"] = true, ["8"] = true, ["13"] = true, ["14"] = true, ["15"] = true}
local METADATA = "holdfast.bench"
local CLOSED, OPEN, HALF_OPEN, RECOVERING = 0, 1, 2, 3

local breakers = {}

local function new_breaker(now)
  local breaker = {
    state = CLOSED, since = 0, opens = 0, until_ms = 0, probe_until = 0,
    slot = math.floor(now / SLOT_MS), at = 1,
    ok = {}, failed = {}, slow = {},
    ok_sum = 0, failed_sum = 0, slow_sum = 0,
  }
  for i = 1, SLOTS do
    breaker.ok[i], breaker.failed[i], breaker.slow[i] = 0, 0, 0
  end
  return breaker
end

-- The breaker of this request's route; an unnamed route shares one.
local function breaker_of(info, now)
  local key = info:routeName()
  if key == "" then
    key = "_unnamed"
  end
  local breaker = breakers[key]
  if breaker == nil then
    breaker = new_breaker(now)
    breakers[key] = breaker
  end
  return breaker
end

local function clear(breaker)
  for i = 1, SLOTS do
    breaker.ok[i], breaker.failed[i], breaker.slow[i] = 0, 0, 0
  end
  breaker.ok_sum, breaker.failed_sum, breaker.slow_sum = 0, 0, 0
end

-- Moves the window on to the slot of `now`, and drops what fell out of it.
local function advance(breaker, now)
  local slot = math.floor(now / SLOT_MS)
  local steps = slot - breaker.slot
  if steps <= 0 then
    return
  end
  if steps >= SLOTS then
    clear(breaker)
  else
    for _ = 1, steps do
      local at = breaker.at % SLOTS + 1
      breaker.ok_sum = breaker.ok_sum - breaker.ok[at]
      breaker.failed_sum = breaker.failed_sum - breaker.failed[at]
      breaker.slow_sum = breaker.slow_sum - breaker.slow[at]
      breaker.ok[at], breaker.failed[at], breaker.slow[at] = 0, 0, 0
      breaker.at = at
    end
  end
  breaker.slot = slot
end

local function turn(breaker, state, now)
  breaker.state, breaker.since = state, now
  clear(breaker)
end

local function open(breaker, now)
  breaker.opens = breaker.opens + 1
  local wait = math.min(OPEN_BASE_MS * 2 ^ (breaker.opens - 1), OPEN_MAX_MS)
  breaker.until_ms = now + wait * (1 + JITTER * (2 * math.random() - 1))
  turn(breaker, OPEN, now)
end

-- Whether a call may go ahead.
local function admit(breaker, now)
  if breaker.state == CLOSED then
    return true
  end
  if breaker.state == OPEN then
    if now < breaker.until_ms then
      return false
    end
    turn(breaker, HALF_OPEN, now)
    breaker.probe_until = 0
  end
  if breaker.state == HALF_OPEN then
    if now < breaker.probe_until then
      return false
    end
    breaker.probe_until = now + PROBE_TIMEOUT_MS
    return true
  end
  if now - breaker.since >= RAMP_MS then
    breaker.opens = 0
    turn(breaker, CLOSED, now)
    return true
  end
  return math.random() < (now - breaker.since) / RAMP_MS
end

local function must_trip(breaker)
  local calls = breaker.ok_sum + breaker.failed_sum
  if calls < MINIMUM_CALLS then
    return false
  end
  return breaker.failed_sum / calls >= FAILURE_RATIO or breaker.slow_sum / calls >= SLOW_RATIO
end

-- Counts a call's end and draws the conclusion.
local function settle(breaker, started, failed, now)
  if started < breaker.since or breaker.state == OPEN then
    return -- It belongs to a state that is over.
  end
  if breaker.state == HALF_OPEN then
    if failed then open(breaker, now) else turn(breaker, RECOVERING, now) end
    return
  end
  advance(breaker, now)
  local at, is_slow = breaker.at, now - started >= SLOW_MS
  if is_slow then
    breaker.slow[at], breaker.slow_sum = breaker.slow[at] + 1, breaker.slow_sum + 1
  end
  if failed then
    breaker.failed[at], breaker.failed_sum = breaker.failed[at] + 1, breaker.failed_sum + 1
  else
    breaker.ok[at], breaker.ok_sum = breaker.ok[at] + 1, breaker.ok_sum + 1
  end
  if (failed or is_slow) and must_trip(breaker) then
    open(breaker, now)
  end
end

function envoy_on_request(handle)
  local info, now = handle:streamInfo(), handle:timestamp()
  local breaker = breaker_of(info, now)
  if not admit(breaker, now) then
    handle:respond({[":status"] = "503", ["retry-after"] = "5", ["x-lua-breaker"] = "open"}, "circuit open\n")
    return
  end
  -- The request's and the response's coroutine share nothing else but globals, which all requests share.
  info:dynamicMetadata():set(METADATA, "started", now)
end

function envoy_on_response(handle)
  local info = handle:streamInfo()
  local seen = info:dynamicMetadata():get(METADATA)
  if seen == nil then
    return -- Refused, or answered by a filter before us.
  end
  local now = handle:timestamp()
  local headers = handle:headers()
  local status = tonumber(headers:get(":status"))
  local failed = status ~= nil and status >= 500
  if status == 200 then
    local grpc = headers:get("grpc-status")
    failed = grpc ~= nil and GRPC_FAILURES[grpc] == true
  end
  settle(breaker_of(info, now), seen.started, failed, now)
end
