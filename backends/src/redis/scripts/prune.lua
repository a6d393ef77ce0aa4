-- ARGV: channel, name, for how long it was not granted, and 'remove' unless it is only asked.
-- Tokens follow the clock: a token is about the time of its grant, and the next grant has a larger
-- one though the record is gone, if the token is below the clock now.
if not exists or damaged or left or record.disabled_reason then return { 'used' } end
local token = number(record.token)
if token >= now or now - token < tonumber(ARGV[3]) then return { 'used' } end
if ARGV[4] == 'remove' then remove() end
return { 'unused' }
