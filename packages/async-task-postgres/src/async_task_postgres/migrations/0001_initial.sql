-- Tables: queue (ready, delayed and leased messages), dead (rejected ones), results, queues.
-- Arguments: names in braces, quoted. Runs in one transaction, or not at all.
--
-- A message in the queue is leased while lease_ends_at is set, and waits (ready or delayed)
-- otherwise. Each state has a partial index of its own, so that what one costs does not depend on
-- the others. All instants are this server's. What an update changes stands before what it does
-- not, so that the log of an update to the same page holds neither ids nor bodies.

CREATE TABLE {queue} (
    due_at timestamptz NOT NULL,
    lease_ends_at timestamptz,
    lease_id uuid,
    deliveries integer NOT NULL DEFAULT 0,
    crashes integer NOT NULL DEFAULT 0,
    cancelled boolean NOT NULL DEFAULT false,
    priority smallint NOT NULL,
    arrival integer NOT NULL, -- place in the call that stored it: later calls have later due times
    expires_at timestamptz,
    id uuid PRIMARY KEY,
    queue text COLLATE "C" NOT NULL,
    state bytea NOT NULL DEFAULT '',
    body bytea NOT NULL,
    CHECK ((lease_id IS NULL) = (lease_ends_at IS NULL))
) WITH (
    fillfactor = 70, -- room for a lease on the same page: 734 instead of 771 bytes of log per task
    -- Every message leaves two dead versions or more; leases slow down when those pile up.
    autovacuum_vacuum_scale_factor = 0.01,
    autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_cost_delay = 0
);

CREATE INDEX {ready} ON {queue} (queue, priority DESC, due_at, arrival)
    WHERE lease_ends_at IS NULL;
CREATE INDEX {leased} ON {queue} (lease_ends_at) WHERE lease_ends_at IS NOT NULL;

CREATE TABLE {dead} (
    id uuid PRIMARY KEY,
    queue text COLLATE "C" NOT NULL,
    priority smallint NOT NULL,
    deliveries integer NOT NULL,
    crashes integer NOT NULL,
    died_at timestamptz NOT NULL,
    reason text NOT NULL,
    state bytea NOT NULL,
    body bytea NOT NULL
);
CREATE INDEX {dead_listed} ON {dead} (queue, id);

CREATE TABLE {results} (
    id uuid PRIMARY KEY,
    expires_at timestamptz NOT NULL,
    body bytea NOT NULL
) WITH (
    autovacuum_vacuum_scale_factor = 0.05,
    autovacuum_vacuum_cost_delay = 0
);
CREATE INDEX {outlived} ON {results} (expires_at);

-- Queues that were provisioned or paused; others exist by holding something.
CREATE TABLE {queues} (
    name text COLLATE "C" PRIMARY KEY,
    paused boolean NOT NULL DEFAULT false
);
CREATE INDEX {paused} ON {queues} (name) WHERE paused;
