-- ARGV: channel, name, lease, ttl. Writes only where the lease is in force and not told to end.
if damaged then return answer('damaged') end
if not left or record.lease ~= ARGV[3] then return { 'lost' } end
local reason = record.disabled_reason or record.ending
if reason then return { 'ending', reason, whole(left) } end
local extended = whole(now + tonumber(ARGV[4]))
local refused = redis.pcall('HSET', key, 'expires_at', extended)
if type(refused) == 'table' then
  -- The server may be out of memory. Any other error is returned by one of these.
  redis.call('HDEL', key, '')
  redis.call('HSET', key, 'expires_at', extended)
end
return { 'extended', ARGV[4] }
