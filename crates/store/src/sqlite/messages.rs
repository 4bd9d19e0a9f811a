//! Messages as lists and pages show them; and the door to all of what happened, which hands on to its neighbours for
//! attempts and kept answers.

use super::{
    Sqlite, answers, attempts, failed,
    rows::{Keyed, Walk, col, execute, exists, first, message_by_key},
};
use crate::{
    error::StoreError,
    views::{
        Answer, AttemptFilter, AttemptedDestination, AttemptedMessage, AttemptsOf, DeliveryFilter, Log, MessageFilter,
        Stats,
    },
};
use async_trait::async_trait;
use domain::{
    AppKey, Attempt, AttemptId, Channel, EndpointRef, IdOrUid, IdRange, Ksuid, Message, MessageId, PageOf, PageQuery,
    Pick, Timestamp,
};
use rusqlite::{Connection, Row, params};
use std::collections::BTreeSet;

macro_rules! list {
    ($order:literal) => {
        concat!(
            "SELECT m.key, m.event_type, m.channels FROM message m INDEXED BY message_app
             WHERE m.app = ?1 AND m.key >= ?2 AND m.key < ?3 AND ?4 IS NULL ORDER BY m.key ",
            $order
        )
    };
}

/// The same of those with a tag, found by it.
macro_rules! tagged {
    ($order:literal) => {
        concat!(
            "SELECT m.key, m.event_type, m.channels FROM message_tag t CROSS JOIN message m ON m.key = t.message
             WHERE t.app = ?1 AND t.message >= ?2 AND t.message < ?3 AND t.tag = ?4 ORDER BY t.message ",
            $order
        )
    };
}

macro_rules! deliveries {
    ($order:literal) => {
        concat!(
            "SELECT message, app, state, due_at FROM delivery
             WHERE endpoint = ?1 AND message >= ?2 AND message < ?3 AND ?4 IS NULL AND app = ?5 ORDER BY message ",
            $order
        )
    };
}
macro_rules! tagged_deliveries {
    ($order:literal) => {
        concat!(
            "SELECT d.message, d.app, d.state, d.due_at FROM message_tag t
             CROSS JOIN delivery d ON d.endpoint = ?1 AND d.message = t.message
             WHERE t.app = ?5 AND t.message >= ?2 AND t.message < ?3 AND t.tag = ?4 ORDER BY t.message ",
            $order
        )
    };
}

const NEWEST: &str = list!("DESC");
const OLDEST: &str = list!("ASC");
const NEWEST_TAGGED: &str = tagged!("DESC");
const OLDEST_TAGGED: &str = tagged!("ASC");
const NEWEST_TO: &str = deliveries!("DESC");
const OLDEST_TO: &str = deliveries!("ASC");
const NEWEST_TAGGED_TO: &str = tagged_deliveries!("DESC");
const OLDEST_TAGGED_TO: &str = tagged_deliveries!("ASC");
const HAS_TAG: &str = "SELECT 1 FROM message_tag INDEXED BY message_tag_message WHERE message = ?1 AND tag = ?2";
const TRAITS: &str = "SELECT event_type, channels FROM message WHERE key = ?1";
const BY_ID: &str = "SELECT key FROM message WHERE key = ?1 AND tail = ?2 AND app = ?3";
const BY_EVENT_ID: &str = "SELECT key FROM message WHERE app = ?1 AND event_id = ?2 AND event_id IS NOT NULL";

/// No character of a channel is written differently in JSON, so its quoted name is in the text of a list exactly if the
/// channel is in the list.
fn quoted(channel: &Channel) -> String {
    format!("\"{channel}\"")
}

/// A [`MessageFilter`] made ready to be held against rows.
pub(super) struct Sieve {
    event_types: Option<BTreeSet<String>>,
    channel: Option<String>,
    within: Option<Vec<String>>,
    tag: Option<String>,
}

impl Sieve {
    pub(super) fn new(filter: &MessageFilter) -> Self {
        Self {
            event_types: filter.event_types.as_ref().map(|types| types.iter().map(|t| t.as_str().to_owned()).collect()),
            channel: filter.channel.as_ref().map(quoted),
            within: filter.within.as_ref().map(|w| w.channels().iter().map(quoted).collect()),
            tag: filter.tag.as_ref().map(|t| t.as_str().to_owned()),
        }
    }

