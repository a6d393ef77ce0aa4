-- The last key and the last three arguments are those of the fence. The last one repeats the key, so that
-- a call without the fence, with it twice, or with more behind it does not check another key.
do
  local bound = ARGV[#ARGV] == 'leasehold_fence ' .. tostring(KEYS[#KEYS])
  local twice = ARGV[#ARGV - 3] == 'leasehold_fence ' .. tostring(KEYS[#KEYS - 1])
  if twice or not bound then
    return redis.error_reply('LEASEHOLDUNBOUND the fence must be bound once, after all else')
  end
  local refused = leasehold_check(KEYS[#KEYS], ARGV[#ARGV - 2], ARGV[#ARGV - 1])
  if refused then return refused end
end
