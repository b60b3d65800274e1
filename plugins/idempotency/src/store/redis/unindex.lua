-- KEYS: the lines by time, and the line of each id. ARGV: ids.
local gone = 0
for i = 1, #ARGV do
  local line = redis.call('HGET', KEYS[2], ARGV[i])
  if line then
    redis.call('ZREM', KEYS[1], line)
    redis.call('HDEL', KEYS[2], ARGV[i])
    gone = 1
  end
end
return gone
