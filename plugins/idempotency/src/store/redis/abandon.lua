local owner = ARGV[1]
local till = after(ARGV[2])
local r = find()
-- A late claim finds it as well, and does nothing.
if r and r.foreign then return 0 end
local released = r and r.owner == owner and r.lease
local name = r and r.name or KEYS[1]
-- A deletion, which a full Redis lets pass, and with it what follows.
call('HDEL', name, tombstone)
if released or not r then put(name, owner, r and r.fence or 0, till, 'x', '1') end
call('HSET', name, tombstone, till)
if call('PTTL', name) < till - now then call('PEXPIREAT', name, till) end
return released and 1 or 0
