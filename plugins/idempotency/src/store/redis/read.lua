local first, last = tonumber(ARGV[2]), tonumber(ARGV[3])
local r = find()
if not r or r.foreign or r.released or r.lease or r.owner ~= ARGV[1] then return false end
return (call('HGET', r.name, 'a') or ''):sub(first, last)
