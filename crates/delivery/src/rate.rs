//! A rate that is really kept: one delivery per interval, no bursts beyond a tenth of a second's worth.

use domain::Timestamp;
use std::time::Duration;

/// When the next delivery of a limited endpoint or application may go.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Rate {
    /// The instant that the next delivery is meant for.
    next: Timestamp,
}

impl Rate {
    /// Takes a place if there is one now; else says when there will be. `per_second` is at least 1.
    pub(crate) fn take(&mut self, per_second: u16, now: Timestamp) -> Result<(), Timestamp> {
        let interval = Duration::from_secs(1) / u32::from(per_second.max(1));
        let burst = Duration::from_millis(100).max(interval) - interval;
        let earliest = now.minus(burst);
        // A clock that stepped back must not stop the lane until it caught up.
        if self.next > now.plus(Duration::from_secs(2).max(2 * interval)) {
            self.next = now;
        }
        let next = self.next.max(earliest);
        if next > now {
            return Err(next);
        }
        self.next = next.plus(interval);
        Ok(())
    }
    /// Whether it would hold anything back now.
    pub(crate) fn is_idle(&self, now: Timestamp) -> bool {
        self.next <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_second_sees_more_than_the_rate_and_a_tenth() {
        for rate in [1u16, 3, 10, 250, 5000] {
            let mut limiter = Rate::default();
            let mut taken = Vec::new();
            let mut now = Timestamp::from_micros(1_000_000_000);
            while taken.len() < 6 * usize::from(rate) {
                match limiter.take(rate, now) {
                    Ok(()) => taken.push(now),
                    Err(at) => {
                        assert!(at > now);
                        now = at;
                    }
                }
            }
            let most = usize::from(rate) + usize::from(rate).div_ceil(10);
            for (i, begin) in taken.iter().enumerate() {
                let end = begin.plus(Duration::from_secs(1));
                assert!(taken[i..].iter().take_while(|t| **t < end).count() <= most, "rate {rate}");
            }
        }
    }

    #[test]
    fn a_clock_that_steps_back_does_not_stop_the_lane() {
        let mut limiter = Rate::default();
        assert!(limiter.take(1, Timestamp::from_micros(900_000_000)).is_ok());
        assert!(limiter.take(1, Timestamp::from_micros(300_000_000)).is_ok());
    }
}