    /// Reads the messages of an application (1) with keys in a range (2, 3) from one end: key, event type, channels. Where a
    /// tag is asked for (4), only those with it; the rest of the sieve is to be held against them.
    pub(super) fn messages(&self, pick: Pick) -> &'static str {
        match (&self.tag, pick) {
            (None, Pick::Newest) => NEWEST,
            (None, Pick::Oldest) => OLDEST,
            (Some(_), Pick::Newest) => NEWEST_TAGGED,
            (Some(_), Pick::Oldest) => OLDEST_TAGGED,
        }
    }

    /// Reads the deliveries to an endpoint (1) of such messages (2, 3, 4), of an application (5): message, application,
    /// state, when it is due.
    pub(super) fn deliveries(&self, pick: Pick) -> &'static str {
        match (&self.tag, pick) {
            (None, Pick::Newest) => NEWEST_TO,
            (None, Pick::Oldest) => OLDEST_TO,
            (Some(_), Pick::Newest) => NEWEST_TAGGED_TO,
            (Some(_), Pick::Oldest) => OLDEST_TAGGED_TO,
        }
    }

    /// The event type, if it is one that is asked for.
    pub(super) fn only_type(&self) -> Option<&str> {
        let types = self.event_types.as_ref()?;
        types.first().filter(|_| types.len() == 1).map(String::as_str)
    }

    pub(super) fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// Whether a row with event type and channels in these columns passes; its tags are not looked at.
    pub(super) fn passes(&self, row: &Row<'_>, event_type: usize, channels: usize) -> Result<bool, StoreError> {
        if let Some(types) = &self.event_types {
            let value = row.get_ref(event_type).map_err(failed)?;
            if !types.contains(value.as_str().map_err(|e| failed(e.into()))?) {
                return Ok(false);
            }
        }
        if self.channel.is_none() && self.within.is_none() {
            return Ok(true);
        }
        let value = row.get_ref(channels).map_err(failed)?;
        let Some(list) = value.as_str_or_null().map_err(|e| failed(e.into()))? else { return Ok(false) };
        Ok(self.channel.as_ref().is_none_or(|channel| list.contains(channel))
            && self.within.as_ref().is_none_or(|within| within.iter().any(|channel| list.contains(channel))))
    }

    /// Whether the message with this key passes; one that is gone passes only where nothing is asked of it.
    pub(super) fn passes_key(&self, conn: &Connection, key: i64) -> Result<bool, StoreError> {
        if let Some(tag) = &self.tag
            && !exists(conn, HAS_TAG, params![key, tag])?
        {
            return Ok(false);
        }
        if self.event_types.is_none() && self.channel.is_none() && self.within.is_none() {
            return Ok(true);
        }
        Ok(first(conn, TRAITS, [key], |row| self.passes(row, 0, 1))?.unwrap_or(false))
    }
}

/// Whether the application has this very message.
pub(super) fn is_there(conn: &Connection, app: AppKey, id: MessageId) -> Result<bool, StoreError> {
    exists(conn, BY_ID, params![id.0.head(), id.0.tail(), app.0])
}

/// A message with what its payload weighs in a page.
pub(super) fn weighed(message: Message) -> (Message, usize) {
    let weight = message.payload.as_ref().map_or(0, |p| p.len());
    (message, weight)
}

#[async_trait]
impl Log for Sqlite {
    async fn messages(
        &self,
        app: AppKey,
        range: IdRange,
        filter: &MessageFilter,
        with_payload: bool,
    ) -> Result<PageOf<Message>, StoreError> {
        let sieve = Sieve::new(filter);
        self.walk(Keyed::Message, range, move |conn, walk: &mut Walk<Message>| {
            let mut statement = conn.prepare_cached(sieve.messages(walk.pick)).map_err(failed)?;
            let window = params![app.0, walk.left.start, walk.left.end, sieve.tag()];
            let rows = statement.query(window).map_err(failed)?;
            // The open query holds one state of the database, so a row seen is a row found.
            walk.over(rows, |row| {
                if !sieve.passes(row, 1, 2)? {
                    return Ok(None);
                }
                let found = message_by_key(conn, col(row, 0)?, with_payload)?;
                Ok(found.map(weighed))
            })
        })
        .await
    }

    async fn message(
        &self,
        app: AppKey,
        which: &IdOrUid<MessageId>,
        with_payload: bool,
    ) -> Result<Option<Message>, StoreError> {
        let which = which.clone();
        self.read(move |conn| {
            let key = |row: &Row<'_>| col::<i64>(row, 0);
            let found = match &which {
                IdOrUid::Id(id) => first(conn, BY_ID, params![id.0.head(), id.0.tail(), app.0], key),
                IdOrUid::Uid(event_id) => first(conn, BY_EVENT_ID, params![app.0, event_id], key),
            };
            match found? {
                Some(key) => message_by_key(conn, key, with_payload),
                None => Ok(None),
            }
        })
        .await
    }

    async fn expunge_payload(&self, app: AppKey, message: MessageId) -> Result<(), StoreError> {
        let id = message.0;
        self.write(move |tx| {
            let sql = "UPDATE message SET payload = NULL, expires_hour = NULL
                       WHERE key = ?1 AND tail = ?2 AND app = ?3";
            match execute(tx.conn, sql, params![id.head(), id.tail(), app.0]).map_err(failed)? {
                0 => Err(StoreError::NotFound),
                _ => Ok(()),
            }
        })
        .await
    }

