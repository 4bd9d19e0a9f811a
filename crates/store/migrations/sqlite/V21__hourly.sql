-- What happened, counted by the hour (since the Unix epoch), so that charts and searches need not read all of it. Written in
-- the background, some minutes after the rows that it counts; nothing of it is needed to deliver.
--
-- Up to which key of `attempt` and `message` all is counted, moved in the commit that counts.
CREATE TABLE counted (what TEXT PRIMARY KEY CHECK (what IN ('attempts', 'messages')), key INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO counted (what, key) VALUES ('attempts', 0), ('messages', 0);

-- Attempts to an endpoint by event type; '' stands for all of them together. `took` is how long successes took.
CREATE TABLE attempt_hour (
    app        INTEGER NOT NULL,
    endpoint   INTEGER NOT NULL,
    event_type TEXT NOT NULL,
    hour       INTEGER NOT NULL,
    delivered  INTEGER NOT NULL,
    failed     INTEGER NOT NULL,
    took       BLOB NOT NULL,
    PRIMARY KEY (app, endpoint, event_type, hour)
) WITHOUT ROWID;
CREATE INDEX attempt_hour_old ON attempt_hour (hour);

-- Messages of an application by event type: their keys, eight bytes each, where they are few.
CREATE TABLE message_hour (
    app        INTEGER NOT NULL,
    event_type TEXT NOT NULL,
    hour       INTEGER NOT NULL,
    keys       BLOB,
    PRIMARY KEY (app, event_type, hour)
) WITHOUT ROWID;
CREATE INDEX message_hour_old ON message_hour (hour);
