-- What happened, counted by the hour (since the Unix epoch), so that charts and searches need not read all of it. Written in
-- the background, some minutes after the rows that it counts; nothing of it is needed to deliver.
--
-- Up to which key of `attempt` and `message` all is counted, moved in the commit that counts. Whoever counts locks its row.
CREATE TABLE counted (what TEXT PRIMARY KEY CHECK (what IN ('attempts', 'messages')), key BIGINT NOT NULL);
INSERT INTO counted (what, key) VALUES ('attempts', 0), ('messages', 0);

-- Attempts to an endpoint by event type; '' stands for all of them together. `took` is how long successes took.
CREATE TABLE attempt_hour (
    app        BIGINT NOT NULL,
    endpoint   BIGINT NOT NULL,
    event_type TEXT COLLATE "C" NOT NULL,
    hour       BIGINT NOT NULL,
    delivered  BIGINT NOT NULL,
    failed     BIGINT NOT NULL,
    took       BYTEA NOT NULL,
    PRIMARY KEY (app, endpoint, event_type, hour)
);
CREATE INDEX attempt_hour_old ON attempt_hour (hour);

-- Messages of an application by event type: their keys, eight bytes each, where they are few.
CREATE TABLE message_hour (
    app        BIGINT NOT NULL,
    event_type TEXT COLLATE "C" NOT NULL,
    hour       BIGINT NOT NULL,
    keys       BYTEA,
    PRIMARY KEY (app, event_type, hour)
);
CREATE INDEX message_hour_old ON message_hour (hour);

-- To find what came since, whosever it is: both tables grow at their end, so what lies between two keys is on a few
-- neighbouring pages. An index of ranges of pages says which, and costs a new row next to nothing.
CREATE INDEX attempt_key ON attempt USING brin (key) WITH (pages_per_range = 32, autosummarize = on);
CREATE INDEX message_key ON message USING brin (key) WITH (pages_per_range = 32, autosummarize = on);
