//! What happened, counted by the hour, so that a chart of four weeks or a search for something rare need not read all of it.
//!
//! Rows are counted in the background, in the order of their keys, up to a point that is moved in the same commit: so each
//! counts exactly once, however often it breaks off. What lies behind that point is read from the counts, what came since
//! from the rows themselves.

use crate::{error::StoreError, queue::hour_of};
use async_trait::async_trait;
use domain::{Durations, EndpointRef, EventTypeName, Ksuid, Pick};
use std::{
    collections::{BTreeMap, btree_map::Entry},
    ops::Range,
};

/// Rows that one step reads, at most.
pub(crate) const STEP_ROWS: i64 = 5_000;
/// Counts that one step writes, about, so that commits that come in between are not held up.
pub(crate) const STEP_COUNTS: usize = 400;
/// Messages of one type and hour whose keys are kept. Where there are more, whoever looks finds some soon.
const KEYS: usize = 32;
/// Hours that a search looks up; beyond them it reads as if nothing were counted.
pub(crate) const HOURS: i64 = 3_000;
/// The name under which attempts of all event types are counted together. No event type has it.
pub(crate) const ALL_TYPES: &str = "";

/// A step of counting.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Rolled {
    /// Rows that were counted.
    pub rows: u64,
    /// Whether there is more to count.
    pub more: bool,
}

/// Attempts to an endpoint in an hour.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct HourCount {
    /// Those that succeeded.
    pub delivered: u64,
    /// Those that failed.
    pub failed: u64,
    /// How long those took that succeeded.
    pub took: Durations,
}

impl HourCount {
    /// Adds all of another.
    pub fn merge(&mut self, other: &Self) {
        self.delivered = self.delivered.saturating_add(other.delivered);
        self.failed = self.failed.saturating_add(other.failed);
        self.took.merge(&other.took);
    }
}

/// What is counted of some hours.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hours {
    /// All attempts with lesser ids are counted, and none of the others.
    pub counted: Ksuid,
    /// By hour since the Unix epoch; hours in which nothing happened are left out.
    pub hours: BTreeMap<i64, HourCount>,
}

/// Attempts that are not counted yet, looked at one by one.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Uncounted {
    /// Newest first: when, whether it succeeded, and how many milliseconds it took.
    pub attempts: Vec<(Ksuid, bool, u32)>,
    /// Whether those are all of them; otherwise they are the latest.
    pub all: bool,
}

/// Counting by the hour, and what was counted.
#[async_trait]
pub trait Hourly: Send + Sync {
    /// Counts attempts with lesser ids that were not counted yet: one small step. No attempt with a lesser id may be
    /// recorded afterwards.
    async fn roll_attempts(&self, until: Ksuid) -> Result<Rolled, StoreError>;
    /// The same for messages.
    async fn roll_messages(&self, until: Ksuid) -> Result<Rolled, StoreError>;
    /// What is counted of attempts to an endpoint in these hours; of one event type or of all.
    async fn attempt_hours(
        &self,
        to: EndpointRef,
        of: Option<&EventTypeName>,
        hours: Range<i64>,
    ) -> Result<Hours, StoreError>;
    /// Attempts to an endpoint of one event type in a range, of the latest `looks` there.
    async fn attempts_of_type(
        &self,
        to: EndpointRef,
        of: &EventTypeName,
        from: Ksuid,
        until: Ksuid,
        looks: usize,
    ) -> Result<Uncounted, StoreError>;
}

/// The hour that a key lies in.
pub(crate) fn hour_of_key(key: i64) -> i64 {
    // By its second, the upper half: those of its last ticks, which no instant has, belong to it too.
    hour_of(Ksuid::from_parts(key >> 32 << 32, [0; 12]).timestamp())
}

/// The keys of an hour.
fn keys_of_hour(hour: i64) -> Range<i64> {
    let first = |hour: i64| Ksuid::lowest_at(domain::Timestamp::from_micros(hour.saturating_mul(3_600_000_000))).head();
    first(hour)..first(hour.saturating_add(1))
}

/// Names a count: application, endpoint, event type, hour.
pub(crate) type AttemptHour = (i64, i64, String, i64);
/// Application, event type, hour.
pub(crate) type MessageHour = (i64, String, i64);

/// Attempts of a step, in the order of their counts' keys.
#[derive(Default)]
pub(crate) struct AttemptTally {
    pub(crate) counts: BTreeMap<AttemptHour, HourCount>,
    pub(crate) rows: u64,
    /// The greatest key.
    pub(crate) last: Option<i64>,
}

