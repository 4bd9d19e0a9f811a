//! A breaker: while a receiver is plainly down, whoever sends to it pauses and probes with one request at a time.

use crate::time::Timestamp;
use std::time::Duration;

/// When a breaker opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerRules {
    /// Failures in a row before it opens…
    pub failures: u32,
    /// …and for how long they must have gone on.
    pub failing_for: Duration,
}

impl BreakerRules {
    /// For deliveries, which can wait.
    pub const PATIENT: Self = Self { failures: 10, failing_for: Duration::from_secs(10) };
    /// For questions that a person waits behind.
    pub const QUICK: Self = Self { failures: 5, failing_for: Duration::ZERO };
}

/// The first pause; each probe that fails doubles it.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// Failures older than this say nothing any more.
const REMEMBERED: Duration = Duration::from_secs(600);

/// Closed at first. Opens for a pause, then lets single probes through until one succeeds.
#[derive(Debug)]
pub struct Breaker {
    rules: BreakerRules,
    failures: u32,
    failing_since: Option<Timestamp>,
    failed_at: Timestamp,
    open: Option<Open>,
}

#[derive(Debug, Clone, Copy)]
struct Open {
    until: Timestamp,
    pause: Duration,
}

impl Open {
    /// A pause that seems longer than any pause means that the clock stepped back: it is over.
    fn pauses(&self, now: Timestamp) -> bool {
        self.until > now && self.until.since(now) <= PAUSE_MAX
    }
}

/// What the breaker says to a request that wants to go.
#[derive(Debug, PartialEq, Eq)]
pub enum Says {
    /// Go.
    Go,
    /// Only if nothing else to this receiver is on the wire.
    Probe,
    /// Not before then.
    WaitUntil(Timestamp),
}

impl Default for Breaker {
    fn default() -> Self {
        Self::new(BreakerRules::PATIENT)
    }
}

impl Breaker {
    /// A closed one.
    pub fn new(rules: BreakerRules) -> Self {
        Self { rules, failures: 0, failing_since: None, failed_at: Timestamp::default(), open: None }
    }
    /// Whether a request may go now.
    pub fn says(&self, now: Timestamp) -> Says {
        match self.open {
            None => Says::Go,
            Some(o) if o.pauses(now) => Says::WaitUntil(o.until),
            Some(_) => Says::Probe,
        }
    }
    /// A request succeeded.
    pub fn succeeded(&mut self) {
        *self = Self::new(self.rules);
    }
    /// A request failed.
    pub fn failed(&mut self, now: Timestamp) {
        self.failures = self.failures.saturating_add(1);
        // With a clock that stepped back, the failures begin anew.
        let since = self.failing_since.map_or(now, |since| since.min(now));
        self.failing_since = Some(since);
        self.failed_at = now;
        match self.open {
            // Late results of requests that began before the pause do not lengthen it.
            Some(o) if o.pauses(now) => {}
            Some(o) => {
                let pause = (o.pause * 2).min(PAUSE_MAX);
                self.open = Some(Open { until: now.plus(pause), pause });
            }
            None if self.failures >= self.rules.failures && now.since(since) >= self.rules.failing_for => {
                self.open = Some(Open { until: now.plus(PAUSE_FIRST), pause: PAUSE_FIRST });
            }
            None => {}
        }
    }
    /// Whether a new one would do as well.
    pub fn is_idle(&self, now: Timestamp) -> bool {
        self.failures == 0 || now.since(self.failed_at) >= REMEMBERED
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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

    #[test]
    fn after_a_clock_that_stepped_back_pauses_and_openings_go_on() {
        let mut b = Breaker::default();
        b.failed(at(100_000));
        for _ in 0..BreakerRules::PATIENT.failures {
            b.failed(at(0));
        }
        b.failed(at(10));
        assert_eq!(b.says(at(10)), Says::WaitUntil(at(11)), "the failures count from the step on");
        b.failed(at(-5_000));
        assert_eq!(b.says(at(-5_000)), Says::WaitUntil(at(-4_998)), "a probe that failed pauses again");
    }

    #[test]
    fn it_is_forgotten_after_a_success_or_a_while() {
        let mut b = Breaker::default();
        assert!(b.is_idle(at(0)));
        b.failed(at(0));
        assert!(!b.is_idle(at(599)) && b.is_idle(at(600)));
        b.succeeded();
        assert!(b.is_idle(at(1)));
    }

    #[derive(Clone, Debug)]
    enum Event {
        Succeeds,
        Fails(u32),
        Passes(u64),
    }

    proptest! {
        #[test]
        fn it_opens_and_closes_as_the_rule_says(events in prop::collection::vec(
            prop_oneof![
                1 => Just(Event::Succeeds),
                6 => (1..8u32).prop_map(Event::Fails),
                6 => (0..15_000u64).prop_map(Event::Passes),
            ],
            0..200,
        )) {
            let (mut b, mut now) = (Breaker::default(), at(0));
            // The rule, told plainly: instants of the failures since the last success, the end of the pause, its length.
            let mut failures: Vec<Timestamp> = Vec::new();
            let mut paused: Option<(Timestamp, u64)> = None;
            for event in events {
                match event {
                    Event::Succeeds => {
                        b.succeeded();
                        (failures, paused) = (Vec::new(), None);
                    }
                    Event::Fails(times) => for _ in 0..times {
                        b.failed(now);
                        failures.push(now);
                        let long = now.since(failures[0]) >= Duration::from_secs(10);
                        paused = match paused {
                            None if failures.len() >= 10 && long => Some((now.plus(Duration::from_secs(1)), 1)),
                            None => None,
                            Some((until, length)) if now < until => Some((until, length)),
                            Some((_, length)) => {
                                let length = (2 * length).min(30);
                                Some((now.plus(Duration::from_secs(length)), length))
                            }
                        };
                    },
                    Event::Passes(millis) => now = now.plus(Duration::from_millis(millis)),
                }
                let want = match paused {
                    None => Says::Go,
                    Some((until, _)) if now < until => Says::WaitUntil(until),
                    Some(_) => Says::Probe,
                };
                prop_assert_eq!(b.says(now), want);
            }
        }
    }
}
