-- What became of each rollout of an app. Times are milliseconds since 1970. Types that SQLite and PostgreSQL both know.
CREATE TABLE rollouts (
    id TEXT NOT NULL PRIMARY KEY,
    environment TEXT NOT NULL,
    app TEXT NOT NULL,
    digest TEXT NOT NULL,
    from_digest TEXT,
    revision TEXT,
    author TEXT,
    subject TEXT,
    outcome TEXT NOT NULL,
    started BIGINT NOT NULL,
    ended BIGINT NOT NULL,
    objects BIGINT NOT NULL,
    by_whom TEXT,
    why TEXT
);

CREATE INDEX rollouts_by_app ON rollouts (environment, app, ended);
CREATE INDEX rollouts_by_time ON rollouts (ended);
