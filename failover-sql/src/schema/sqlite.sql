-- The tables of this crate in a SQLite file, schema version 1. `{...}` is a table's name with its prefix.
-- Every statement is idempotent. Moments are nanoseconds of CLOCK_BOOTTIME, whose identity `{meta}` holds.

-- One row: which schema, which store (a random id), whose clock.
CREATE TABLE IF NOT EXISTS {meta} (
    id       INTEGER PRIMARY KEY CHECK (id = 1),
    version  INTEGER NOT NULL,
    store    TEXT NOT NULL,
    clock    TEXT NOT NULL
) STRICT;

-- One row for each cluster: its counters and floors, none of which ever falls.
CREATE TABLE IF NOT EXISTS {clusters} (
    cluster       TEXT PRIMARY KEY,
    term_floor    INTEGER NOT NULL DEFAULT 0,
    revision      INTEGER NOT NULL DEFAULT 0,
    epoch_floor   INTEGER NOT NULL DEFAULT 0,
    feed_floor    INTEGER NOT NULL DEFAULT 0,
    state_version INTEGER NOT NULL DEFAULT 0,
    pulse         INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

-- What changed last at which pulse, so that a watcher reads only what is new to it.
CREATE TABLE IF NOT EXISTS {hints} (
    cluster TEXT NOT NULL,
    area    TEXT NOT NULL,
    pulse   INTEGER NOT NULL,
    PRIMARY KEY (cluster, area)
) STRICT, WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS {hints}_by_pulse ON {hints} (cluster, pulse);

-- The latest heartbeat of each node.
CREATE TABLE IF NOT EXISTS {heartbeats} (
    cluster     TEXT NOT NULL,
    node        TEXT NOT NULL,
    format      INTEGER NOT NULL,
    incarnation TEXT NOT NULL,
    term        INTEGER NOT NULL,
    seq         INTEGER NOT NULL,
    news        TEXT NOT NULL,
    seen        INTEGER NOT NULL,
    PRIMARY KEY (cluster, node)
) STRICT, WITHOUT ROWID;

-- Every lease ever granted: the row keeps the highest term for ever. Held if it has a holder, reserved if it has a
-- successor, and either only until `ends`, which was set `lasts` before.
CREATE TABLE IF NOT EXISTS {leases} (
    cluster     TEXT NOT NULL,
    name        TEXT NOT NULL,
    format      INTEGER NOT NULL,
    term        INTEGER NOT NULL,
    holder      TEXT,
    incarnation TEXT,
    successor   TEXT,
    ends        INTEGER NOT NULL,
    lasts       INTEGER NOT NULL,
    PRIMARY KEY (cluster, name)
) STRICT, WITHOUT ROWID;

-- The highest term seen under each lease's name, by what it fences: `jobs` or `state`.
CREATE TABLE IF NOT EXISTS {fences} (
    cluster TEXT NOT NULL,
    area    TEXT NOT NULL,
    lease   TEXT NOT NULL,
    term    INTEGER NOT NULL,
    PRIMARY KEY (cluster, area, lease)
) STRICT, WITHOUT ROWID;

-- Where a job comes from and goes (`course`) and its latest runs (`runs`) are JSON; so is what was submitted (`spec`).
CREATE TABLE IF NOT EXISTS {jobs} (
    cluster     TEXT NOT NULL,
    job         TEXT NOT NULL,
    format      INTEGER NOT NULL,
    revision    INTEGER NOT NULL,
    submitted   INTEGER NOT NULL,
    epoch       INTEGER NOT NULL,
    phase       TEXT NOT NULL,
    owner       TEXT,
    incarnation TEXT,
    retiring    INTEGER NOT NULL,
    failures    INTEGER NOT NULL,
    detail      TEXT NOT NULL,
    course      TEXT NOT NULL,
    runs        TEXT NOT NULL,
    spec        TEXT NOT NULL,
    PRIMARY KEY (cluster, job)
) STRICT;

CREATE UNIQUE INDEX IF NOT EXISTS {jobs}_by_revision ON {jobs} (cluster, revision);

-- Jobs that are gone: for the feed, and so that an epoch never repeats.
CREATE TABLE IF NOT EXISTS {removed} (
    cluster  TEXT NOT NULL,
    job      TEXT NOT NULL,
    revision INTEGER NOT NULL,
    epoch    INTEGER NOT NULL,
    PRIMARY KEY (cluster, job)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX IF NOT EXISTS {removed}_by_revision ON {removed} (cluster, revision);

CREATE TABLE IF NOT EXISTS {documents} (
    cluster TEXT NOT NULL,
    path    TEXT NOT NULL,
    format  INTEGER NOT NULL,
    version INTEGER NOT NULL,
    content BLOB NOT NULL,
    PRIMARY KEY (cluster, path)
) STRICT;
