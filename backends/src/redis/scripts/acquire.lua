-- ARGV: channel, name, lease, holder, ttl.
if damaged then return answer('damaged') end
if record.disabled_reason then return answer('disabled') end
if left then
  if record.lease == ARGV[3] then
    -- A write that changes nothing, so that a WAIT after it waits until replicas have the grant.
    redis.call('HSET', key, 'token', record.token)
    return { 'granted', record.token, whole(left) }
  end
  return answer('held')
end
local token = whole(math.max((number(record.token) or 0) + 1, now))
local ttl = tonumber(ARGV[5])
redis.call('HSET', key, 'token', token, 'lease', ARGV[3], 'holder', ARGV[4],
  'granted_at', whole(now), 'expires_at', whole(now + ttl))
redis.call('HDEL', key, 'ending')
return { 'granted', token, whole(ttl) }
