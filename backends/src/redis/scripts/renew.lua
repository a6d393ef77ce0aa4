-- ARGV: channel, name, lease, ttl. Writes only where the lease is in force and not told to end.
if damaged then return answer('damaged') end
if not left or record.lease ~= ARGV[3] then return { 'lost' } end
local reason = record.disabled_reason or record.ending
if reason then return { 'ending', reason, whole(left) } end
local ttl = tonumber(ARGV[4])
-- Takes nothing away. A server without memory refuses what may take more, but not after a write
-- that does not: heartbeats, which need none, go on.
redis.call('HDEL', key, 'ending')
redis.call('HSET', key, 'expires_at', whole(now + ttl))
return { 'extended', whole(ttl) }
