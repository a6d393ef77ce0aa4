-- ARGV: channel, name, lease, holder, ttl.
if damaged then return { 'damaged', whole(now), flat } end
if record.disabled_reason then return { 'disabled', whole(now), flat } end
if left then
  if record.lease == ARGV[3] then
    -- A write that changes nothing, so that a WAIT after it waits until replicas have the grant.
    redis.call('HDEL', key, '')
    redis.call('HSET', key, 'token', record.token)
    return { 'granted', record.token, whole(left) }
  end
  return { 'held', whole(now), flat }
end
-- The same as `whole(now)`, in a third of the time.
local granted_at = time[1] .. string.sub('00000' .. time[2], -6)
local token = granted_at
if record.token and record.token + 1 > now then token = whole(record.token + 1) end
-- The field is left over from an expired lease. It is removed first, so that nothing is granted if
-- the server refuses this.
if record.ending then redis.call('HDEL', key, 'ending') end
redis.call('HSET', key, 'token', token, 'lease', ARGV[3], 'holder', ARGV[4],
  'granted_at', granted_at, 'expires_at', whole(now + ARGV[5]))
return { 'granted', token, ARGV[5] }
