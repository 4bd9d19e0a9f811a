//! Messages as lists and pages show them; and the door to all of what happened, which hands on to its neighbours for
//! attempts and kept answers.

use super::{
    Postgres,
    rows::{self, Bounds, in_range, message_columns, tag_column},
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
use std::collections::HashMap;

/// Whether a message has one of these channels, or none was asked for.
macro_rules! within {
    ($channels:literal) => {
        concat!(
            "(",
            $channels,
            "::text[] IS NULL OR EXISTS (SELECT 1 FROM unnest(",
            $channels,
            "::text[]) AS w WHERE position(w IN m.channels) > 0))"
        )
    };
}
pub(super) use within;

/// Keys first, with what their payloads weigh: contents are read for one page only.
macro_rules! list {
    ($order:literal) => {
        concat!(
            "SELECT m.key, CASE WHEN $6 THEN octet_length(m.payload) END FROM message m WHERE m.app = $1 AND ",
            in_range!("m.key", "m.tail"),
            " AND ($7::text[] IS NULL OR m.event_type = ANY ($7))
              AND ($8::text IS NULL OR position($8 IN m.channels) > 0)
              AND ",
            within!("$10"),
            " AND $11::text IS NULL ORDER BY m.key ",
            $order,
            " LIMIT $9"
        )
    };
}

/// The same of those with a tag, found by it.
macro_rules! tagged {
    ($order:literal) => {
        concat!(
            "SELECT m.key, CASE WHEN $6 THEN octet_length(m.payload) END
            FROM message_tag t JOIN message m ON m.app = $1 AND m.key = t.message
            WHERE t.app = $1 AND t.tag = $11 AND t.message >= $2 AND t.message <= $4 AND ",
            in_range!("m.key", "m.tail"),
            " AND ($7::text[] IS NULL OR m.event_type = ANY ($7))
              AND ($8::text IS NULL OR position($8 IN m.channels) > 0)
              AND ",
            within!("$10"),
            " ORDER BY t.message ",
            $order,
            " LIMIT $9"
        )
    };
}

const NEWEST: &str = list!("DESC");
const OLDEST: &str = list!("ASC");
const NEWEST_TAGGED: &str = tagged!("DESC");
const OLDEST_TAGGED: &str = tagged!("ASC");
const WHOLE: &str = concat!(
    "SELECT ",
    message_columns!(),
    ", m.payload, ",
    tag_column!(),
    " FROM message m WHERE m.app = $1 AND m.key = ANY ($2::bigint[])"
);
const WITHOUT_PAYLOAD: &str = concat!(
    "SELECT ",
    message_columns!(),
    ", NULL, ",
    tag_column!(),
    " FROM message m WHERE m.app = $1 AND m.key = ANY ($2::bigint[])"
);
const BY_ID: &str = "SELECT key FROM message WHERE app = $1 AND key = $2 AND tail = $3";
const BY_EVENT_ID: &str = "SELECT message FROM event_id WHERE app = $1 AND event_id = $2";
const EXPUNGE: &str = "UPDATE message SET payload = NULL, expires_hour = NULL
    WHERE app = $1 AND key = $2 AND tail = $3";

/// A [`MessageFilter`] as values of a query.
pub(super) struct Sieve {
    pub(super) event_types: Option<Vec<String>>,
    /// No character of a channel is written differently in JSON, so its quoted name is in the text of a list exactly if
    /// the channel is in the list.
    pub(super) channel: Option<String>,
    pub(super) tag: Option<String>,
    /// The same for those of which one is enough.
    pub(super) within: Option<Vec<String>>,
}

fn quoted(channel: &Channel) -> String {
    format!("\"{channel}\"")
}

impl Sieve {
    pub(super) fn new(filter: &MessageFilter) -> Self {
        Self {
            event_types: filter.event_types.as_ref().map(|types| types.iter().map(|t| t.as_str().to_owned()).collect()),
            tag: filter.tag.as_ref().map(|t| t.as_str().to_owned()),
            channel: filter.channel.as_ref().map(quoted),
            within: filter.within.as_ref().map(|w| w.channels().iter().map(quoted).collect()),
        }
    }

    /// The event type, if it is one that is asked for.
    pub(super) fn only_type(&self) -> Option<&str> {
        match self.event_types.as_deref() {
            Some([only]) => Some(only),
            _ => None,
        }
    }
}

impl Postgres {
    /// Whether the application has this very message.
    pub(super) async fn has_message(&self, app: AppKey, id: MessageId) -> Result<bool, StoreError> {
        Ok(self.pool.read_first(BY_ID, &[&app.0, &id.0.head(), &&id.0.tail()[..]]).await?.is_some())
    }

    /// Messages by their keys, in the order of the keys given.
    pub(super) async fn messages_by_key(
        &self,
        app: AppKey,
        keys: &[i64],
        with_payload: bool,
    ) -> Result<Vec<Message>, StoreError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let sql = if with_payload { WHOLE } else { WITHOUT_PAYLOAD };
        let found = self.pool.read(sql, &[&app.0, &keys]).await?;
        let mut by_key = HashMap::with_capacity(found.len());
        for row in &found {
            let mut message = rows::message(row, with_payload)?;
            message.meta.tags = rows::tags(row, 9)?;
            by_key.insert(rows::col::<i64>(row, 0)?, message);
        }
        Ok(keys.iter().filter_map(|key| by_key.remove(key)).collect())
    }
}

