-- The last key and the last three arguments are those of the fence. The last argument repeats the key, so
-- that this never checks another key if a call lacks the fence, has it twice, or has arguments after it.
do
  local bound = ARGV[#ARGV] == 'leasehold_fence ' .. tostring(KEYS[#KEYS])
  local twice = ARGV[#ARGV - 3] == 'leasehold_fence ' .. tostring(KEYS[#KEYS - 1])
  if twice or not bound then
    return redis.error_reply('LEASEHOLDUNBOUND the fence must be bound once, after all else')
  end
  local refused = leasehold_check(KEYS[#KEYS], ARGV[#ARGV - 2], ARGV[#ARGV - 1])
  if refused then return refused end
end
