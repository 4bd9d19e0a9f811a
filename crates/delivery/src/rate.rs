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

/// Rounded up, so that never too many go.
fn interval(per_second: u16) -> i64 {
    let rate = i64::from(per_second.max(1));
    (SECOND + rate - 1) / rate
}

impl Rate {
    /// Takes a place if there is one now; else says when there will be. `per_second` is at least 1.
    pub(crate) fn take(&mut self, per_second: u16, now: Timestamp) -> Result<(), Timestamp> {
        let now = nanos(now);
        // With a clock that stepped back, what is still to be waited stays the same.
        self.next = self.next_at(now);
        self.asked = now;
        let interval = interval(per_second);
        let next = self.next.max(now.saturating_sub((BURST - interval).max(0)));
        if next > now {
            return Err(Timestamp::from_micros(next.saturating_add(999).div_euclid(1_000)));
        }
        self.next = next.saturating_add(interval);
        Ok(())
    }
    /// Gives back the place that was just taken.
    pub(crate) fn give_back(&mut self, per_second: u16) {
        self.next = self.next.saturating_sub(interval(per_second));
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
            let mut taken = Vec::new();
            let mut now = Timestamp::from_micros(1_000_000_000);
            while taken.len() < 3 * usize::from(rate) {
                match limiter.take(rate, now) {
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
        assert!(limiter.take(1, Timestamp::from_micros(900_000_000)).is_ok());
        let back = Timestamp::from_micros(300_000_000);
        assert_eq!(limiter.take(1, back), Err(back.plus(Duration::from_secs(1))));
        assert!(limiter.take(1, back.plus(Duration::from_secs(1))).is_ok());
    }

    #[test]
    fn a_rate_that_is_forgotten_when_idle_grants_nothing_more() {
        let at = |ms: u64| Timestamp::from_micros(1_000_000_000).plus(Duration::from_millis(ms));
        let mut limiter = Rate::default();
        while limiter.take(100, at(0)).is_ok() {}
        assert!(!limiter.is_idle(at(20)) && !limiter.is_idle(at(100)) && limiter.is_idle(at(110)));
    }

    #[test]
    fn a_place_that_is_given_back_can_be_taken_again() {
        let (mut limiter, now) = (Rate::default(), Timestamp::from_micros(1_000_000_000));
        assert!(limiter.take(5, now).is_ok() && limiter.take(5, now).is_err());
        limiter.give_back(5);
        assert!(limiter.take(5, now).is_ok() && limiter.take(5, now).is_err());
    }

    proptest! {
        #[test]
        fn the_rate_is_kept_and_nothing_stalls_however_one_asks(
            rate in prop_oneof![1..20u16, 1..2_000u16, any::<u16>().prop_map(|r| r.max(1))],
            // Between two rounds: how much time passes, how far the clock steps back, and how often is asked.
            rounds in prop::collection::vec((0..400_000u64, prop_oneof![4 => Just(0u64), 1 => 0..900_000_000u64], 1..400usize), 1..60),
        ) {
            let mut limiter = Rate::default();
            let (mut truth, mut stepped, mut taken) = (Timestamp::from_micros(2_000_000_000_000_000), 0, Vec::new());
            for (micros, step, times) in rounds {
                truth = truth.plus(Duration::from_micros(micros));
                stepped += step;
                for _ in 0..times {
                    let now = truth.minus(Duration::from_micros(stepped));
                    match limiter.take(rate, now) {
                        Ok(()) => taken.push(truth),
                        Err(at) => {
                            prop_assert!(at > now && at.since(now) <= Duration::from_secs(1));
                            // Whoever comes back when told finds a place.
                            let mut then = limiter;
                            prop_assert!(then.take(rate, at).is_ok());
                            break;
                        }
                    }
                }
            }
            most_in_a_second(&taken, rate);
        }
    }
}
