-- Tables: queue (ready, delayed and leased messages), dead (rejected ones), results, queues.
-- Arguments: names in braces, quoted. Each statement commits by itself and may be repeated, so that
-- a migration that was cut off is completed by the next one.
--
-- A message in the queue is leased while lease_ends_at is set, and waits (ready or delayed)
-- otherwise. `level` is the priority of those that wait and nothing for the leased ones, which puts
-- them aside in the index that messages are taken from. All instants are microseconds since 1970,
-- UTC, of this server: whatever its time zone, and beyond 2038.

CREATE TABLE IF NOT EXISTS {queue} (
    id BINARY(16) PRIMARY KEY,
    queue VARCHAR(80) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    priority TINYINT NOT NULL,
    due_at BIGINT NOT NULL,
    lease_ends_at BIGINT,
    lease_id BINARY(16),
    deliveries INT NOT NULL DEFAULT 0,
    crashes INT NOT NULL DEFAULT 0,
    cancelled BOOLEAN NOT NULL DEFAULT FALSE,
    level TINYINT GENERATED ALWAYS AS (IF(lease_ends_at IS NULL, priority, NULL)) STORED,
    expires_at BIGINT,
    state BLOB NOT NULL,
    body LONGBLOB NOT NULL,
    INDEX ready (queue, level, due_at),
    INDEX leased (lease_ends_at, lease_id)
) ENGINE = InnoDB, ROW_FORMAT = DYNAMIC, COMMENT = 'async-task: unfinished messages';

CREATE TABLE IF NOT EXISTS {dead} (
    id BINARY(16) PRIMARY KEY,
    queue VARCHAR(80) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    priority TINYINT NOT NULL,
    deliveries INT NOT NULL,
    crashes INT NOT NULL,
    died_at BIGINT NOT NULL,
    reason VARCHAR(80) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    state BLOB NOT NULL,
    body LONGBLOB NOT NULL,
    INDEX listed (queue, id)
) ENGINE = InnoDB, ROW_FORMAT = DYNAMIC, COMMENT = 'async-task: dead letters';

CREATE TABLE IF NOT EXISTS {results} (
    id BINARY(16) PRIMARY KEY,
    expires_at BIGINT NOT NULL,
    body LONGBLOB NOT NULL,
    INDEX outlived (expires_at)
) ENGINE = InnoDB, ROW_FORMAT = DYNAMIC, COMMENT = 'async-task: results';

-- Queues that were provisioned or paused; others exist by holding something.
CREATE TABLE IF NOT EXISTS {queues} (
    name VARCHAR(80) CHARACTER SET ascii COLLATE ascii_bin PRIMARY KEY,
    paused BOOLEAN NOT NULL DEFAULT FALSE
) ENGINE = InnoDB, COMMENT = 'async-task: queues';
