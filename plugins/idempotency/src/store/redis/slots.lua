local ranges = {}
for _, range in ipairs(redis.call('CLUSTER', 'SLOTS')) do
  local host, port = range[3][1], range[3][2]
  if host and host ~= '' then ranges[#ranges + 1] = range[1] .. ' ' .. range[2] .. ' ' .. host .. ':' .. port end
end
return ranges
