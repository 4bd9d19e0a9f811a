//! How many messages were given up for an endpoint in the last day, for those that are to be switched off after so many.
//!
//! Counted by the hour and in memory: a restart begins anew, and a day is up to an hour shorter than 24. It is a limit of
//! thousands, and not a promise to the message.

use domain::{DeactivateAfter, EndpointKey, FailureReason, Timestamp};
use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, PoisonError},
};

/// Hours that count.
const HOURS: i64 = 24;
/// Seconds of one.
const HOUR: i64 = 3_600;

/// Messages that were given up in one hour.
#[derive(Clone, Copy, Debug)]
struct Hour {
    number: i64,
    timeouts: u32,
    errors: u32,
}

/// The counts of all endpoints that have a limit and had something given up.
#[derive(Debug, Default)]
pub(crate) struct GivenUp(Mutex<HashMap<EndpointKey, VecDeque<Hour>>>);

impl GivenUp {
    /// Counts one message. Whether the endpoint is at its limit now; then its count begins anew.
    pub(crate) fn count(
        &self,
        endpoint: EndpointKey,
        limit: DeactivateAfter,
        reason: FailureReason,
        now: Timestamp,
    ) -> bool {
        use FailureReason::{BodyTimeout, ConnectTimeout, ResponseTimeout};
        // What is wrong on our side, or in the endpoint's own settings, does not count.
        if !reason.blames_receiver() {
            return false;
        }
        let number = now.as_seconds().div_euclid(HOUR);
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let hours = all.entry(endpoint).or_default();
        hours.retain(|h| (number - HOURS + 1..=number).contains(&h.number));
        if hours.back().is_none_or(|h| h.number != number) {
            hours.push_back(Hour { number, timeouts: 0, errors: 0 });
        }
        if let Some(hour) = hours.back_mut() {
            match reason {
                ConnectTimeout | ResponseTimeout | BodyTimeout => hour.timeouts += 1,
                _ => hour.errors += 1,
            }
        }
        let sum = |part: fn(&Hour) -> u32| hours.iter().map(|h| u64::from(part(h))).sum::<u64>();
        let reached = sum(|h| h.timeouts) >= u64::from(limit.timeouts) || sum(|h| h.errors) >= u64::from(limit.errors);
        if reached {
            all.remove(&endpoint);
        }
        reached
    }

    /// Forgets what no longer counts.
    pub(crate) fn forget_old(&self, now: Timestamp) {
        let first = now.as_seconds().div_euclid(HOUR) - HOURS + 1;
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, hours| hours.back().is_some_and(|h| h.number >= first));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const LIMIT: DeactivateAfter = DeactivateAfter { timeouts: 3, errors: 5 };
    const KEY: EndpointKey = EndpointKey(1);

    #[test]
    fn timeouts_and_other_errors_have_limits_of_their_own() {
        let (counts, now) = (GivenUp::default(), Timestamp::from_micros(0));
        let count = |reason| counts.count(KEY, LIMIT, reason, now);
        assert!(!count(FailureReason::ResponseTimeout) && !count(FailureReason::ConnectTimeout));
        for _ in 0..4 {
            assert!(!count(FailureReason::ServerError));
        }
        assert!(count(FailureReason::BodyTimeout), "the third timeout");
        assert!(!count(FailureReason::ServerError), "counted anew");
        assert!(!counts.count(EndpointKey(2), LIMIT, FailureReason::ServerError, now));
    }

    #[test]
    fn only_the_last_day_counts_and_only_what_the_receiver_did() {
        let (counts, mut now) = (GivenUp::default(), Timestamp::from_micros(0));
        for _ in 0..10 {
            assert!(!counts.count(KEY, LIMIT, FailureReason::FormatFailed, now));
        }
        for _ in 0..6 {
            assert!(!counts.count(KEY, LIMIT, FailureReason::ResponseTimeout, now));
            now = now.plus(Duration::from_secs(12 * 3600 + 1));
        }
        counts.forget_old(now);
        assert_eq!(counts.0.lock().unwrap().len(), 1);
        counts.forget_old(now.plus(Duration::from_secs(48 * 3600)));
        assert_eq!(counts.0.lock().unwrap().len(), 0);
    }
}
