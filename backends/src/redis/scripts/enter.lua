-- ARGV: channel, name, lease, holder, ttl, kind, capacity, weight, 'wait' unless an entry that
-- would have to wait is not made, and the maximum number of entries. Returns the record after the
-- decision.
if damaged then return { 'damaged', whole(now), flat } end
local used, is_known = 0, false
for _, entry in ipairs(live) do
  used = used + entry.weight
  if entry.lease == ARGV[3] then is_known = true end
end
local is_in_other_use = left and not (has_queue and record.kind == ARGV[6])
if record.disabled_reason or is_in_other_use then return { 'refused', whole(now), flat } end
if is_known then
  -- A write that changes nothing, so that a WAIT after it waits until replicas have the entry.
  redis.call('HDEL', key, '')
  redis.call('HSET', key, 'token', record.token)
  return { 'entered', whole(now), flat }
end
local has_room = used + ARGV[8] <= ARGV[7] + 0
if #live >= ARGV[10] + 0 or not (has_room or ARGV[9] == 'wait') then
  return { 'refused', whole(now), flat }
end
local token = whole(now)
if record.token and record.token + 1 > now then token = whole(record.token + 1) end
-- A disable concerns the entries that were made before it.
if record.ending then
  for _, entry in ipairs(live) do
    tell_to_leave(entry, record.ending)
  end
end
live[#live + 1] = {
  lease = ARGV[3], token = token, weight = ARGV[8] + 0, entered_at = whole(now),
  expires_at = now + ARGV[5], more = '', holder = ARGV[4],
}
-- If the user may not remove the field `ending`, it remains, and all entries have to leave.
redis.call('HSET', key, 'token', token, 'lease', MARKER, 'granted_at', whole(now), 'kind', ARGV[6],
  fields_of(live))
if record.ending then redis.call('HDEL', key, 'ending') end
return { 'entered', whole(now), redis.call('HGETALL', key) }