/// An attempt as it is counted.
pub(crate) struct CountedAttempt<'a> {
    pub(crate) key: i64,
    pub(crate) app: i64,
    pub(crate) endpoint: i64,
    /// None if its message is gone.
    pub(crate) event_type: Option<&'a str>,
    pub(crate) success: bool,
    pub(crate) duration_ms: u32,
}

impl AttemptTally {
    pub(crate) fn add(&mut self, attempt: &CountedAttempt<'_>) {
        let hour = hour_of_key(attempt.key);
        for event_type in [Some(ALL_TYPES), attempt.event_type].into_iter().flatten() {
            let count = self.counts.entry((attempt.app, attempt.endpoint, event_type.to_owned(), hour)).or_default();
            if attempt.success {
                count.delivered += 1;
                count.took.add(attempt.duration_ms, 1);
            } else {
                count.failed += 1;
            }
        }
        self.rows += 1;
        self.last = self.last.max(Some(attempt.key));
    }
}

/// Messages of a step; the keys of an hour are kept as long as they are few.
#[derive(Default)]
pub(crate) struct MessageTally {
    pub(crate) hours: BTreeMap<MessageHour, Option<Vec<i64>>>,
    pub(crate) rows: u64,
    /// The greatest key.
    pub(crate) last: Option<i64>,
}

impl MessageTally {
    pub(crate) fn add(&mut self, key: i64, app: i64, event_type: &str) {
        let hour = self.hours.entry((app, event_type.to_owned(), hour_of_key(key))).or_insert_with(|| Some(Vec::new()));
        *hour = together(hour.take(), Some(vec![key]));
        self.rows += 1;
        self.last = self.last.max(Some(key));
    }
}

/// The keys of an hour in two parts; none if they are many.
fn together(a: Option<Vec<i64>>, b: Option<Vec<i64>>) -> Option<Vec<i64>> {
    let mut both = a?;
    both.extend(b?);
    both.sort_unstable();
    both.dedup();
    (both.len() <= KEYS).then_some(both)
}

/// What a column of keys becomes when those of a step come to it.
pub(crate) fn more_keys(stored: Option<&[u8]>, new: Option<&Vec<i64>>) -> Option<Vec<u8>> {
    let keys = together(stored.map(read_keys), new.cloned())?;
    Some(keys.iter().flat_map(|key| key.to_be_bytes()).collect())
}

/// Reads a column of keys.
pub(crate) fn read_keys(bytes: &[u8]) -> Vec<i64> {
    bytes.as_chunks().0.iter().map(|chunk| i64::from_be_bytes(*chunk)).collect()
}

/// Where messages of an event type may be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Piece {
    /// Somewhere between these keys.
    Span(Range<i64>),
    /// Exactly there.
    Keys(Vec<i64>),
}

/// Where to look for messages of an event type with keys in `within`, in the order of `pick`. `hours` are those counted that
/// hold any, in the same order, with their keys; `counted` is how far all is counted. Where not all hours were read, `rest`
/// is the last one.
pub(crate) fn pieces(hours: Vec<(i64, Option<Vec<i64>>)>, counted: i64, within: Range<i64>, pick: Pick) -> Vec<Piece> {
    let truncated = i64::try_from(hours.len()).is_ok_and(|n| n >= HOURS);
    let mut found = Vec::with_capacity(hours.len() + 2);
    let edge = hours.last().map(|(hour, _)| keys_of_hour(*hour));
    let clip = |span: Range<i64>| span.start.max(within.start)..span.end.min(within.end);
    for (hour, keys) in hours {
        match keys {
            Some(mut keys) => {
                // What came after `counted` was read is found with the rest of what is not counted.
                keys.retain(|key| within.contains(key) && *key < counted);
                if pick == Pick::Newest {
                    keys.reverse();
                }
                found.push(Piece::Keys(keys));
            }
            // Only what is counted: the rest comes with what is not.
            None => {
                let span = keys_of_hour(hour);
                found.push(Piece::Span(clip(span.start..span.end.min(counted))));
            }
        }
    }
    let beyond = edge.filter(|_| truncated);
    let uncounted = Piece::Span(clip(counted..within.end));
    match pick {
        Pick::Newest => {
            found.insert(0, uncounted);
            found.extend(beyond.map(|edge| Piece::Span(clip(within.start..edge.start))));
        }
        Pick::Oldest => {
            found.extend(beyond.map(|edge| Piece::Span(clip(edge.end..counted))));
            found.push(uncounted);
        }
    }
    joined(found)
}

