-- ARGV: channel, name, the minimum time since its latest grant, and 'remove' unless in a dry run.
-- Tokens follow the clock: a token is about the time of its grant. If it is below the present time,
-- the next grant has a larger one even after the record is removed.
if #flat == 0 or damaged or left or record.disabled_reason then return { 'used' } end
local token = record.token + 0
if token >= now or now - token < ARGV[3] + 0 then return { 'used' } end
if ARGV[4] == 'remove' then
  -- Removing the last field removes the key.
  local fields = {}
  for i = 1, #flat, 2 do
    fields[#fields + 1] = flat[i]
  end
  redis.call('HDEL', key, unpack(fields))
end
return { 'unused' }
