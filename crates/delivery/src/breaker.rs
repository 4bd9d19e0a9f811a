//! A breaker per endpoint: while a receiver is plainly down, its lane pauses and probes with one delivery at a time.

use domain::Timestamp;
use std::time::Duration;

/// Failures in a row before a lane pauses…
const FAILURES: u32 = 10;
/// …and for how long they must have gone on.
const FAILING_FOR: Duration = Duration::from_secs(10);
/// The first pause; each probe that fails doubles it.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Closed at first. Opens for a pause, then lets single probes through until one succeeds.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    failures: u32,
    failing_since: Option<Timestamp>,
    open: Option<Open>,
}

#[derive(Debug, Clone, Copy)]
struct Open {
    until: Timestamp,
    pause: Duration,
}

/// What the breaker says to a delivery that wants to go.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Says {
    Go,
    /// Only if nothing else of the lane is on the wire.
    Probe,
    WaitUntil(Timestamp),
}

impl Breaker {
    pub(crate) fn says(&self, now: Timestamp) -> Says {
        match self.open {
            None => Says::Go,
            // A pause that seems longer than any pause means that the clock stepped back.
            Some(o) if o.until > now && o.until.since(now) <= PAUSE_MAX => Says::WaitUntil(o.until),
            Some(_) => Says::Probe,
        }
    }
    pub(crate) fn succeeded(&mut self) {
        *self = Self::default();
    }
    pub(crate) fn failed(&mut self, now: Timestamp) {
        self.failures = self.failures.saturating_add(1);
        let since = *self.failing_since.get_or_insert(now);
        match self.open {
            // Late results of requests that began before the pause do not lengthen it.
            Some(o) if o.until > now => {}
            Some(o) => {
                let pause = (o.pause * 2).min(PAUSE_MAX);
                self.open = Some(Open { until: now.plus(pause), pause });
            }
            None if self.failures >= FAILURES && now.since(since) >= FAILING_FOR => {
                self.open = Some(Open { until: now.plus(PAUSE_FIRST), pause: PAUSE_FIRST });
            }
            None => {}
        }
    }
    pub(crate) fn is_closed(&self) -> bool {
        self.failures == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: i64) -> Timestamp {
        Timestamp::from_micros(s * 1_000_000)
    }

    #[test]
    fn it_opens_only_after_many_failures_over_some_time_and_a_success_closes_it() {
        let mut b = Breaker::default();
        for _ in 0..50 {
            b.failed(at(0));
        }
        assert_eq!(b.says(at(5)), Says::Go);
        b.failed(at(10));
        assert_eq!(b.says(at(10)), Says::WaitUntil(at(11)));
        assert_eq!(b.says(at(11)), Says::Probe);
        b.failed(at(11));
        assert_eq!(b.says(at(12)), Says::WaitUntil(at(13)));
        b.succeeded();
        assert_eq!(b.says(at(12)), Says::Go);
    }

    #[test]
    fn pauses_end_at_half_a_minute_and_late_results_do_not_lengthen_them() {
        let mut b = Breaker::default();
        let mut now = at(0);
        for _ in 0..40 {
            b.failed(now);
            b.failed(now);
            now = match b.says(now) {
                Says::WaitUntil(t) => t,
                _ => now.plus(Duration::from_secs(1)),
            };
        }
        b.failed(now);
        assert_eq!(b.says(now), Says::WaitUntil(now.plus(PAUSE_MAX)));
        assert_eq!(b.says(at(0)), Says::Probe, "a clock that stepped back ends the pause");
    }
}
