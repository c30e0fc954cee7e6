-- Drift and events beside the rollouts, and what days are sealed by. Only columns that an older agent need not know are
-- added to its table. Times are milliseconds since 1970, days are counted from 1970.
ALTER TABLE rollouts ADD COLUMN cluster TEXT;
-- The day in whose seal a record is; `form` says which columns its hash is of.
ALTER TABLE rollouts ADD COLUMN day BIGINT;
ALTER TABLE rollouts ADD COLUMN form BIGINT;
ALTER TABLE rollouts ADD COLUMN hash TEXT;
UPDATE rollouts SET day = ended / 86400000;
CREATE INDEX rollouts_by_day ON rollouts (day, id);

CREATE TABLE drift (
    id TEXT NOT NULL,
    day BIGINT NOT NULL,
    form BIGINT,
    hash TEXT,
    -- A number of the field, the object and the manager, by which records are coalesced.
    field BIGINT NOT NULL,
    cluster TEXT NOT NULL,
    environment TEXT NOT NULL,
    app TEXT,
    revision TEXT,
    api_group TEXT NOT NULL,
    kind TEXT NOT NULL,
    namespace TEXT,
    name TEXT NOT NULL,
    uid TEXT NOT NULL,
    path TEXT NOT NULL,
    desired TEXT,
    live TEXT,
    class TEXT NOT NULL,
    cause TEXT,
    manager TEXT NOT NULL,
    operation TEXT,
    subresource TEXT,
    who TEXT,
    who_groups TEXT,
    user_agent TEXT,
    source_address TEXT,
    first_seen BIGINT NOT NULL,
    last_seen BIGINT NOT NULL,
    seen BIGINT NOT NULL,
    action TEXT NOT NULL,
    rule TEXT,
    result TEXT,
    latency_ms BIGINT,
    closed BIGINT,
    PRIMARY KEY (day, id)
);
CREATE INDEX drift_by_field ON drift (field);
CREATE INDEX drift_by_object ON drift (name, namespace, first_seen);
CREATE INDEX drift_by_environment ON drift (environment, first_seen);
CREATE INDEX drift_by_time ON drift (first_seen);

CREATE TABLE events (
    id TEXT NOT NULL,
    day BIGINT NOT NULL,
    form BIGINT,
    hash TEXT,
    kind TEXT NOT NULL,
    cluster TEXT NOT NULL,
    environment TEXT NOT NULL,
    app TEXT,
    api_group TEXT,
    object_kind TEXT,
    namespace TEXT,
    name TEXT,
    who TEXT,
    why TEXT,
    happened BIGINT NOT NULL,
    details TEXT,
    PRIMARY KEY (day, id)
);
CREATE INDEX events_by_object ON events (name, namespace, happened);
CREATE INDEX events_by_environment ON events (environment, happened);
CREATE INDEX events_by_time ON events (happened);

-- The last batch that each process wrote, so that one whose answer was lost is not written twice.
CREATE TABLE writers (
    id TEXT NOT NULL PRIMARY KEY,
    batch BIGINT NOT NULL,
    written BIGINT NOT NULL
);

-- A day without a digest is closed, and about to be sealed.
CREATE TABLE sealed_days (
    day BIGINT NOT NULL PRIMARY KEY,
    records BIGINT,
    digest TEXT,
    before TEXT,
    sealed BIGINT,
    sealed_by TEXT
);

-- Which records a sealed day has: a line for each, compressed by zstd.
CREATE TABLE sealed_parts (
    day BIGINT NOT NULL,
    part BIGINT NOT NULL,
    list BLOB NOT NULL,
    PRIMARY KEY (day, part)
);
