//! Lists that are cut by time: what `before`, `after` and an iterator mean as a range of ids. Never more than 90 days
//! at once, so that no list can walk through everything that is stored.

use domain::{Cursor, IdRange, Ksuid, Pick, Timestamp};
use std::time::Duration;

/// The longest window.
pub const WINDOW: Duration = Duration::from_secs(90 * 24 * 3600);
/// How far into the future objects may be, because clocks differ.
const AHEAD: Duration = Duration::from_secs(3600);

/// What a time-limited list was asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Window {
    /// Items at most.
    pub limit: usize,
    /// Where to go on: older items after, newer items before.
    pub cursor: Option<Cursor<Ksuid>>,
    /// Only items before this instant; its own 4 ms excluded.
    pub before: Option<Timestamp>,
    /// Only items from this instant on; its own 4 ms included.
    pub after: Option<Timestamp>,
}

impl Window {
    /// The newest items.
    pub fn newest(limit: usize) -> Self {
        Self { limit, cursor: None, before: None, after: None }
    }

    /// The range of ids that this means at `now`.
    pub fn range(&self, now: Timestamp) -> IdRange {
        let mut range = IdRange {
            from: Ksuid::MIN,
            until: Ksuid::lowest_at(now.plus(AHEAD)),
            pick: Pick::Newest,
            limit: self.limit,
        };
        match (&self.cursor, self.before, self.after) {
            (Some(Cursor::After(id)), ..) => {
                narrow(&mut range, Ksuid::lowest_at(id.timestamp().minus(WINDOW)), *id);
            }
            (Some(Cursor::Before(id)), ..) => {
                narrow(&mut range, successor(*id), Ksuid::lowest_at(id.timestamp().plus(WINDOW)));
                range.pick = Pick::Oldest;
            }
            (None, None, None) => narrow(&mut range, Ksuid::lowest_at(now.minus(WINDOW)), Ksuid::MAX),
            (None, None, Some(_)) => range.pick = Pick::Oldest,
            (None, Some(_), _) => {}
        }
        if let Some(before) = self.before {
            let window = if self.cursor.is_none() { before.minus(WINDOW) } else { Timestamp::from_micros(0) };
            narrow(&mut range, Ksuid::lowest_at(window), Ksuid::lowest_at(before));
        }
        if let Some(after) = self.after {
            let end = if self.cursor.is_none() { Ksuid::lowest_at(after.plus(WINDOW)) } else { Ksuid::MAX };
            narrow(&mut range, Ksuid::lowest_at(after), end);
        }
        range
    }
}

fn narrow(range: &mut IdRange, from: Ksuid, until: Ksuid) {
    range.from = range.from.max(from);
    range.until = range.until.min(until);
}

/// The next greater id.
pub(crate) fn successor(mut id: Ksuid) -> Ksuid {
    for byte in id.0.iter_mut().rev() {
        *byte = byte.wrapping_add(1);
        if *byte != 0 {
            return id;
        }
    }
    Ksuid::MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn now() -> Timestamp {
        Timestamp::parse("2026-05-01T00:00:00Z").unwrap()
    }
    fn at(days: u32) -> Timestamp {
        now().minus(DAY * days)
    }
    fn window() -> Window {
        Window::newest(50)
    }

    #[test]
    fn without_anything_it_is_the_last_90_days_and_a_little_ahead() {
        let r = window().range(now());
        assert_eq!((r.from, r.until), (Ksuid::lowest_at(at(90)), Ksuid::lowest_at(now().plus(AHEAD))));
        assert_eq!((r.pick, r.limit), (Pick::Newest, 50));
    }

    #[test]
    fn before_looks_back_and_excludes_its_own_tick() {
        let r = Window { before: Some(at(10)), ..window() }.range(now());
        assert_eq!((r.from, r.until, r.pick), (Ksuid::lowest_at(at(100)), Ksuid::lowest_at(at(10)), Pick::Newest));
    }

    #[test]
    fn after_alone_gives_the_oldest_items_from_there_on() {
        let r = Window { after: Some(at(1000)), ..window() }.range(now());
        assert_eq!((r.from, r.until, r.pick), (Ksuid::lowest_at(at(1000)), Ksuid::lowest_at(at(910)), Pick::Oldest));
        let r = Window { after: Some(at(10)), ..window() }.range(now());
        assert_eq!(r.until, Ksuid::lowest_at(now().plus(AHEAD)), "never later than an hour from now");
    }

    #[test]
    fn both_intersect_and_the_newest_come_first() {
        let r = Window { after: Some(at(200)), before: Some(at(120)), ..window() }.range(now());
        assert_eq!((r.from, r.until, r.pick), (Ksuid::lowest_at(at(200)), Ksuid::lowest_at(at(120)), Pick::Newest));
        let r = Window { after: Some(at(20)), before: Some(at(30)), ..window() }.range(now());
        assert!(r.from > r.until, "an empty range");
    }

    #[test]
    fn an_iterator_goes_on_from_its_item_and_filters_still_hold() {
        let id = Ksuid::lowest_at(at(5));
        let r = Window { cursor: Some(Cursor::After(id)), after: Some(at(7)), ..window() }.range(now());
        assert_eq!((r.from, r.until, r.pick), (Ksuid::lowest_at(at(7)), id, Pick::Newest));
        let r = Window { cursor: Some(Cursor::Before(id)), before: Some(at(2)), ..window() }.range(now());
        assert_eq!((r.until, r.pick), (Ksuid::lowest_at(at(2)), Pick::Oldest));
        assert!(r.from > id);
    }

    #[test]
    fn the_successor_of_an_id_carries_over() {
        let mut id = Ksuid::MIN;
        id.0[19] = 0xff;
        let next = successor(id);
        assert_eq!((next.0[18], next.0[19]), (1, 0));
        assert_eq!(successor(Ksuid::MAX), Ksuid::MAX);
    }
}
