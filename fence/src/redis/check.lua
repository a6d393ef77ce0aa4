-- Returns nil if the term may write, otherwise the error that the script must return.
local function leasehold_check(key, token, floor, may_raise)
  local raised = redis.pcall('GET', key)
  if type(raised) == 'table' then
    if string.find(raised.err, 'WRONGTYPE', 1, true) then
      return redis.error_reply('LEASEHOLDFOREIGN the key does not hold a fence')
    end
    return raised
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
    redis.call('SET', key, floor)
  end
  return nil
end
