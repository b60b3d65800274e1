local owner, keep = ARGV[1], ARGV[2]
local r = find()
local released = 0
if r and not r.foreign and r.owner == owner and r.lease then released = redis.call('DEL', r.name) end
redis.call('SET', tombstone, '1', 'PX', keep)
return released
