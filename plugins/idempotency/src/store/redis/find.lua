local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
local tombstone = KEYS[#KEYS]

-- A double counts to 2^53 without gaps.
local function after(ms)
  local at = now + tonumber(ms)
  if at >= 9007199254740992 then error('HOLDFAST: too long a time') end
  return at
end

-- The live record under any of the names, or nil. One of another form can't be compared.
local function find()
  for i = 1, #KEYS - 1 do
    local kind = redis.call('TYPE', KEYS[i]).ok
    if kind == 'hash' then
      local h = redis.call('HMGET', KEYS[i], 'r', 'o', 'f', 'v', 'd', 'l', 'e')
      local r = {name = KEYS[i], owner = h[2], fence = tonumber(h[3] or ''), version = h[4], digest = h[5]}
      r.lease, r.expires = tonumber(h[6] or ''), tonumber(h[7] or '')
      r.foreign = h[1] ~= '1' or not (r.owner and r.fence and r.version and r.digest and r.expires)
      if r.foreign or now < r.expires then return r end
    elseif kind ~= 'none' then
      return {foreign = true}
    end
  end
end

-- Written under the first name, found under none of the others any more.
local function put(owner, fence, version, digest, expires, field, value)
  for i = 1, #KEYS - 1 do redis.call('DEL', KEYS[i]) end
  redis.call('HSET', KEYS[1], 'r', '1', 'o', owner, 'f', fence, 'v', version, 'd', digest, 'e', expires, field, value)
  redis.call('PEXPIREAT', KEYS[1], expires)
end
