-- What messages are found by, of those that have tags: the others are not in here, and cost nothing.
CREATE TABLE message_tag (
    app     BIGINT NOT NULL,
    tag     TEXT COLLATE "C" NOT NULL,
    message BIGINT NOT NULL,
    PRIMARY KEY (app, tag, message)
);
CREATE INDEX message_tag_message ON message_tag (message);
