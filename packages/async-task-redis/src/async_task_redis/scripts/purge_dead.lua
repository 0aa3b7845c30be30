-- Delete dead letters of one queue.
--
-- KEYS    body, history, leased, cancelled, wake, dead, deaths, due:0..due:9
-- ARGV    most dead letters to delete, or "" and the ids of those to delete
-- Returns how many were deleted
-- Cost    O(n log d), d dead letters
-- Atomic  yes
local body, dead, deaths = KEYS[1], KEYS[6], KEYS[7]
local ids = {}
if ARGV[1] ~= '' then
  ids = redis.call('ZRANGE', dead, 0, tonumber(ARGV[1]) - 1)
else
  for i = 2, #ARGV do
    if redis.call('ZSCORE', dead, ARGV[i]) then ids[#ids + 1] = ARGV[i] end
  end
end
if #ids == 0 then return 0 end
local deleted = redis.call('ZREM', dead, unpack(ids))
redis.call('HDEL', deaths, unpack(ids))
redis.call('HDEL', body, unpack(ids))
return deleted
