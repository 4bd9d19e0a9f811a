-- The keys that sign bodies, one row for each application that ever asked for it. Keys are sealed.
CREATE TABLE key_set (
    app        INTEGER PRIMARY KEY REFERENCES app (key),
    previous   BLOB,
    current    BLOB NOT NULL,
    next       BLOB NOT NULL,
    rotated_at INTEGER NOT NULL,
    revision   INTEGER NOT NULL CHECK (revision > 0)
);
CREATE INDEX key_set_rotated ON key_set (rotated_at);
