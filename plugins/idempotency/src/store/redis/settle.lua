-- ARGV: the owner whose run it was, for how long, a word about it, and for an answer: who has the record then, and the answer.
local owner, keep, word, answer = ARGV[1], after(ARGV[2]), ARGV[3], ARGV[5]

local function text(number) return ('%.0f'):format(number) end

local r = find()
if not r or r.foreign or r.released or r.owner ~= owner or not r.lease then return {'moved'} end
if now < r.lease then return {'running', text(r.lease - now)} end
local note = text(now) .. ' ' .. word
-- A deletion, which a full Redis lets pass, and with it what follows.
call('HDEL', r.name, 'l')
if answer then
  put(r.name, ARGV[4], r.fence, math.max(r.expires, keep), 'v', r.version, 'd', r.digest, 'a', answer, 's', note)
else
  put(r.name, owner, r.fence, keep, 'x', '1', 's', note)
  call('HSET', r.name, tombstone, keep)
  if call('PTTL', r.name) < keep - now then call('PEXPIREAT', r.name, keep) end
end
return {'settled', text(now)}
