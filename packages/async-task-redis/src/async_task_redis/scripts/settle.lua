-- End leases of one queue, each of its own kind, and store results and dead letters with them.
--
-- KEYS    body, history, leased, cancelled, wake, dead, deaths, due:0..due:9, then the keys of the
--         results
-- ARGV    n, a; n members of leased, no two alike, of which the first a are acknowledged; for each of
--         the others kind ("back" or "dead"), delay in ms or reason, state; then for each key of a
--         result position from 1, time to live in ms, body, channel
-- Returns the positions, from 0, whose lease is not current and which changed nothing
-- Cost    O(n log m), m waiting messages
-- Atomic  the fence is read first. The first write removes leases, so that a full server lets them
--         end; no error can stop those after it
local body, history, leased, cancelled, wake = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local dead, deaths, FIRST_DUE, FIRST_RESULT = KEYS[6], KEYS[7], 8, 18
local n, acknowledged = tonumber(ARGV[1]), tonumber(ARGV[2])
-- As in enqueue.lua: whoever waits learns of later times by itself.
local SOON = 1000

local stale, live, gone = {}, {}, {}
local scores = redis.call('ZMSCORE', leased, unpack(ARGV, 3, n + 2))
for i = 1, n do
  if scores[i] then
    local id = string.sub(ARGV[i + 2], 17, 32)
    live[i] = id
    if i <= acknowledged then gone[#gone + 1] = id end
  else
    stale[#stale + 1] = i - 1
  end
end
if #stale == n then return stale end
redis.call('ZREM', leased, unpack(ARGV, 3, n + 2))

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local not_early = time[1] * 1000 + math.ceil(time[2] / 1000)
local marks, soon = redis.call('EXISTS', cancelled) == 1, false

for i = acknowledged + 1, n do
  local id, argument = live[i], n + 3 + 3 * (i - acknowledged - 1)
  if id then
    local kind, how, state = ARGV[argument], ARGV[argument + 1], ARGV[argument + 2]
    local record, ended, crashes = redis.call('HGET', history, id), 0, 0
    if record then ended, crashes = struct.unpack('>I4I4', record) end
    ended = ended + 1
    if kind == 'dead' then
      redis.call('HDEL', history, id)
      redis.call('ZADD', dead, 0, id)
      redis.call('HSET', deaths, id,
        struct.pack('>I4I4I8B', ended, crashes, now, #how) .. how .. state)
      if marks then redis.call('SREM', cancelled, id) end
    elseif marks and redis.call('SISMEMBER', cancelled, id) == 1 then
      gone[#gone + 1] = id
    else
      local delay, priority = tonumber(how), string.byte(ARGV[i + 2], 33)
      redis.call('HSET', history, id, struct.pack('>I4I4', ended, crashes) .. state)
      redis.call('ZADD', KEYS[FIRST_DUE + priority], delay == 0 and now or not_early + delay, id)
      soon = soon or delay < SOON
    end
  end
end
if #gone > 0 then
  redis.call('HDEL', body, unpack(gone))
  if redis.call('EXISTS', history) == 1 then redis.call('HDEL', history, unpack(gone)) end
  if marks then redis.call('SREM', cancelled, unpack(gone)) end
end
if soon and redis.call('EXISTS', wake) == 0 then redis.call('RPUSH', wake, 1) end

local argument = n + 3 + 3 * (n - acknowledged)
for key = FIRST_RESULT, #KEYS do
  if live[tonumber(ARGV[argument])] then
    redis.call('SET', KEYS[key], ARGV[argument + 2], 'PX', ARGV[argument + 1])
    redis.pcall('PUBLISH', ARGV[argument + 3], '') -- whoever may not publish leaves others to poll
  end
  argument = argument + 4
end
return stale
