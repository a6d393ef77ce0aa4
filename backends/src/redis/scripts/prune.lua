-- ARGV: channel, name, the minimum time since its latest grant, and 'remove' unless in a dry run.
-- Tokens follow the clock: a token is about the time of its grant. If it is below the present time,
-- the next grant has a larger one even after the record is removed.
if not exists or damaged or left or record.disabled_reason then return { 'used' } end
if token >= now or now - token < tonumber(ARGV[3]) then return { 'used' } end
if ARGV[4] == 'remove' then remove() end
return { 'unused' }
