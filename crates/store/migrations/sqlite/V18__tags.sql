-- What messages are found by, of those that have tags: the others are not in here, and cost nothing.
CREATE TABLE message_tag (
    app     INTEGER NOT NULL,
    tag     TEXT NOT NULL,
    message INTEGER NOT NULL,
    PRIMARY KEY (app, tag, message)
) WITHOUT ROWID;
CREATE INDEX message_tag_message ON message_tag (message);
