-- Delete messages of one queue that wait, and mark those that are leased.
--
-- KEYS    body, history, leased, cancelled, wake, dead, deaths, due:0..due:9
-- ARGV    ids
-- Returns for each id the state it was in, as status.lua
-- Cost    O(n * priorities * log m), m waiting messages
-- Atomic  yes. A write that frees memory comes first, so that a full server lets messages be cancelled
local body, history, cancelled, dead, FIRST_DUE, PRIORITIES = KEYS[1], KEYS[2], KEYS[4], KEYS[6], 8, 10
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('SREM', cancelled, '')
local states = {}
for i, id in ipairs(ARGV) do
  local state = ''
  if redis.call('HEXISTS', body, id) == 1 then
    state = redis.call('ZSCORE', dead, id) and 'dead' or 'leased'
    for key = FIRST_DUE, FIRST_DUE + PRIORITIES - 1 do
      local due = redis.call('ZSCORE', KEYS[key], id)
      if due then
        state = tonumber(due) < now + 1 and 'ready' or 'delayed'
        redis.call('ZREM', KEYS[key], id)
        redis.call('HDEL', body, id)
        redis.call('HDEL', history, id)
        break
      end
    end
    if state == 'leased' then redis.call('SADD', cancelled, id) end
  end
  states[i] = state
end
return states
