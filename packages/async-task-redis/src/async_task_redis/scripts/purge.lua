-- Delete messages of one queue that are ready or delayed, a bounded number.
--
-- KEYS    body, history, leased, cancelled, wake, dead, deaths, due:0..due:9
-- ARGV    most messages to delete
-- Returns how many were deleted; fewer than asked for means that none are left
-- Cost    O(n)
-- Atomic  yes
local body, history, FIRST_DUE, PRIORITIES = KEYS[1], KEYS[2], 8, 10
local left = tonumber(ARGV[1])
local deleted = 0
for key = FIRST_DUE, FIRST_DUE + PRIORITIES - 1 do
  if left == 0 then break end
  local ids = redis.call('ZRANGE', KEYS[key], 0, left - 1)
  if #ids > 0 then
    redis.call('ZREMRANGEBYRANK', KEYS[key], 0, #ids - 1)
    redis.call('HDEL', body, unpack(ids))
    redis.call('HDEL', history, unpack(ids))
    left = left - #ids
    deleted = deleted + #ids
  end
end
return deleted
