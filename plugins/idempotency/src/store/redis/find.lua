local call = redis.call
local clock = call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
local tombstone = 't:' .. ARGV[1]
-- Names in use; whether this owner gave up.
local there, gave_up = {}, false

-- A double counts to 2^53 without gaps.
local function after(ms)
  local at = now + tonumber(ms)
  if at >= 2^53 then error('HOLDFAST: too long a time') end
  return at
end

-- The live record, or nil. One of another form can't be compared.
local function find()
  local found
  for _, name in ipairs(KEYS) do
    local kind = call('TYPE', name).ok
    if kind == 'hash' then
      local h = call('HMGET', name, 'r', 'o', 'f', 'e', 'x', 'v', 'd', 'l', tombstone)
      local r = {name = name, owner = h[2], released = h[5], version = h[6], digest = h[7]}
      r.fence, r.expires, r.lease = tonumber(h[3] or ''), tonumber(h[4] or ''), tonumber(h[8] or '')
      local whole = r.owner and r.fence and r.expires and (r.released or r.version and r.digest)
      if h[1] ~= '1' or not whole then return {foreign = true} end
      there[#there + 1] = name
      gave_up = gave_up or now < (tonumber(h[9] or '') or 0)
      if now < r.expires then found = found or r end
    elseif kind ~= 'none' then
      return {foreign = true}
    end
  end
  return found
end

-- Under one name alone, in place (cluster.rs says why).
local function put(name, owner, fence, expires, ...)
  local written, last = {'r', '1', 'o', owner, 'f', fence, 'e', expires, ...}, expires
  call('HSET', name, unpack(written))
  local new = {}
  for i = 1, #written, 2 do new[written[i]] = true end
  for _, key in ipairs(there) do
    for _, field in ipairs(call('HKEYS', key)) do
      local till = field:sub(1, 2) == 't:' and tonumber(call('HGET', key, field))
      if till and now < till then
        last = math.max(last, till)
        if key ~= name then call('HSET', name, field, till) end
      elseif key == name and not new[field] then
        call('HDEL', name, field)
      end
    end
    if key ~= name then call('DEL', key) end
  end
  call('PEXPIREAT', name, last)
end
