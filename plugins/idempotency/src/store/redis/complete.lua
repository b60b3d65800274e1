local owner, answer = ARGV[1], ARGV[2]
local expires = after(ARGV[3])
local r = find()
if not r or r.foreign or r.owner ~= owner then return 0 end
if r.lease then put(owner, r.fence, r.version, r.digest, expires, 'a', answer) end
return 1
