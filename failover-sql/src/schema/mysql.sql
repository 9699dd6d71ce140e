-- The tables of this crate in MySQL and MariaDB, schema version 1. `{...}` is a table's name with its prefix.
-- Every statement is idempotent, because DDL commits by itself. Moments are nanoseconds since 1970 by the server's clock.
-- Names are VARBINARY: compared byte for byte, trailing blanks included, whatever the server's collation. Texts have a collation
-- that is not binary only because the driver cannot tell a text with such a one from bytes; none is ever compared by it.
-- `told` is when a row last changed in a way that others wait for: what one statement writes, it also tells.

-- One row: which schema, which store (a random id), whose clock.
CREATE TABLE IF NOT EXISTS {meta} (
    id      BIGINT NOT NULL PRIMARY KEY,
    version BIGINT NOT NULL,
    store   VARBINARY(64) NOT NULL,
    clock   VARBINARY(64) NOT NULL
) ENGINE = InnoDB;

-- One row for each cluster: its counters and floors, none of which ever falls.
CREATE TABLE IF NOT EXISTS {clusters} (
    cluster       VARBINARY(64) NOT NULL PRIMARY KEY,
    term_floor    BIGINT NOT NULL DEFAULT 0,
    revision      BIGINT NOT NULL DEFAULT 0,
    epoch_floor   BIGINT NOT NULL DEFAULT 0,
    feed_floor    BIGINT NOT NULL DEFAULT 0,
    state_version BIGINT NOT NULL DEFAULT 0,
    pulse         BIGINT NOT NULL DEFAULT 0
) ENGINE = InnoDB;

-- What changed last at which pulse, so that a watcher reads only what is new to it.
CREATE TABLE IF NOT EXISTS {hints} (
    cluster VARBINARY(64) NOT NULL,
    area    VARBINARY(255) NOT NULL,
    pulse   BIGINT NOT NULL,
    PRIMARY KEY (cluster, area),
    KEY by_pulse (cluster, pulse)
) ENGINE = InnoDB;

-- The latest heartbeat of each node.
CREATE TABLE IF NOT EXISTS {heartbeats} (
    cluster     VARBINARY(64) NOT NULL,
    node        VARBINARY(64) NOT NULL,
    format      BIGINT NOT NULL,
    incarnation VARBINARY(64) NOT NULL,
    term        BIGINT NOT NULL,
    seq         BIGINT NOT NULL,
    news        MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci NOT NULL,
    seen        BIGINT NOT NULL,
    told        BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (cluster, node),
    KEY by_told (cluster, told)
) ENGINE = InnoDB;

-- Every lease ever granted: the row keeps the highest term for ever. Held if it has a holder, reserved if it has a
-- successor, and either only until `ends`, which was set `lasts` before.
CREATE TABLE IF NOT EXISTS {leases} (
    cluster     VARBINARY(64) NOT NULL,
    name        VARBINARY(255) NOT NULL,
    format      BIGINT NOT NULL,
    term        BIGINT NOT NULL,
    holder      VARBINARY(64),
    incarnation VARBINARY(64),
    successor   VARBINARY(64),
    ends        BIGINT NOT NULL,
    lasts       BIGINT NOT NULL,
    told        BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (cluster, name),
    KEY by_told (cluster, told)
) ENGINE = InnoDB;

-- The highest term seen under each lease's name, by what it fences: `jobs` or `state`.
CREATE TABLE IF NOT EXISTS {fences} (
    cluster VARBINARY(64) NOT NULL,
    area    VARBINARY(255) NOT NULL,
    lease   VARBINARY(255) NOT NULL,
    term    BIGINT NOT NULL,
    PRIMARY KEY (cluster, area, lease)
) ENGINE = InnoDB;

-- Where a job comes from and goes (`course`) and its latest runs (`runs`) are JSON; so is what was submitted (`spec`).
CREATE TABLE IF NOT EXISTS {jobs} (
    cluster     VARBINARY(64) NOT NULL,
    job         VARBINARY(64) NOT NULL,
    format      BIGINT NOT NULL,
    revision    BIGINT NOT NULL,
    submitted   BIGINT NOT NULL,
    epoch       BIGINT NOT NULL,
    phase       VARBINARY(64) NOT NULL,
    owner       VARBINARY(64),
    incarnation VARBINARY(64),
    retiring    BIGINT NOT NULL,
    failures    BIGINT NOT NULL,
    detail      MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci NOT NULL,
    course      MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci NOT NULL,
    runs        MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci NOT NULL,
    spec        MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci NOT NULL,
    PRIMARY KEY (cluster, job),
    UNIQUE KEY by_revision (cluster, revision)
) ENGINE = InnoDB;

-- Jobs that are gone: for the feed, and so that an epoch never repeats.
CREATE TABLE IF NOT EXISTS {removed} (
    cluster  VARBINARY(64) NOT NULL,
    job      VARBINARY(64) NOT NULL,
    revision BIGINT NOT NULL,
    epoch    BIGINT NOT NULL,
    PRIMARY KEY (cluster, job),
    UNIQUE KEY by_revision (cluster, revision)
) ENGINE = InnoDB;

CREATE TABLE IF NOT EXISTS {documents} (
    cluster VARBINARY(64) NOT NULL,
    path    VARBINARY(512) NOT NULL,
    format  BIGINT NOT NULL,
    version BIGINT NOT NULL,
    content MEDIUMBLOB NOT NULL,
    PRIMARY KEY (cluster, path)
) ENGINE = InnoDB;
