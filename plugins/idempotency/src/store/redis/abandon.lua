-- Tombstones that a record keeps: clients that come and leave must not make it grow.
local most = 64

-- Those that are over go; of the others the last ones to be over stay.
local function prune(name)
  if call('HLEN', name) <= most + 16 then return end
  local left = {}
  for _, field in ipairs(call('HKEYS', name)) do
    local till = field:sub(1, 2) == 't:' and tonumber(call('HGET', name, field))
    if till and till <= now then call('HDEL', name, field) elseif till then left[#left + 1] = {till, field} end
  end
  table.sort(left, function(a, b) return a[1] > b[1] end)
  for i = most + 1, #left do call('HDEL', name, left[i][2]) end
end

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
prune(name)
if call('PTTL', name) < till - now then call('PEXPIREAT', name, till) end
return released and 1 or 0
