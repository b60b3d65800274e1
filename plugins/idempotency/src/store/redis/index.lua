-- KEYS: the lines by time, and the line of each id. ARGV: how many lines at most, for how long, the line, and its ids.
local lines, of = KEYS[1], KEYS[2]
local bound, ttl, line = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
local new = 1

local function drop(old)
  redis.call('ZREM', lines, old)
  local read, entry = pcall(cjson.decode, old)
  if read and type(entry) == 'table' and type(entry.id) == 'string' and redis.call('HGET', of, entry.id) == old then
    redis.call('HDEL', of, entry.id)
  end
end

local before = {}
for i = 4, #ARGV do
  local old = redis.call('HGET', of, ARGV[i])
  if old then
    new = 0
    if old ~= line then before[#before + 1] = old end
  end
end
-- Added before anything is taken away: while a cluster moves the slot, a key that a script has emptied is not there for it to write.
redis.call('ZADD', lines, now, line)
redis.call('HSET', of, ARGV[4], line)
for _, old in ipairs(before) do drop(old) end
for _, old in ipairs(redis.call('ZRANGEBYSCORE', lines, '-inf', now - ttl, 'LIMIT', 0, 100)) do drop(old) end
local surplus = redis.call('ZCARD', lines) - bound
if surplus > 0 then
  for _, old in ipairs(redis.call('ZRANGE', lines, 0, math.min(surplus, 100) - 1)) do drop(old) end
end
redis.call('PEXPIRE', lines, ttl)
redis.call('PEXPIRE', of, ttl)
return new
