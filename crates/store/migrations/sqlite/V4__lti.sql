-- Tools of Canvas: what an application is called as a root account, keys of vendors, installed tools, invitations to
-- register, and the ids of assertions that were used. `secret` and `password` are sealed.

CREATE TABLE lti_account (
    app       INTEGER PRIMARY KEY REFERENCES app (key),
    uuid      TEXT NOT NULL,
    global_id INTEGER NOT NULL,
    guid      TEXT NOT NULL,
    platform  TEXT
);

CREATE TABLE lti_developer_key (
    id           INTEGER PRIMARY KEY,
    app          INTEGER NOT NULL REFERENCES app (key),
    name         TEXT NOT NULL,
    secret       BLOB NOT NULL,
    active       INTEGER NOT NULL CHECK (active IN (0, 1)),
    capabilities TEXT NOT NULL,
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL
);
CREATE INDEX lti_developer_key_app ON lti_developer_key (app, created_at);

CREATE TABLE lti_tool (
    guid          TEXT PRIMARY KEY,
    app           INTEGER NOT NULL REFERENCES app (key),
    developer_key INTEGER,
    name          TEXT NOT NULL,
    secret        BLOB NOT NULL,
    split_secret  INTEGER NOT NULL CHECK (split_secret IN (0, 1)),
    capabilities  TEXT NOT NULL,
    services      TEXT NOT NULL,
    event_url     TEXT,
    state         TEXT NOT NULL CHECK (state IN ('active', 'disabled')),
    created_at    INTEGER NOT NULL,
    updated_at    INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX lti_tool_app ON lti_tool (app, created_at);

CREATE TABLE lti_registration (
    key        TEXT PRIMARY KEY,
    app        INTEGER NOT NULL REFERENCES app (key),
    password   BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX lti_registration_app ON lti_registration (app, created_at);

CREATE TABLE lti_nonce (
    subject TEXT NOT NULL,
    jti     TEXT NOT NULL,
    until   INTEGER NOT NULL,
    PRIMARY KEY (subject, jti)
) WITHOUT ROWID;
CREATE INDEX lti_nonce_until ON lti_nonce (until);
