-- Tables: messages (everything unfinished, dead letters included), queues, results.
-- Arguments: $ is the prefix of the namespace. Run in one immediate transaction, or not at all.
--
-- A message is one row for its whole life. It is leased while lease_ends_at is set, a dead letter
-- while died_at is set, and waits (ready or delayed) otherwise. Each state has a partial index of its
-- own, so that what one costs does not depend on the others. All times are Unix milliseconds of this
-- host. seq is the order of arrival: a new row's is higher than that of every row there is.

CREATE TABLE "$messages" (
    seq INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    queue TEXT NOT NULL,
    priority INTEGER NOT NULL,
    deliveries INTEGER NOT NULL DEFAULT 0,
    crashes INTEGER NOT NULL DEFAULT 0,
    cancelled INTEGER NOT NULL DEFAULT 0,
    due_at INTEGER NOT NULL,
    lease_ends_at INTEGER,
    died_at INTEGER,
    expires_at INTEGER,
    lease_id BLOB,
    reason TEXT,
    state BLOB NOT NULL DEFAULT x'',
    body BLOB NOT NULL,
    CHECK (lease_ends_at IS NULL OR died_at IS NULL),
    CHECK ((lease_id IS NULL) = (lease_ends_at IS NULL)),
    CHECK ((reason IS NULL) = (died_at IS NULL))
);

-- The rowid, which is seq, ends every index: this one is (queue, priority, due_at, seq).
CREATE INDEX "$waiting" ON "$messages" (queue, priority, due_at)
    WHERE lease_ends_at IS NULL AND died_at IS NULL;
CREATE INDEX "$leased" ON "$messages" (lease_ends_at) WHERE lease_ends_at IS NOT NULL;
CREATE INDEX "$dead" ON "$messages" (queue, id) WHERE died_at IS NOT NULL;

-- Every queue that was provisioned or ever held a message.
CREATE TABLE "$queues" (
    name TEXT PRIMARY KEY,
    paused INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX "$paused" ON "$queues" (name) WHERE paused = 1;

CREATE TABLE "$results" (
    id BLOB PRIMARY KEY,
    expires_at INTEGER NOT NULL,
    body BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX "$results_by_expiry" ON "$results" (expires_at);
