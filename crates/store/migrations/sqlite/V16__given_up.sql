-- Messages that were given up, by endpoint and hour (since the Unix epoch), for endpoints that are to be switched off after so
-- many in a day. One that goes well, or is for another endpoint, never touches this.
CREATE TABLE given_up (
    app      INTEGER NOT NULL,
    endpoint INTEGER NOT NULL,
    hour     INTEGER NOT NULL,
    timeouts INTEGER NOT NULL,
    errors   INTEGER NOT NULL,
    PRIMARY KEY (app, endpoint, hour)
) WITHOUT ROWID;
