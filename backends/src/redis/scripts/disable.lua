-- ARGV: channel, name, reason, and optionally the name of the person who disables.
if damaged then return { 'damaged', whole(now), flat } end
redis.call('HDEL', key, '')
if record.disabled_reason then
  -- This write changes nothing, but makes a later WAIT wait until replicas have the disablement.
  redis.pcall('HSET', key, 'disabled_at', record.disabled_at)
  return { 'already', whole(now), flat }
end
local fields = { 'disabled_reason', ARGV[3], 'disabled_at', whole(now) }
local function add(field, value)
  fields[#fields + 1] = field
  fields[#fields + 1] = value
end
if #flat == 0 then add('token', '0') end
if ARGV[4] then add('disabled_by', ARGV[4]) end
if left then add('ending', ARGV[3]) end
-- One command writes all fields: either everything is written or nothing.
redis.call('HSET', key, unpack(fields))
tell()
return { 'disabled' }
