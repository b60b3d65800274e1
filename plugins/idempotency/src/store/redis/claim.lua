local owner, version, digests, reexecute = ARGV[1], ARGV[2], ARGV[3], ARGV[6]
local lease, expires = after(ARGV[4]), after(ARGV[5])
-- What a reply may take; a longer answer is fetched in pieces.
local room = tonumber(ARGV[7] or '') or math.huge

-- One digest for each secret, the one to write first.
local function is_of(digest)
  for i = 1, #digests, 32 do
    if digests:sub(i, i + 31) == digest then return true end
  end
end

local function text(number) return ('%.0f'):format(number) end

local r = find()
if gave_up then return {'abandoned'} end
local fence = now
if r and r.released then
  fence = math.max(now, r.fence + 1)
elseif r then
  if r.foreign or r.version ~= version then return {'unknown'} end
  if not is_of(r.digest) then return {'mismatch'} end
  if not r.lease then
    local answer = call('HGET', r.name, 'a')
    if answer and #answer > room then return {'long', r.owner, text(#answer)} end
    return answer and {'done', answer} or {'unknown'}
  end
  if now < r.lease then return {'in_flight', text(r.lease - now)} end
  if reexecute ~= '1' then return {'uncertain', text(r.fence)} end
  fence = math.max(now, r.fence + 1)
end
put(KEYS[1], owner, fence, expires, 'v', version, 'd', digests:sub(1, 32), 'l', lease)
return {'claimed', text(fence)}
