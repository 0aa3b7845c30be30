-- Read what a lease id holds, changing nothing.
--
-- KEYS    per queue: body, history, leased, cancelled, wake, paused, due:0..due:9 (as lease.lua)
-- ARGV    lease id
-- Returns {now, 0, {queue from 0, priority, ids, values of body, values of history}...}
-- Cost    O(l), l leases of all consumers; it is asked for once per lease call of unknown outcome
-- Atomic  reads only
local KEYS_OF_QUEUE, PAGE = 16, 1000
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local groups = {}
for first = 1, #KEYS, KEYS_OF_QUEUE do
  local body, history, leased = KEYS[first], KEYS[first + 1], KEYS[first + 2]
  local start = 0
  repeat
    local members = redis.call('ZRANGE', leased, start, start + PAGE - 1)
    start = start + PAGE
    for _, member in ipairs(members) do
      if string.sub(member, 1, 16) == ARGV[1] then
        local id = string.sub(member, 17, 32)
        groups[#groups + 1] = {
          (first - 1) / KEYS_OF_QUEUE, string.byte(member, 33),
          {id}, redis.call('HMGET', body, id), redis.call('HMGET', history, id),
        }
      end
    end
  until #members < PAGE
end
return {now, 0, unpack(groups)}
