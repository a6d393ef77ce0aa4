-- ARGV: channel, name, reason, and who disables, if they tell.
if damaged then return answer('damaged') end
need_no_memory()
if record.disabled_reason then
  -- A write that changes nothing, so that a WAIT after it waits until replicas have the disablement.
  redis.pcall('HSET', key, 'disabled_at', record.disabled_at)
  return answer('already')
end
local fields = { 'disabled_reason', ARGV[3], 'disabled_at', whole(now) }
local function add(field, value)
  fields[#fields + 1] = field
  fields[#fields + 1] = value
end
if not exists then add('token', '0') end
if ARGV[4] then add('disabled_by', ARGV[4]) end
if left then add('ending', ARGV[3]) end
-- All at once: either everything is written or nothing is.
redis.call('HSET', key, unpack(fields))
tell()
return { 'disabled' }
