-- ARGV: channel, name, lease.
if damaged then return { 'damaged', whole(now), flat } end
if not left or record.lease ~= ARGV[3] then return { 'not_held' } end
if #flat == 10 then
  -- The record has only a token and a lease, and the token stays. It is removed too, and then
  -- written again, so that it is stored compactly. If the user may no longer run HSET, no record
  -- remains, and the next token still follows the clock.
  redis.call('HDEL', key, 'token', 'lease', 'holder', 'granted_at', 'expires_at')
  redis.call('HSET', key, 'token', record.token)
else
  -- An expired queue may have left its fields.
  redis.call('HDEL', key, 'lease', 'holder', 'granted_at', 'expires_at', 'ending', 'kind', 'queue')
  compact({
    lease = true, holder = true, granted_at = true, expires_at = true, ending = true, kind = true,
    queue = true,
  })
end
tell()
return { 'released' }
