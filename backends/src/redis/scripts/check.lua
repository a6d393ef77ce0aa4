-- KEYS[1]: the key of a lock with an empty name. ARGV: channel. Writes nothing, and returns the
-- commands that this user may not run here and those that the server does not know.
local refused, unknown = {}, {}

local function run(command, ...)
  local answer = redis.pcall(command, ...)
  if type(answer) ~= 'table' or not answer.err then return end
  local text = string.lower(answer.err)
  if string.find(text, 'unknown') then
    unknown[#unknown + 1] = command
  elseif string.find(text, 'noperm') or string.find(text, 'permission')
    or string.find(text, 'can\'t run this command') then
    refused[#refused + 1] = command
  end
end

-- Tests a command that would change something without running it. Redis 6 has no function for this.
local function ask(command, ...)
  if not redis.acl_check_cmd then return end
  local known, allowed = pcall(redis.acl_check_cmd, command, ...)
  if not known then
    unknown[#unknown + 1] = command
  elseif not allowed then
    refused[#refused + 1] = command
  end
end

run('TIME')
run('HGETALL', KEYS[1])
run('HDEL', KEYS[1], '')
ask('HSET', KEYS[1], 'token', '0')
ask('PUBLISH', ARGV[1], '')
return { 'checked', refused, unknown }
