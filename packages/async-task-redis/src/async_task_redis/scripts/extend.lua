-- Let leases of one queue hold from now on.
--
-- KEYS    leased, cancelled
-- ARGV    visibility in ms, then members of leased
-- Returns {positions from 0 of leases that are lost, positions of those to be cancelled}
-- Cost    O(n log l), l leases of all consumers
-- Atomic  one write of scores. It may not grow memory, but Redis believes it may: a write that
--         certainly frees none comes first, so that a full server renews leases
local leased, cancelled = KEYS[1], KEYS[2]
local time = redis.call('TIME')
local ends = time[1] * 1000 + math.ceil(time[2] / 1000) + tonumber(ARGV[1])
local scores = redis.call('ZMSCORE', leased, unpack(ARGV, 2))
local marks = redis.call('EXISTS', cancelled) == 1
local lost, unwanted, held = {}, {}, {}
for i = 1, #ARGV - 1 do
  local member = ARGV[i + 1]
  if not scores[i] then
    lost[#lost + 1] = i - 1
  else
    held[#held + 1] = ends
    held[#held + 1] = member
    if marks and redis.call('SISMEMBER', cancelled, string.sub(member, 17, 32)) == 1 then
      unwanted[#unwanted + 1] = i - 1
    end
  end
end
if #held > 0 then
  redis.call('ZREM', leased, '')
  redis.call('ZADD', leased, unpack(held))
end
return {lost, unwanted}
