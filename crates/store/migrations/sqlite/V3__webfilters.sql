-- Webfilters, and the log of what was asked. `user_info` and `secrets` are sealed; `url` has no user info.

CREATE TABLE webfilter (
    key        INTEGER PRIMARY KEY AUTOINCREMENT,
    app        INTEGER NOT NULL REFERENCES app (key),
    id         BLOB NOT NULL UNIQUE CHECK (length(id) = 20),
    uid        TEXT,
    filter     TEXT NOT NULL,
    url        TEXT NOT NULL,
    user_info  BLOB,
    secrets    BLOB NOT NULL,
    settings   TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    revision   INTEGER NOT NULL
);
CREATE UNIQUE INDEX webfilter_uid ON webfilter (app, uid) WHERE uid IS NOT NULL;
CREATE INDEX webfilter_app ON webfilter (app, id);

-- `report` is last: a list that does not need it would not read its pages.
CREATE TABLE webfilter_run (
    app         INTEGER NOT NULL,
    id          BLOB NOT NULL CHECK (length(id) = 20),
    filter      TEXT NOT NULL,
    at          INTEGER NOT NULL,
    duration_us INTEGER NOT NULL,
    test        INTEGER NOT NULL CHECK (test IN (0, 1)),
    outcome     TEXT NOT NULL CHECK (outcome IN ('pass', 'change', 'raise', 'halt')),
    report      TEXT NOT NULL,
    PRIMARY KEY (app, id)
) WITHOUT ROWID;
CREATE INDEX webfilter_run_age ON webfilter_run (at);
