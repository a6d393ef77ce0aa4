-- Returns the error as the script must return it. A command that the user may not run has another code within
-- a script than outside.
local function leasehold_failed(reply)
  if string.find(reply.err, 'ACL failure', 1, true)
      or string.find(reply.err, 'user executing the script', 1, true) then
    return redis.error_reply('NOPERM the user may not use the key of the fence')
  end
  return reply
end

-- Returns nil if the term may write, otherwise the error that the script must return.
local function leasehold_check(key, token, floor, may_raise)
  local raised = redis.pcall('GET', key)
  if type(raised) == 'table' then
    if string.find(raised.err, 'WRONGTYPE', 1, true) then
      return redis.error_reply('LEASEHOLDFOREIGN the key does not hold a fence')
    end
    return leasehold_failed(raised)
  end
  if raised and not string.match(raised, '^%d+$') then
    return redis.error_reply('LEASEHOLDFOREIGN the key does not hold a fence')
  end
  if tonumber(raised or 0) > tonumber(token) then
    return redis.error_reply('LEASEHOLDSTALE ' .. raised)
  end
  if tonumber(raised or 0) < tonumber(floor) then
    if not may_raise then
      return redis.error_reply('LEASEHOLDNOTRAISED ' .. (raised or 0))
    end
    local set = redis.pcall('SET', key, floor)
    if set.err then return leasehold_failed(set) end
  end
  return nil
end