#[async_trait]
impl Log for Postgres {
    async fn messages(
        &self,
        app: AppKey,
        range: IdRange,
        filter: &MessageFilter,
        with_payload: bool,
    ) -> Result<PageOf<Message>, StoreError> {
        let (bounds, sieve) = (Bounds::of(&range), Sieve::new(filter));
        let sql = match (&sieve.tag, range.pick) {
            (None, Pick::Newest) => NEWEST,
            (None, Pick::Oldest) => OLDEST,
            (Some(_), Pick::Newest) => NEWEST_TAGGED,
            (Some(_), Pick::Oldest) => OLDEST_TAGGED,
        };
        let found = self
            .pool
            .read(
                sql,
                &[
                    &app.0,
                    &bounds.from,
                    &&bounds.from_tail[..],
                    &bounds.until,
                    &&bounds.until_tail[..],
                    &with_payload,
                    &sieve.event_types,
                    &sieve.channel,
                    &bounds.rows,
                    &sieve.within,
                    &sieve.tag,
                ],
            )
            .await?;
        let weighed = found
            .iter()
            .map(|row| Ok((rows::col(row, 0)?, i64::from(rows::col::<Option<i32>>(row, 1)?.unwrap_or(0)))))
            .collect::<Result<Vec<(i64, i64)>, StoreError>>()?;
        let (keys, more) = bounds.cut(weighed);
        Ok(bounds.page(self.messages_by_key(app, &keys, with_payload).await?, more))
    }

    async fn message(
        &self,
        app: AppKey,
        which: &IdOrUid<MessageId>,
        with_payload: bool,
    ) -> Result<Option<Message>, StoreError> {
        let found = match which {
            IdOrUid::Id(id) => self.pool.read_first(BY_ID, &[&app.0, &id.0.head(), &&id.0.tail()[..]]).await?,
            IdOrUid::Uid(event_id) => self.pool.read_first(BY_EVENT_ID, &[&app.0, &rows::text(event_id)]).await?,
        };
        match found {
            Some(row) => Ok(self.messages_by_key(app, &[rows::col(&row, 0)?], with_payload).await?.pop()),
            None => Ok(None),
        }
    }

    async fn expunge_payload(&self, app: AppKey, message: MessageId) -> Result<(), StoreError> {
        let id = message.0;
        match self.pool.execute(EXPUNGE, &[&app.0, &id.head(), &&id.tail()[..]]).await? {
            0 => Err(StoreError::NotFound),
            _ => Ok(()),
        }
    }

    async fn attempts(
        &self,
        of: AttemptsOf,
        range: IdRange,
        filter: &AttemptFilter,
        with_content: bool,
    ) -> Result<PageOf<Attempt>, StoreError> {
        self.list_attempts(of, range, filter, with_content).await
    }

    async fn attempt(
        &self,
        app: AppKey,
        message: MessageId,
        attempt: AttemptId,
    ) -> Result<Option<Attempt>, StoreError> {
        self.one_attempt(app, message, attempt).await
    }

    async fn expunge_attempt(&self, app: AppKey, message: MessageId, attempt: AttemptId) -> Result<(), StoreError> {
        self.expunge_response(app, message, attempt).await
    }

    async fn attempted_messages(
        &self,
        to: EndpointRef,
        range: IdRange,
        filter: &DeliveryFilter,
        with_payload: bool,
    ) -> Result<PageOf<AttemptedMessage>, StoreError> {
        self.list_attempted_messages(to, range, filter, with_payload).await
    }

    async fn attempted_destinations(
        &self,
        app: AppKey,
        message: MessageId,
        page: PageQuery<Ksuid>,
    ) -> Result<PageOf<AttemptedDestination>, StoreError> {
        self.list_destinations(app, message, page).await
    }

    async fn endpoint_stats(&self, to: EndpointRef, from: Ksuid, until: Ksuid) -> Result<Stats, StoreError> {
        self.count_attempts(to, from, until).await
    }

    async fn kept_answer(&self, hash: [u8; 32], not_before: Timestamp) -> Result<Option<Answer>, StoreError> {
        self.find_answer(hash, not_before).await
    }

    async fn keep_answer(&self, hash: [u8; 32], answer: Answer, now: Timestamp) -> Result<(), StoreError> {
        self.store_answer(hash, &answer, now).await
    }
}
