-- ARGV: channel, name, lease.
if damaged then return answer('damaged') end
if not left or record.lease ~= ARGV[3] then return { 'not_held' } end
redis.call('HDEL', key, 'lease', 'holder', 'granted_at', 'expires_at', 'ending')
compact({ lease = true, holder = true, granted_at = true, expires_at = true, ending = true })
tell()
return { 'released' }
