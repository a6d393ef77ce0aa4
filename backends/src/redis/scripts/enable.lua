-- ARGV: channel, name.
if damaged then return { 'damaged', whole(now), flat } end
if not record.disabled_reason then return { 'already' } end
redis.call('HDEL', key, 'disabled_reason', 'disabled_by', 'disabled_at')
if not record.lease then
  compact({ disabled_reason = true, disabled_by = true, disabled_at = true })
end
tell()
return { 'enabled' }
