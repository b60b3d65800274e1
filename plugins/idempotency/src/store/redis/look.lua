local function text(number) return ('%.0f'):format(number) end

local r = find()
if not r then return {text(now), 'gone'} end
if r.foreign then return {text(now), 'foreign'} end
local stage = r.released and 'released' or r.lease and 'claimed' or 'done'
local length, note = call('HSTRLEN', r.name, 'a'), call('HGET', r.name, 's')
return {text(now), stage, r.name, r.owner, text(r.fence), text(r.expires), text(r.lease or 0), text(length), note or ''}
