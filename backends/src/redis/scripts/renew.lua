-- ARGV: channel, name, lease, ttl. Writes only where the lease is in force and not told to end.
if damaged then return answer('damaged') end
if not left or record.lease ~= ARGV[3] then return { 'lost' } end
local reason = record.disabled_reason or record.ending
if reason then return { 'ending', reason, whole(left) } end
local ttl = tonumber(ARGV[4])
need_no_memory()
redis.call('HSET', key, 'expires_at', whole(now + ttl))
return { 'extended', whole(ttl) }
