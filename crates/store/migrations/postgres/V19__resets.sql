-- Links with which people choose a new password, as hashes; one for each of them at most.
CREATE TABLE password_reset (
    person     BYTEA PRIMARY KEY CHECK (length(person) = 20),
    hash       BYTEA NOT NULL UNIQUE CHECK (length(hash) = 32),
    expires_at BIGINT NOT NULL
);
CREATE INDEX password_reset_expiry ON password_reset (expires_at);
