//! When lanes are to be looked at again. A lane stands here once at most, so what is kept is bounded by the lanes,
//! however often their plans change.

use domain::{EndpointKey, Timestamp};
use std::collections::BTreeMap;

/// A place in a row. Lanes that wait for the same thing keep theirs until they got it; so they take turns.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Turn(u64);

/// A wake-up that is planned; those for the same instant come in turn.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Wake {
    /// When.
    pub(crate) at: Timestamp,
    turn: Turn,
}

/// All wake-ups that are planned.
#[derive(Default)]
pub(crate) struct Timers {
    planned: BTreeMap<Wake, EndpointKey>,
    turns: u64,
}

impl Timers {
    /// The last place in the row.
    pub(crate) fn last_turn(&mut self) -> Turn {
        self.turns += 1;
        Turn(self.turns)
    }

    /// Plans a lane's wake-up, unless an earlier one is planned already; in the lane's turn, if it has one. True if the
    /// first of all changed.
    pub(crate) fn plan(
        &mut self,
        lane: EndpointKey,
        wake: &mut Option<Wake>,
        at: Timestamp,
        turn: Option<Turn>,
    ) -> bool {
        if wake.is_some_and(|w| w.at <= at) {
            return false;
        }
        if let Some(old) = wake.take() {
            self.planned.remove(&old);
        }
        let turn = turn.unwrap_or_else(|| self.last_turn());
        let new = Wake { at, turn };
        *wake = Some(new);
        self.planned.insert(new, lane);
        self.planned.first_key_value().is_some_and(|(first, _)| *first == new)
    }

    /// Takes out what is due.
    pub(crate) fn due(&mut self, now: Timestamp) -> BTreeMap<Wake, EndpointKey> {
        let later = self.planned.split_off(&Wake { at: now, turn: Turn(u64::MAX) });
        std::mem::replace(&mut self.planned, later)
    }

    /// The next instant at which something is due.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.planned.first_key_value().map(|(wake, _)| wake.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: i64) -> Timestamp {
        Timestamp::from_micros(s * 1_000_000)
    }

    #[test]
    fn a_lane_is_planned_once_for_its_earliest_instant() {
        let (mut timers, mut wake) = (Timers::default(), None);
        assert!(timers.plan(EndpointKey(1), &mut wake, at(300), None));
        for s in (1..=200).rev() {
            assert!(timers.plan(EndpointKey(1), &mut wake, at(s), None));
            assert!(!timers.plan(EndpointKey(1), &mut wake, at(s + 1), None));
        }
        assert_eq!((timers.planned.len(), timers.next(), wake.map(|w| w.at)), (1, Some(at(1)), Some(at(1))));
        assert!(timers.due(at(0)).is_empty());
        assert_eq!(timers.due(at(1)).into_values().collect::<Vec<_>>(), [EndpointKey(1)]);
        assert_eq!(timers.next(), None);
    }

    #[test]
    fn lanes_that_wait_for_the_same_instant_come_in_turn() {
        let mut timers = Timers::default();
        let early = timers.last_turn();
        for key in [3, 1, 2] {
            timers.plan(EndpointKey(key), &mut None, at(5), None);
        }
        timers.plan(EndpointKey(9), &mut None, at(6), None);
        timers.plan(EndpointKey(8), &mut None, at(5), Some(early));
        assert_eq!(timers.due(at(5)).into_values().map(|k| k.0).collect::<Vec<_>>(), [8, 3, 1, 2]);
        assert_eq!(timers.next(), Some(at(6)));
    }
}
