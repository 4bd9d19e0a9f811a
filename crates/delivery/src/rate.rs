//! A rate that is really kept: one delivery per interval, no bursts beyond a tenth of a second's worth.

use domain::Timestamp;

/// Nanoseconds of a second.
const SECOND: i64 = 1_000_000_000;
/// What was not used within this long is lost, in nanoseconds.
const BURST: i64 = SECOND / 10;

/// When the next delivery of a limited endpoint or application may go. In nanoseconds since the Unix epoch, because
/// microseconds are too coarse for the intervals of high rates.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Rate {
    /// The instant that the next delivery is meant for.
    next: i64,
    /// When it was last asked.
    asked: i64,
}

fn nanos(at: Timestamp) -> i64 {
    at.as_micros().saturating_mul(1_000)
}

/// How often something may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pace {
    /// Nanoseconds from one to the next.
    interval: i64,
}

impl Pace {
    /// A node's share of a rate that so many nodes keep together. Rounded so that never too many go.
    pub(crate) fn share(per_second: u16, nodes: u16) -> Self {
        let rate = i64::from(per_second.max(1));
        Self { interval: (SECOND * i64::from(nodes.max(1)) + rate - 1) / rate }
    }
}

impl Rate {
    /// Takes a place if there is one now; else says when there will be.
    pub(crate) fn take(&mut self, pace: Pace, now: Timestamp) -> Result<(), Timestamp> {
        let now = nanos(now);
        // With a clock that stepped back, what is still to be waited stays the same.
        self.next = self.next_at(now);
        self.asked = now;
        let next = self.next.max(now.saturating_sub((BURST - pace.interval).max(0)));
        if next > now {
            return Err(Timestamp::from_micros(next.saturating_add(999).div_euclid(1_000)));
        }
        self.next = next.saturating_add(pace.interval);
        Ok(())
    }
    /// Gives back the place that was just taken.
    pub(crate) fn give_back(&mut self, pace: Pace) {
        self.next = self.next.saturating_sub(pace.interval);
    }
    /// Whether a new one would say the same.
    pub(crate) fn is_idle(&self, now: Timestamp) -> bool {
        let now = nanos(now);
        self.next_at(now) <= now.saturating_sub(BURST)
    }
    fn next_at(&self, now: i64) -> i64 {
        self.next.saturating_sub(self.asked.saturating_sub(now).max(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    #[test]
    fn no_second_sees_more_than_the_rate_and_a_tenth() {
        for rate in [1u16, 3, 10, 250, 5000, 65535] {
            let mut limiter = Rate::default();
            let pace = Pace::share(rate, 1);
            let mut taken = Vec::new();
            let mut now = Timestamp::from_micros(1_000_000_000);
            while taken.len() < 3 * usize::from(rate) {
                match limiter.take(pace, now) {
                    Ok(()) => taken.push(now),
                    Err(at) => {
                        assert!(at > now);
                        now = at;
                    }
                }
            }
            most_in_a_second(&taken, rate);
            let took = now.since(taken[0]).as_secs_f64();
            let lost = taken.len() as f64 / f64::from(rate) - took;
            assert!(lost > -0.03 * took, "rate {rate}: asked without a pause, it took {took} s");
        }
    }

    fn most_in_a_second(taken: &[Timestamp], rate: u16) {
        let most = usize::from(rate) + usize::from(rate) / 10;
        let mut end = 0;
        for (i, begin) in taken.iter().enumerate() {
            while taken.get(end).is_some_and(|t| *t < begin.plus(Duration::from_secs(1))) {
                end += 1;
            }
            assert!(end - i <= most, "{} in a second at rate {rate}", end - i);
        }
    }

    #[test]
    fn a_clock_that_steps_back_does_not_stop_the_lane() {
        let mut limiter = Rate::default();
        let one = Pace::share(1, 1);
        assert!(limiter.take(one, Timestamp::from_micros(900_000_000)).is_ok());
        let back = Timestamp::from_micros(300_000_000);
        assert_eq!(limiter.take(one, back), Err(back.plus(Duration::from_secs(1))));
        assert!(limiter.take(one, back.plus(Duration::from_secs(1))).is_ok());
    }

    #[test]
    fn a_rate_that_is_forgotten_when_idle_grants_nothing_more() {
        let at = |ms: u64| Timestamp::from_micros(1_000_000_000).plus(Duration::from_millis(ms));
        let mut limiter = Rate::default();
        while limiter.take(Pace::share(100, 1), at(0)).is_ok() {}
        assert!(!limiter.is_idle(at(20)) && !limiter.is_idle(at(100)) && limiter.is_idle(at(110)));
    }

    #[test]
    fn a_place_that_is_given_back_can_be_taken_again() {
        let (mut limiter, now) = (Rate::default(), Timestamp::from_micros(1_000_000_000));
        let five = Pace::share(5, 1);
        assert!(limiter.take(five, now).is_ok() && limiter.take(five, now).is_err());
        limiter.give_back(five);
        assert!(limiter.take(five, now).is_ok() && limiter.take(five, now).is_err());
    }

    #[test]
    fn nodes_that_share_a_rate_keep_it_together() {
        for (rate, nodes) in [(20u16, 2u16), (1, 3), (250, 7), (65535, 64)] {
            let mut taken = 0;
            for _ in 0..nodes {
                let (mut limiter, pace) = (Rate::default(), Pace::share(rate, nodes));
                let (begun, mut now) = (Timestamp::from_micros(5_000_000), Timestamp::from_micros(5_000_000));
                while now.since(begun) < Duration::from_secs(10) {
                    match limiter.take(pace, now) {
                        Ok(()) => taken += 1,
                        Err(at) => now = at,
                    }
                }
            }
            let most = 10 * u64::from(rate);
            let burst = u64::from(rate) / 10 + u64::from(nodes);
            assert!(taken <= most + burst, "{taken} in ten seconds at rate {rate} of {nodes} nodes");
            assert!(taken + burst >= most * 97 / 100, "{taken} in ten seconds at rate {rate} of {nodes} nodes");
        }
    }

    proptest! {
        #[test]
        fn the_rate_is_kept_and_nothing_stalls_however_one_asks(
            rate in prop_oneof![1..20u16, 1..2_000u16, any::<u16>().prop_map(|r| r.max(1))],
            // Between two rounds: how much time passes, how far the clock steps back, and how often is asked.
            rounds in prop::collection::vec((0..400_000u64, prop_oneof![4 => Just(0u64), 1 => 0..900_000_000u64], 1..400usize), 1..60),
        ) {
            let (mut limiter, pace) = (Rate::default(), Pace::share(rate, 1));
            let (mut truth, mut stepped, mut taken) = (Timestamp::from_micros(2_000_000_000_000_000), 0, Vec::new());
            for (micros, step, times) in rounds {
                truth = truth.plus(Duration::from_micros(micros));
                stepped += step;
                for _ in 0..times {
                    let now = truth.minus(Duration::from_micros(stepped));
                    match limiter.take(pace, now) {
                        Ok(()) => taken.push(truth),
                        Err(at) => {
                            prop_assert!(at > now && at.since(now) <= Duration::from_secs(1));
                            // Whoever comes back when told finds a place.
                            let mut then = limiter;
                            prop_assert!(then.take(pace, at).is_ok());
                            break;
                        }
                    }
                }
            }
            most_in_a_second(&taken, rate);
        }
    }
}
