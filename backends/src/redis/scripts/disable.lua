-- ARGV: channel, name, reason, and who disables, if they tell.
if damaged then return answer('damaged') end
if record.disabled_reason then return answer('already') end
if not exists then redis.call('HSET', key, 'token', '0') end
redis.call('HSET', key, 'disabled_reason', ARGV[3], 'disabled_at', whole(now))
if ARGV[4] then redis.call('HSET', key, 'disabled_by', ARGV[4]) end
if left then redis.call('HSET', key, 'ending', ARGV[3]) end
tell()
return { 'disabled' }
