-- The tables of this crate in a PostgreSQL database, schema version 1. `{...}` is a table's name with its prefix.
-- Every statement is idempotent. Moments are nanoseconds of the server's clock since 1970. Texts compare byte by byte.

-- One row: which schema, which store (a random id), and where it was made: `clock` is the server's system identifier, the
-- database and the table itself (a dump restored, or a copied database, differs); `timeline` changes when a replica is
-- promoted or a backup recovered.
CREATE TABLE IF NOT EXISTS {meta} (
    id       BIGINT PRIMARY KEY CHECK (id = 1),
    version  BIGINT NOT NULL,
    store    TEXT COLLATE "C" NOT NULL,
    clock    TEXT COLLATE "C" NOT NULL,
    timeline TEXT COLLATE "C" NOT NULL
);

-- One row for each cluster: its counters and floors, none of which ever falls.
CREATE TABLE IF NOT EXISTS {clusters} (
    cluster       TEXT COLLATE "C" PRIMARY KEY,
    term_floor    BIGINT NOT NULL DEFAULT 0,
    revision      BIGINT NOT NULL DEFAULT 0,
    epoch_floor   BIGINT NOT NULL DEFAULT 0,
    feed_floor    BIGINT NOT NULL DEFAULT 0,
    state_version BIGINT NOT NULL DEFAULT 0
);

-- The latest heartbeat of each node.
CREATE TABLE IF NOT EXISTS {heartbeats} (
    cluster     TEXT COLLATE "C" NOT NULL,
    node        TEXT COLLATE "C" NOT NULL,
    format      BIGINT NOT NULL,
    incarnation TEXT COLLATE "C" NOT NULL,
    term        BIGINT NOT NULL,
    seq         BIGINT NOT NULL,
    news        TEXT COLLATE "C" NOT NULL,
    seen        BIGINT NOT NULL,
    PRIMARY KEY (cluster, node)
) WITH (fillfactor = 50);

-- Every lease ever granted: the row keeps the highest term for ever. Held if it has a holder, reserved if it has a
-- successor, and either only until `ends`, which was set `lasts` before.
CREATE TABLE IF NOT EXISTS {leases} (
    cluster     TEXT COLLATE "C" NOT NULL,
    name        TEXT COLLATE "C" NOT NULL,
    format      BIGINT NOT NULL,
    term        BIGINT NOT NULL,
    holder      TEXT COLLATE "C",
    incarnation TEXT COLLATE "C",
    successor   TEXT COLLATE "C",
    ends        BIGINT NOT NULL,
    lasts       BIGINT NOT NULL,
    PRIMARY KEY (cluster, name)
) WITH (fillfactor = 50);

-- The highest term seen under each lease's name, by what it fences: `jobs` or `state`.
CREATE TABLE IF NOT EXISTS {fences} (
    cluster TEXT COLLATE "C" NOT NULL,
    area    TEXT COLLATE "C" NOT NULL,
    lease   TEXT COLLATE "C" NOT NULL,
    term    BIGINT NOT NULL,
    PRIMARY KEY (cluster, area, lease)
);

-- Where a job comes from and goes (`course`) and its latest runs (`runs`) are JSON; so is what was submitted (`spec`).
CREATE TABLE IF NOT EXISTS {jobs} (
    cluster     TEXT COLLATE "C" NOT NULL,
    job         TEXT COLLATE "C" NOT NULL,
    format      BIGINT NOT NULL,
    revision    BIGINT NOT NULL,
    submitted   BIGINT NOT NULL,
    epoch       BIGINT NOT NULL,
    phase       TEXT COLLATE "C" NOT NULL,
    owner       TEXT COLLATE "C",
    incarnation TEXT COLLATE "C",
    retiring    BIGINT NOT NULL,
    failures    BIGINT NOT NULL,
    detail      TEXT COLLATE "C" NOT NULL,
    course      TEXT COLLATE "C" NOT NULL,
    runs        TEXT COLLATE "C" NOT NULL,
    spec        TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (cluster, job)
);

CREATE UNIQUE INDEX IF NOT EXISTS {jobs}_by_revision ON {jobs} (cluster, revision);

-- Jobs that are gone: for the feed, and so that an epoch never repeats.
CREATE TABLE IF NOT EXISTS {removed} (
    cluster  TEXT COLLATE "C" NOT NULL,
    job      TEXT COLLATE "C" NOT NULL,
    revision BIGINT NOT NULL,
    epoch    BIGINT NOT NULL,
    PRIMARY KEY (cluster, job)
);

CREATE UNIQUE INDEX IF NOT EXISTS {removed}_by_revision ON {removed} (cluster, revision);

CREATE TABLE IF NOT EXISTS {documents} (
    cluster TEXT COLLATE "C" NOT NULL,
    path    TEXT COLLATE "C" NOT NULL,
    format  BIGINT NOT NULL,
    version BIGINT NOT NULL,
    content BYTEA NOT NULL,
    PRIMARY KEY (cluster, path)
);
