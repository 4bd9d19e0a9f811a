//! Advisory locks of a transaction, for what no row stands for yet. Taken at its beginning and in order, so that two
//! nodes never wait for each other.

use super::connect::Conn;
use crate::{error::StoreError, queue::IdempotencyHash};
use domain::EndpointRef;

const TAKE: &str = "SELECT pg_advisory_xact_lock(k) FROM unnest($1::bigint[]) AS k";

/// Bringing the tables up to date; held by a session.
pub(super) const MIGRATION: i64 = 0x5c00_0001;
/// Making and dropping partitions.
pub(super) const PARTITIONS: i64 = 0x5c00_0002;
/// Retention.
pub(super) const PURGE: i64 = 0x5c00_0003;
/// Registering nodes.
pub(super) const NODES: i64 = 0x5c00_0004;

/// The high byte of a number says what kind of thing it stands for.
const ENDPOINT: i64 = 0x11 << 56;
const HASH: i64 = 0x12 << 56;
const LOW: i64 = (1 << 56) - 1;

/// What waits in order at an endpoint, and background tasks that look for what was never sent there.
pub(super) fn of_endpoint(to: EndpointRef) -> i64 {
    ENDPOINT | (to.endpoint.0 & LOW)
}

/// A repeated request. Two that share a lock by chance only wait for each other.
pub(super) fn of_hash(hash: &IdempotencyHash) -> i64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&hash[..8]);
    HASH | (i64::from_be_bytes(bytes) & LOW)
}

/// Takes them all, each once.
pub(super) async fn take(conn: &Conn, mut locks: Vec<i64>) -> Result<(), StoreError> {
    locks.sort_unstable();
    locks.dedup();
    if !locks.is_empty() {
        conn.all(TAKE, &[&locks]).await?;
    }
    Ok(())
}
