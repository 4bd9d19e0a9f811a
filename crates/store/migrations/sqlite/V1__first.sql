-- Times are microseconds since 1970, ids the 20 bytes of a KSUID. A message's and an attempt's key is the first eight
-- bytes of its id (they never repeat and grow with time); `tail` holds the other twelve.

CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;

CREATE TABLE organization (org TEXT PRIMARY KEY, options TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE app (
    key           INTEGER PRIMARY KEY AUTOINCREMENT,
    id            BLOB NOT NULL UNIQUE CHECK (length(id) = 20),
    org           TEXT NOT NULL,
    uid           TEXT,
    name          TEXT NOT NULL,
    throttle_rate INTEGER CHECK (throttle_rate BETWEEN 1 AND 65535),
    metadata      TEXT NOT NULL,
    options       TEXT NOT NULL,
    created_at    INTEGER NOT NULL,
    updated_at    INTEGER NOT NULL,
    revision      INTEGER NOT NULL,
    deleted_at    INTEGER
);
CREATE UNIQUE INDEX app_uid ON app (org, uid) WHERE uid IS NOT NULL AND deleted_at IS NULL;
CREATE INDEX app_org ON app (org, id) WHERE deleted_at IS NULL;

CREATE TABLE event_type (
    org          TEXT NOT NULL,
    name         TEXT NOT NULL,
    description  TEXT NOT NULL,
    archived     INTEGER NOT NULL CHECK (archived IN (0, 1)),
    deprecated   INTEGER NOT NULL CHECK (deprecated IN (0, 1)),
    schemas      TEXT,
    feature_flag TEXT,
    group_name   TEXT,
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL,
    PRIMARY KEY (org, name)
) WITHOUT ROWID;

-- `user_info`, `headers` and `secrets` are sealed. `url` has no user info.
CREATE TABLE endpoint (
    key           INTEGER PRIMARY KEY AUTOINCREMENT,
    app           INTEGER NOT NULL REFERENCES app (key),
    id            BLOB NOT NULL UNIQUE CHECK (length(id) = 20),
    uid           TEXT,
    url           TEXT NOT NULL,
    user_info     BLOB,
    description   TEXT NOT NULL,
    disabled      TEXT CHECK (disabled IN ('asked', 'failing', 'gone')),
    event_types   TEXT,
    channels      TEXT,
    throttle_rate INTEGER CHECK (throttle_rate BETWEEN 1 AND 65535),
    version       INTEGER NOT NULL,
    metadata      TEXT NOT NULL,
    headers       BLOB,
    secrets       BLOB NOT NULL,
    options       TEXT NOT NULL,
    failing_since INTEGER,
    created_at    INTEGER NOT NULL,
    updated_at    INTEGER NOT NULL,
    revision      INTEGER NOT NULL,
    deleted_at    INTEGER
);
CREATE UNIQUE INDEX endpoint_uid ON endpoint (app, uid) WHERE uid IS NOT NULL AND deleted_at IS NULL;
CREATE INDEX endpoint_app ON endpoint (app, id);

-- `payload` is last: what does not need it never reads its pages. `expires_hour` is null when it is gone.
CREATE TABLE message (
    key          INTEGER PRIMARY KEY,
    tail         BLOB NOT NULL CHECK (length(tail) = 12),
    app          INTEGER NOT NULL,
    event_type   TEXT NOT NULL,
    event_id     TEXT,
    channels     TEXT,
    order_key    TEXT,
    created_at   INTEGER NOT NULL,
    expires_hour INTEGER,
    payload      BLOB,
    CHECK ((expires_hour IS NULL) = (payload IS NULL))
);
CREATE INDEX message_app ON message (app);
CREATE UNIQUE INDEX message_event_id ON message (app, event_id) WHERE event_id IS NOT NULL;
CREATE INDEX message_expiry ON message (expires_hour) WHERE expires_hour IS NOT NULL;

-- state: 0 waiting, 1 sending (leased), 2 delivered, 3 failed, 4 cancelled, 5 held (an earlier one of its order key is
-- open). queue: 0 first try, 1 a further one. trigger: 0 scheduled, 1 manual. A manual try that fails goes back to
-- resume_state and resume_due; `again` asks for a manual try after the one that is on the wire.
CREATE TABLE delivery (
    endpoint     INTEGER NOT NULL,
    message      INTEGER NOT NULL,
    app          INTEGER NOT NULL,
    state        INTEGER NOT NULL CHECK (state BETWEEN 0 AND 5),
    queue        INTEGER NOT NULL CHECK (queue IN (0, 1)),
    due_at       INTEGER,
    tries        INTEGER NOT NULL,
    trigger      INTEGER NOT NULL CHECK (trigger IN (0, 1)),
    lease        INTEGER,
    resume_state INTEGER,
    resume_due   INTEGER,
    again        INTEGER NOT NULL DEFAULT 0 CHECK (again IN (0, 1)),
    order_key    TEXT,
    PRIMARY KEY (endpoint, message),
    CHECK ((state IN (0, 1)) = (due_at IS NOT NULL)),
    CHECK ((state = 1) = (lease IS NOT NULL))
) WITHOUT ROWID;
CREATE INDEX delivery_open ON delivery (endpoint, queue, due_at) WHERE state IN (0, 1);
CREATE INDEX delivery_order ON delivery (endpoint, order_key, message) WHERE order_key IS NOT NULL AND state IN (0, 1, 5);

-- status: 0 success, 2 fail.
CREATE TABLE attempt (
    key             INTEGER PRIMARY KEY,
    tail            BLOB NOT NULL CHECK (length(tail) = 12),
    app             INTEGER NOT NULL,
    endpoint        INTEGER NOT NULL,
    message         INTEGER NOT NULL,
    at              INTEGER NOT NULL,
    status          INTEGER NOT NULL CHECK (status IN (0, 2)),
    trigger         INTEGER NOT NULL CHECK (trigger IN (0, 1)),
    response_status INTEGER NOT NULL,
    duration_ms     INTEGER NOT NULL,
    reason          TEXT,
    url             TEXT NOT NULL,
    response        TEXT NOT NULL
);
CREATE INDEX attempt_endpoint ON attempt (endpoint, key, status);
CREATE INDEX attempt_message ON attempt (message);

-- What a repeated request is answered with: a message, or a kept answer.
CREATE TABLE idempotency (
    n       INTEGER PRIMARY KEY,
    hash    BLOB NOT NULL UNIQUE,
    at      INTEGER NOT NULL,
    message INTEGER,
    status  INTEGER,
    body    BLOB,
    CHECK ((message IS NULL) = (status IS NOT NULL))
);

CREATE TABLE task (
    id         BLOB PRIMARY KEY CHECK (length(id) = 20),
    app        INTEGER NOT NULL,
    endpoint   INTEGER NOT NULL,
    kind       TEXT NOT NULL,
    status     TEXT NOT NULL CHECK (status IN ('running', 'finished', 'failed')),
    since      INTEGER NOT NULL,
    until      INTEGER NOT NULL,
    position   INTEGER NOT NULL,
    sent       INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX task_running ON task (status) WHERE status = 'running';
