-- Let one of those who wait for a queue look again.
--
-- KEYS    wake
-- Returns nothing
-- Cost    O(1)
-- Atomic  yes
if redis.call('EXISTS', KEYS[1]) == 0 then redis.call('RPUSH', KEYS[1], 1) end