    async fn attempts(
        &self,
        of: AttemptsOf,
        range: IdRange,
        filter: &AttemptFilter,
        with_content: bool,
    ) -> Result<PageOf<Attempt>, StoreError> {
        attempts::list(self, of, range, filter, with_content).await
    }

    async fn attempt(
        &self,
        app: AppKey,
        message: MessageId,
        attempt: AttemptId,
    ) -> Result<Option<Attempt>, StoreError> {
        self.read(move |conn| attempts::one(conn, app, message, attempt)).await
    }

    async fn expunge_attempt(&self, app: AppKey, message: MessageId, attempt: AttemptId) -> Result<(), StoreError> {
        self.write(move |tx| attempts::expunge(tx.conn, app, message, attempt)).await
    }

    async fn attempted_messages(
        &self,
        to: EndpointRef,
        range: IdRange,
        filter: &DeliveryFilter,
        with_payload: bool,
    ) -> Result<PageOf<AttemptedMessage>, StoreError> {
        attempts::messages_to(self, to, range, filter, with_payload).await
    }

    async fn attempted_destinations(
        &self,
        app: AppKey,
        message: MessageId,
        page: PageQuery<Ksuid>,
    ) -> Result<PageOf<AttemptedDestination>, StoreError> {
        let sealer = self.sealer.clone();
        self.read(move |conn| attempts::destinations(conn, &sealer, app, message, page)).await
    }

    async fn endpoint_stats(&self, to: EndpointRef, from: Ksuid, until: Ksuid) -> Result<Stats, StoreError> {
        attempts::stats(self, to, from, until).await
    }

    async fn kept_answer(&self, hash: [u8; 32], not_before: Timestamp) -> Result<Option<Answer>, StoreError> {
        let sealer = self.sealer.clone();
        self.read(move |conn| answers::kept(conn, &sealer, &hash, not_before)).await
    }

    async fn keep_answer(&self, hash: [u8; 32], answer: Answer, now: Timestamp) -> Result<(), StoreError> {
        let sealer = self.sealer.clone();
        self.write(move |tx| answers::keep(tx.conn, &sealer, &hash, &answer, now)).await
    }
}

#[cfg(test)]
mod tests {
    use super::{super::rows::assert_indexed, *};
    use crate::MainKey;
    use domain::EventTypeName;

    #[test]
    fn messages_are_found_by_key_and_index() {
        for sql in [NEWEST, OLDEST, NEWEST_TAGGED, OLDEST_TAGGED, HAS_TAG, TRAITS, BY_ID, BY_EVENT_ID] {
            assert_indexed(sql);
        }
        for sql in [NEWEST_TO, OLDEST_TO, NEWEST_TAGGED_TO, OLDEST_TAGGED_TO] {
            assert_indexed(sql);
        }
    }

    /// 250,000 messages with keys from 1; those with keys in `rare` are of the type `rare`.
    async fn many_messages(folder: &std::path::Path, rare: &'static str) -> Sqlite {
        let (store, _) = Sqlite::open(&folder.join("many.db"), &MainKey::generate()).unwrap();
        let sql = format!(
            "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 250000)
             INSERT INTO message (key, tail, app, event_type, created_at)
             SELECT n, zeroblob(12), 1, iif(n IN ({rare}), 'rare', 'common'), 0 FROM n"
        );
        store.write(move |tx| tx.conn.execute_batch(&sql).map_err(failed)).await.unwrap();
        store
    }

    async fn rare_ones(store: &Sqlite, until: i64, limit: usize) -> (Vec<i64>, bool) {
        let range = IdRange { from: Ksuid::MIN, until: Ksuid::from_parts(until, [0; 12]), pick: Pick::Newest, limit };
        let rare = MessageFilter {
            event_types: Some([EventTypeName::new("rare").unwrap()].into()),
            ..MessageFilter::default()
        };
        let page = store.messages(AppKey(1), range, &rare, false).await.unwrap();
        (page.items.iter().map(|m| m.meta.id.0.head()).collect(), page.more)
    }

    #[tokio::test]
    async fn a_rare_match_is_found_however_far_and_a_page_that_has_something_does_not_look_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let store = many_messages(folder.path(), "2, 149000, 149001").await;
        assert_eq!(rare_ones(&store, i64::MAX, 1).await, (vec![149_001], true));
        // 101,000 are looked at before the first match and make the walk long enough.
        assert_eq!(rare_ones(&store, i64::MAX, 10).await, (vec![149_001, 149_000], true));
        assert_eq!(rare_ones(&store, 149_000, 10).await, (vec![2], false));
        assert_eq!(rare_ones(&store, 2, 10).await, (vec![], false));
    }
}
