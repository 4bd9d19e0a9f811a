//! The part of a filter that is about time: a choice, or a beginning and an end of one's own.

use crate::{
    form::Fields,
    moment::{Moment, WRONG},
};
use domain::{Cursor, Ksuid, Timestamp};
use service::{Window, window::WINDOW};
use std::time::Duration;

/// Its name in addresses, its words, seconds back.
const CHOICES: [(&str, &str, u64); 4] = [
    ("1h", "Last hour", 3_600),
    ("24h", "Last 24 hours", 86_400),
    ("7d", "Last 7 days", 604_800),
    ("30d", "Last 30 days", 2_592_000),
];
/// How far ids may be ahead of the clock.
const AHEAD: Duration = Duration::from_secs(3_600);

/// A stretch of time that a list is limited to, as the form shows it again.
#[derive(Clone, Default)]
pub(crate) struct Period {
    pub(crate) choice: String,
    pub(crate) from: Moment,
    pub(crate) until: Moment,
    pub(crate) problem: &'static str,
    after: Option<Timestamp>,
}

impl Period {
    /// What the address says.
    pub(crate) fn read(fields: &Fields, now: Timestamp) -> Self {
        let choice = fields.get("when").to_owned();
        let chosen = CHOICES.iter().find(|(name, ..)| *name == choice);
        let chosen = chosen.map(|(_, _, seconds)| now.minus(Duration::from_secs(*seconds)));
        let (from, until) = (Moment::read(fields, "from"), Moment::read(fields, "until"));
        let problem = if from.is_wrong() || until.is_wrong() { WRONG } else { "" };
        Self { choice, after: from.at().or(chosen), from, until, problem }
    }
    /// Whether it leaves anything out.
    pub(crate) fn is_any(&self) -> bool {
        self.after.is_none() && self.until.at().is_none()
    }
    /// The choices, for the form.
    pub(crate) fn choices(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        CHOICES.iter().map(|(name, words, _)| (*name, *words))
    }
    /// What keeps it in an address.
    pub(crate) fn fields(&self) -> [(&'static str, String); 3] {
        [("when", self.choice.clone()), ("from", self.from.in_address()), ("until", self.until.in_address())]
    }
    /// The newest within it, or the page at a cursor.
    pub(crate) fn window(&self, limit: usize, cursor: Option<Cursor<Ksuid>>, now: Timestamp) -> Window {
        let (before, after) = (self.until.at(), self.after);
        if cursor.is_some() || self.is_any() {
            return Window { limit, cursor, before, after };
        }
        // A beginning alone would ask for the oldest ones, and both ends are held to a window that may begin at either.
        let ahead = now.plus(AHEAD);
        let before = before.map_or(ahead, |before| before.min(ahead));
        let after = after.map(|after| after.max(before.minus(WINDOW)));
        Window { limit, cursor, before: Some(before), after }
    }
}

/// Where the pages beside this one begin, newer and older: from the cursor that led here, the ids of its first and last
/// item, and where its list would go on.
pub(crate) fn beside(
    cursor: &Option<Cursor<Ksuid>>,
    ends: Option<(Ksuid, Ksuid)>,
    next: Option<Ksuid>,
) -> (Option<Ksuid>, Option<Ksuid>) {
    match cursor {
        None => (None, next),
        Some(Cursor::After(at)) => (Some(ends.map_or(*at, |(first, _)| first)), next),
        Some(Cursor::Before(at)) => (next, Some(ends.map_or(*at, |(_, last)| last))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_is_a_choice_or_two_times() {
        let now = Timestamp::parse("2026-05-02T09:14:00Z").unwrap();
        let read = |text: &str| Period::read(&Fields::read(text.as_bytes()), now);
        assert!(read("").is_any());
        let day = read("when=24h").window(5, None, now);
        assert_eq!(day.after, Timestamp::parse("2026-05-01T09:14:00Z"));
        assert!(day.before.is_some(), "the newest come first");
        let own = read("when=24h&from=2026-04-01T00:00&until=2026-04-02+12:30");
        assert_eq!(
            (own.after, own.until.at()),
            (Timestamp::parse("2026-04-01T00:00:00Z"), Timestamp::parse("2026-04-02T12:30:00Z"))
        );
        assert!(!read("from=tomorrow").problem.is_empty());
    }

    #[test]
    fn however_long_a_period_is_its_newest_come_first() {
        let now = Timestamp::parse("2026-05-02T09:14:00Z").unwrap();
        let period = Period::read(&Fields::read(b"from=2020-01-01T00:00&until=2999-01-01T00:00"), now);
        let range = period.window(5, None, now).range(now);
        assert!(range.from < Ksuid::lowest_at(now) && Ksuid::lowest_at(now) < range.until);
    }

    #[test]
    fn an_empty_page_leads_on_in_both_directions() {
        let (a, b) = (Ksuid([1; 20]), Ksuid([2; 20]));
        assert_eq!(beside(&None, None, Some(a)), (None, Some(a)));
        assert_eq!(beside(&Some(Cursor::After(b)), None, Some(a)), (Some(b), Some(a)));
        assert_eq!(beside(&Some(Cursor::Before(a)), Some((b, a)), None), (None, Some(a)));
    }
}
