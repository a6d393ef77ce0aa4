-- Precedes the operations that tell waiters or remove fields.

-- Correctness does not depend on the hint: if the user may not publish, only the hint is lost.
local function tell()
  redis.pcall('PUBLISH', ARGV[1], ARGV[2])
end

-- Writes the record again without these fields, which are removed already. A hash that has
-- contained a long value, such as a holder, takes more than twice the memory until it is written
-- again.
local function compact(without)
  -- Lua limits how many values a call can take.
  if #flat > 1000 then return end
  -- If the user may not write, the record must not be removed.
  local refused = redis.pcall('HSET', key, 'token', record.token)
  if type(refused) == 'table' then return end
  local all, kept = {}, {}
  for i = 1, #flat, 2 do
    all[#all + 1] = flat[i]
    if not without[flat[i]] then
      kept[#kept + 1] = flat[i]
      kept[#kept + 1] = flat[i + 1]
    end
  end
  redis.call('HDEL', key, unpack(all))
  redis.call('HSET', key, unpack(kept))
end
