-- Messages that were given up, by endpoint and hour (since the Unix epoch), for endpoints that are to be switched off after so
-- many in a day. One that goes well, or is for another endpoint, never touches this.
CREATE TABLE given_up (
    app      BIGINT NOT NULL,
    endpoint BIGINT NOT NULL,
    hour     BIGINT NOT NULL,
    timeouts BIGINT NOT NULL,
    errors   BIGINT NOT NULL,
    PRIMARY KEY (app, endpoint, hour)
);
