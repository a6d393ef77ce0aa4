-- ARGV: channel, name, lease, holder, ttl.
if damaged then return answer('damaged') end
if record.disabled_reason then return answer('disabled') end
if left then
  if record.lease == ARGV[3] then
    -- A write that changes nothing, so that a WAIT after it waits until replicas have the grant.
    redis.call('HDEL', key, '')
    redis.call('HSET', key, 'token', record.token)
    return { 'granted', record.token, whole(left) }
  end
  return answer('held')
end
local granted = whole(math.max((token or 0) + 1, now))
-- The field is left over from an expired lease. It is removed first, so that nothing is granted if
-- the server refuses this.
if record.ending then redis.call('HDEL', key, 'ending') end
redis.call('HSET', key, 'token', granted, 'lease', ARGV[3], 'holder', ARGV[4],
  'granted_at', whole(now), 'expires_at', whole(now + tonumber(ARGV[5])))
return { 'granted', granted, ARGV[5] }
