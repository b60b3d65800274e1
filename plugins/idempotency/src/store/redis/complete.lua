local owner, answer = ARGV[1], ARGV[2]
local expires = after(ARGV[3])
local r = find()
if not r or r.foreign or r.released or r.owner ~= owner then return 0 end
if r.lease then
  -- A deletion, which a full Redis lets pass, and with it what follows.
  call('HDEL', r.name, 'l')
  -- Under the name where it was found: the digest was made under the same secret.
  put(r.name, owner, r.fence, expires, 'v', r.version, 'd', r.digest, 'a', answer)
end
return 1