/// As few as say the same: empty ones left out, neighbours together.
fn joined(pieces: Vec<Piece>) -> Vec<Piece> {
    let mut joined: Vec<Piece> = Vec::with_capacity(pieces.len());
    for piece in pieces {
        match (joined.last_mut(), piece) {
            (_, Piece::Span(span)) if span.is_empty() => {}
            (_, Piece::Keys(keys)) if keys.is_empty() => {}
            (Some(Piece::Span(before)), Piece::Span(span)) if before.start == span.end => before.start = span.start,
            (Some(Piece::Span(before)), Piece::Span(span)) if before.end == span.start => before.end = span.end,
            (Some(Piece::Keys(before)), Piece::Keys(keys)) if before.len() < 10 * KEYS => before.extend(keys),
            (_, piece) => joined.push(piece),
        }
    }
    joined
}

/// Adds what a row of counts holds to those of a step.
pub(crate) fn add_stored(counts: &mut BTreeMap<AttemptHour, HourCount>, of: AttemptHour, stored: &HourCount) {
    if let Entry::Occupied(mut count) = counts.entry(of) {
        count.get_mut().merge(stored);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 490_000;

    fn key(hour: i64, n: i64) -> i64 {
        keys_of_hour(hour).start + n
    }

    #[test]
    fn a_key_lies_in_its_hour() {
        let keys = keys_of_hour(HOUR);
        assert_eq!((hour_of_key(keys.start), hour_of_key(keys.end - 1), hour_of_key(keys.end)), (HOUR, HOUR, HOUR + 1));
    }

    #[test]
    fn keys_are_kept_while_they_are_few() {
        let few: Vec<i64> = (0..20).collect();
        let stored = more_keys(Some(&[]), Some(&few)).unwrap();
        assert_eq!(read_keys(&stored), few);
        assert_eq!(more_keys(Some(&stored), Some(&few)).unwrap(), stored, "each once");
        assert_eq!(more_keys(Some(&stored), Some(&(20..40).collect())), None);
        assert_eq!(more_keys(None, Some(&few)), None);
        assert_eq!(more_keys(Some(&stored), None), None);
    }

    #[test]
    fn a_search_looks_where_something_may_be_in_its_order() {
        let counted = key(HOUR, 500);
        let within = key(HOUR - 9, 0)..key(HOUR + 2, 0);
        let hours = vec![
            (HOUR, None),
            (HOUR - 1, None),
            (HOUR - 3, Some(vec![key(HOUR - 3, 1), key(HOUR - 3, 2)])),
            (HOUR - 9, Some(vec![key(HOUR - 9, 7)])),
        ];
        let found = pieces(hours.clone(), counted, within.clone(), Pick::Newest);
        let rare = vec![key(HOUR - 3, 2), key(HOUR - 3, 1), key(HOUR - 9, 7)];
        assert_eq!(found, [Piece::Span(key(HOUR - 1, 0)..within.end), Piece::Keys(rare)]);
        let oldest = pieces(hours.into_iter().rev().collect(), counted, within.clone(), Pick::Oldest);
        let rare = vec![key(HOUR - 9, 7), key(HOUR - 3, 1), key(HOUR - 3, 2)];
        assert_eq!(oldest, [Piece::Keys(rare), Piece::Span(key(HOUR - 1, 0)..within.end)]);
    }

    #[test]
    fn a_search_stays_in_its_range_and_where_nothing_is_counted_reads_all_of_it() {
        let within = key(HOUR, 5)..key(HOUR, 9);
        for pick in [Pick::Newest, Pick::Oldest] {
            assert_eq!(pieces(Vec::new(), 0, within.clone(), pick), [Piece::Span(within.clone())]);
            assert_eq!(pieces(Vec::new(), i64::MAX, within.clone(), pick), []);
            let keys = vec![key(HOUR, 4), key(HOUR, 5), key(HOUR, 9)];
            let found = pieces(vec![(HOUR, Some(keys))], i64::MAX, within.clone(), pick);
            assert_eq!(found, [Piece::Keys(vec![key(HOUR, 5)])]);
        }
    }

    #[test]
    fn beyond_the_hours_that_were_read_a_search_reads_on() {
        let hours: Vec<_> = (0..HOURS).map(|n| (HOUR - 2 * n, Some(vec![key(HOUR - 2 * n, 1)]))).collect();
        let found = pieces(hours, i64::MAX, 0..i64::MAX, Pick::Newest);
        assert_eq!(found.last(), Some(&Piece::Span(0..key(HOUR - 2 * (HOURS - 1), 0))));
    }
}
