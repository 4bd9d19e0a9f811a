//! Sessions of people who are signed in.

use super::{
    failed, resets,
    rows::{col, corrupt, execute, first, ksuid},
};
use crate::{
    error::StoreError,
    people::{KeyHash, Notice, Session},
};
use domain::{Timestamp, UserId};
use rusqlite::{Connection, params};

const BY_HASH: &str =
    "SELECT org, person, standing, since, seen, expires_at, notice, notice_bad FROM session WHERE hash = ?1";
const COUNT: &str = "SELECT count(*) FROM session WHERE person = ?1 AND person IS NOT NULL AND expires_at > ?2";
const CLEAR: &str = "DELETE FROM session WHERE hash IN (SELECT hash FROM session WHERE expires_at <= ?1 LIMIT ?2)";
const CLEAR_INVITATIONS: &str =
    "DELETE FROM invitation WHERE hash IN (SELECT hash FROM invitation WHERE expires_at <= ?1 LIMIT ?2)";

pub(super) fn begin(conn: &Connection, new: &Session) -> Result<(), StoreError> {
    execute(
        conn,
        "INSERT INTO session (hash, org, person, standing, since, seen, expires_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            new.hash,
            new.organization.as_str(),
            new.user.map(|u| u.0.0.to_vec()),
            new.standing,
            new.since.as_micros(),
            new.seen.as_micros(),
            new.expires_at.as_micros(),
        ],
    )
    .map_err(failed)?;
    put_notice(conn, &new.hash, new.notice.as_ref())
}

pub(super) fn one(conn: &Connection, hash: &KeyHash) -> Result<Option<Session>, StoreError> {
    first(conn, BY_HASH, [hash], |row| {
        let organization: String = col(row, 0)?;
        let (notice, bad): (Option<String>, bool) = (col(row, 6)?, col(row, 7)?);
        Ok(Session {
            hash: *hash,
            organization: organization.parse().map_err(|e| corrupt("session", "org", "", e))?,
            user: col::<Option<[u8; 20]>>(row, 1)?.map(|id| UserId(ksuid(id))),
            standing: col(row, 2)?,
            since: Timestamp::from_micros(col(row, 3)?),
            seen: Timestamp::from_micros(col(row, 4)?),
            expires_at: Timestamp::from_micros(col(row, 5)?),
            notice: notice.map(|text| Notice { text, bad }),
        })
    })
}

pub(super) fn touch(conn: &Connection, hash: &KeyHash, seen: Timestamp) -> Result<(), StoreError> {
    execute(conn, "UPDATE session SET seen = ?2 WHERE hash = ?1", params![hash, seen.as_micros()]).map_err(failed)?;
    Ok(())
}

pub(super) fn put_notice(conn: &Connection, hash: &KeyHash, notice: Option<&Notice>) -> Result<(), StoreError> {
    let (text, bad) = (notice.map(|n| &n.text), notice.is_some_and(|n| n.bad));
    execute(conn, "UPDATE session SET notice = ?2, notice_bad = ?3 WHERE hash = ?1", params![hash, text, bad])
        .map_err(failed)?;
    Ok(())
}

pub(super) fn end(conn: &Connection, hash: &KeyHash) -> Result<(), StoreError> {
    execute(conn, "DELETE FROM session WHERE hash = ?1", [hash]).map_err(failed)?;
    Ok(())
}

pub(super) fn end_of(conn: &Connection, user: UserId, except: Option<&KeyHash>) -> Result<u64, StoreError> {
    // No hash has these two bytes only.
    let except = except.map_or(&[0, 0][..], |hash| &hash[..]);
    let sql = "DELETE FROM session WHERE person = ?1 AND person IS NOT NULL AND hash <> ?2";
    Ok(execute(conn, sql, params![&user.0.0[..], except]).map_err(failed)? as u64)
}

pub(super) fn count_of(conn: &Connection, user: UserId, now: Timestamp) -> Result<u64, StoreError> {
    let n: Option<i64> = first(conn, COUNT, params![&user.0.0[..], now.as_micros()], |row| col(row, 0))?;
    Ok(n.unwrap_or(0).unsigned_abs())
}

pub(super) fn clear(conn: &Connection, now: Timestamp, limit: usize) -> Result<u64, StoreError> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut cleared = 0;
    for sql in [CLEAR, CLEAR_INVITATIONS, resets::CLEAR] {
        cleared += execute(conn, sql, params![now.as_micros(), limit]).map_err(failed)? as u64;
    }
    Ok(cleared)
}

#[cfg(test)]
mod tests {
    use super::super::rows::assert_indexed;

    #[test]
    fn sessions_are_found_by_index() {
        for sql in [super::BY_HASH, super::COUNT, super::CLEAR, super::CLEAR_INVITATIONS] {
            assert_indexed(sql);
        }
    }
}
