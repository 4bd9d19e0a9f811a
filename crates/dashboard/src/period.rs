//! The part of a filter that is about time: a choice, or a beginning and an end of one's own.

use crate::form::Fields;
use domain::{Cursor, Ksuid, Timestamp};
use service::Window;
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
    pub(crate) from: String,
    pub(crate) until: String,
    pub(crate) problem: &'static str,
    after: Option<Timestamp>,
    before: Option<Timestamp>,
}

impl Period {
    /// What the address says.
    pub(crate) fn read(fields: &Fields, now: Timestamp) -> Self {
        let mut period = Self {
            choice: fields.get("when").to_owned(),
            from: fields.get("from").to_owned(),
            until: fields.get("until").to_owned(),
            ..Self::default()
        };
        if let Some((_, _, seconds)) = CHOICES.iter().find(|(name, ..)| *name == period.choice) {
            period.after = Some(now.minus(Duration::from_secs(*seconds)));
        }
        for (text, place) in [(&period.from, &mut period.after), (&period.until, &mut period.before)] {
            if text.is_empty() {
                continue;
            }
            match instant(text) {
                Some(at) => *place = Some(at),
                None => period.problem = "Give dates and times such as 2026-05-01 09:14 (UTC).",
            }
        }
        period
    }
    /// Whether it leaves anything out.
    pub(crate) fn is_any(&self) -> bool {
        self.after.is_none() && self.before.is_none()
    }
    /// The choices, for the form.
    pub(crate) fn choices(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        CHOICES.iter().map(|(name, words, _)| (*name, *words))
    }
    /// What keeps it in an address.
    pub(crate) fn fields(&self) -> [(&'static str, &str); 3] {
        [("when", &self.choice), ("from", &self.from), ("until", &self.until)]
    }
    /// The newest within it, or the page at a cursor.
    pub(crate) fn window(&self, limit: usize, cursor: Option<Cursor<Ksuid>>, now: Timestamp) -> Window {
        // A beginning alone would ask for the oldest ones.
        let before =
            if cursor.is_none() && self.after.is_some() { self.before.or(Some(now.plus(AHEAD))) } else { self.before };
        Window { limit, cursor, before, after: self.after }
    }
}

/// A time as people and browsers write it, in UTC.
pub(crate) fn instant(text: &str) -> Option<Timestamp> {
    let text = text.trim().replace('T', " ");
    let text = if text.len() == "2026-05-01 09:14".len() { format!("{text}:00") } else { text };
    Timestamp::parse(&format!("{}Z", text.trim_end_matches('Z')))
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
        assert_eq!((own.after, own.before), (instant("2026-04-01 00:00"), instant("2026-04-02T12:30:00")));
        assert!(!read("from=tomorrow").problem.is_empty());
    }

    #[test]
    fn an_empty_page_leads_on_in_both_directions() {
        let (a, b) = (Ksuid([1; 20]), Ksuid([2; 20]));
        assert_eq!(beside(&None, None, Some(a)), (None, Some(a)));
        assert_eq!(beside(&Some(Cursor::After(b)), None, Some(a)), (Some(b), Some(a)));
        assert_eq!(beside(&Some(Cursor::Before(a)), Some((b, a)), None), (None, Some(a)));
    }
}
