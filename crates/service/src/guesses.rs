//! How often somebody may try to get in: per user and per address, so that neither one account nor many can be guessed
//! at leisure. In memory: a restart forgives, an attacker cannot cause one.

use domain::Timestamp;
use quick_cache::sync::Cache;
use std::time::Duration;

/// Failures after which…
const PER_USER: u32 = 10;
const PER_ADDRESS: u32 = 40;
/// …one has to wait until this long after the first of them.
const WINDOW: Duration = Duration::from_secs(15 * 60);
/// Names in memory. The least used leave first.
const NAMES: usize = 50_000;

/// Counts failures.
pub(crate) struct Guesses(Cache<Box<str>, (Timestamp, u32)>);

impl Guesses {
    pub(crate) fn new() -> Self {
        Self(Cache::new(NAMES))
    }

    fn count(&self, name: &str, now: Timestamp) -> u32 {
        self.0.get(name).filter(|(since, _)| now.since(*since) < WINDOW).map_or(0, |(_, n)| n)
    }

    /// Whether a try is looked at now.
    pub(crate) fn may(&self, user: &str, address: &str, now: Timestamp) -> bool {
        self.count(&format!("u {user}"), now) < PER_USER && self.count(&format!("a {address}"), now) < PER_ADDRESS
    }

    /// A try failed. Counted before the password is looked at, so that many at once do not slip through.
    pub(crate) fn failed(&self, user: &str, address: &str, now: Timestamp) {
        for name in [format!("u {user}"), format!("a {address}")] {
            let n = self.count(&name, now);
            let since = if n == 0 { now } else { self.0.get(name.as_str()).map_or(now, |(since, _)| since) };
            self.0.insert(name.into(), (since, n + 1));
        }
    }

    /// A try succeeded: the user's failures are forgiven, those of the address stay.
    pub(crate) fn succeeded(&self, user: &str) {
        self.0.remove(format!("u {user}").as_str());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_and_an_address_run_out_of_guesses_for_a_while() {
        let (guesses, now) = (Guesses::new(), Timestamp::from_micros(0));
        for _ in 0..PER_USER {
            assert!(guesses.may("ada", "1.2.3.4", now));
            guesses.failed("ada", "1.2.3.4", now);
        }
        assert!(!guesses.may("ada", "5.6.7.8", now), "from anywhere");
        assert!(guesses.may("grace", "1.2.3.4", now));
        for n in 0..PER_ADDRESS - PER_USER {
            guesses.failed(&n.to_string(), "1.2.3.4", now);
        }
        assert!(!guesses.may("grace", "1.2.3.4", now));
        assert!(guesses.may("ada", "1.2.3.4", now.plus(WINDOW)));
        guesses.succeeded("ada");
        assert!(guesses.may("ada", "5.6.7.8", now));
    }
}
