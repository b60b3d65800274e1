local owner, version, digest, reexecute = ARGV[1], ARGV[2], ARGV[3], ARGV[6]
local lease, expires = after(ARGV[4]), after(ARGV[5])
if redis.call('EXISTS', tombstone) == 1 then return {'abandoned'} end
local r = find()
local fence = now
if r then
  if r.foreign or r.version ~= version then return {'unknown'} end
  if r.digest ~= digest then return {'mismatch'} end
  if not r.lease then
    local answer = redis.call('HGET', r.name, 'a')
    return answer and {'done', answer} or {'unknown'}
  end
  if now < r.lease then return {'in_flight', r.lease - now} end
  if reexecute ~= '1' then return {'uncertain', r.fence} end
  fence = math.max(now, r.fence + 1)
end
put(owner, fence, version, digest, expires, 'l', lease)
return {'claimed', fence}
