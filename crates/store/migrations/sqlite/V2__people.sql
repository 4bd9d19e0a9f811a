-- Who comes in, what was done by whom, and what the operator is told. Tokens of sessions and invitations are kept as
-- hashes only.

CREATE TABLE person (
    id         BLOB PRIMARY KEY CHECK (length(id) = 20),
    org        TEXT NOT NULL,
    email      TEXT NOT NULL,
    name       TEXT NOT NULL,
    password   TEXT,
    issuer     TEXT,
    subject    TEXT,
    operator   INTEGER NOT NULL CHECK (operator IN (0, 1)),
    disabled   INTEGER NOT NULL CHECK (disabled IN (0, 1)),
    created_at INTEGER NOT NULL,
    CHECK ((issuer IS NULL) = (subject IS NULL))
) WITHOUT ROWID;
CREATE UNIQUE INDEX person_email ON person (email);
CREATE UNIQUE INDEX person_subject ON person (issuer, subject) WHERE subject IS NOT NULL;
CREATE INDEX person_org ON person (org, id);

CREATE TABLE membership (
    person BLOB NOT NULL,
    app    BLOB NOT NULL CHECK (length(app) = 20),
    role   TEXT NOT NULL CHECK (role IN ('owner', 'assistant', 'viewer')),
    PRIMARY KEY (person, app)
) WITHOUT ROWID;
CREATE INDEX membership_app ON membership (app, person);

-- `app` is null for operators.
CREATE TABLE invitation (
    hash       BLOB PRIMARY KEY CHECK (length(hash) = 32),
    id         BLOB NOT NULL UNIQUE CHECK (length(id) = 20),
    org        TEXT NOT NULL,
    app        BLOB,
    role       TEXT CHECK (role IN ('owner', 'assistant', 'viewer')),
    for_whom   TEXT NOT NULL,
    invited_by TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    CHECK ((app IS NULL) = (role IS NULL))
) WITHOUT ROWID;
CREATE INDEX invitation_org ON invitation (org, id);
CREATE INDEX invitation_app ON invitation (app) WHERE app IS NOT NULL;
CREATE INDEX invitation_expiry ON invitation (expires_at);

-- `standing` is what the session may do, in words of `service`; only sessions of users have a person.
CREATE TABLE session (
    hash       BLOB PRIMARY KEY CHECK (length(hash) = 32),
    org        TEXT NOT NULL,
    person     BLOB,
    standing   TEXT NOT NULL,
    since      INTEGER NOT NULL,
    seen       INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    notice     TEXT,
    notice_bad INTEGER NOT NULL DEFAULT 0 CHECK (notice_bad IN (0, 1))
) WITHOUT ROWID;
CREATE INDEX session_person ON session (person) WHERE person IS NOT NULL;
CREATE INDEX session_expiry ON session (expires_at);

CREATE TABLE audit (
    id         BLOB PRIMARY KEY CHECK (length(id) = 20),
    org        TEXT NOT NULL,
    app        BLOB,
    at         INTEGER NOT NULL,
    actor_kind TEXT NOT NULL CHECK (actor_kind IN ('user', 'link', 'token', 'application', 'tool', 'guest')),
    actor      TEXT NOT NULL,
    action     TEXT NOT NULL,
    object     TEXT NOT NULL,
    detail     TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX audit_org ON audit (org, id);
CREATE INDEX audit_app ON audit (org, app, id) WHERE app IS NOT NULL;

-- One open alert per endpoint and kind.
CREATE TABLE alert (
    id           BLOB PRIMARY KEY CHECK (length(id) = 20),
    org          TEXT NOT NULL,
    app          BLOB NOT NULL,
    endpoint     BLOB NOT NULL,
    kind         TEXT NOT NULL CHECK (kind IN ('endpoint_disabled', 'attempt_failing', 'attempt_exhausted')),
    first_at     INTEGER NOT NULL,
    last_at      INTEGER NOT NULL,
    dismissed_at INTEGER
) WITHOUT ROWID;
CREATE UNIQUE INDEX alert_open ON alert (endpoint, kind) WHERE dismissed_at IS NULL;
CREATE INDEX alert_org ON alert (org, id);
CREATE INDEX alert_app ON alert (app) WHERE dismissed_at IS NULL;
CREATE INDEX alert_age ON alert (last_at);
