//! A webfilter made ready to be asked, with the breaker that spares people the wait for one that is plainly down.

use domain::{
    Timestamp, Webfilter,
    breaker::{Breaker, BreakerRules, Says},
};
use outbound::Target;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What does not change from one run to the next.
pub(crate) struct Prepared {
    pub(crate) revision: i64,
    /// The target, or why there is none.
    pub(crate) target: Result<Target, String>,
    state: Mutex<State>,
}

struct State {
    breaker: Breaker,
    in_flight: usize,
}

impl Prepared {
    pub(crate) fn new(webfilter: &Webfilter) -> Self {
        Self {
            revision: webfilter.revision,
            target: Target::at(&webfilter.url, &[], &webfilter.secrets, true).map_err(|e| e.to_string()),
            state: Mutex::new(State { breaker: Breaker::new(BreakerRules::QUICK), in_flight: 0 }),
        }
    }
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics half way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request on the wire. Counted until it is dropped, whatever becomes of it.
pub(crate) struct Flight<'a>(&'a Prepared);

impl<'a> Flight<'a> {
    /// Begins one, if the breaker lets it.
    pub(crate) fn begin(prepared: &'a Prepared, now: Timestamp) -> Option<Self> {
        let mut state = prepared.state();
        match state.breaker.says(now) {
            Says::WaitUntil(_) => return None,
            Says::Probe if state.in_flight > 0 => return None,
            Says::Probe | Says::Go => state.in_flight += 1,
        }
        drop(state);
        Some(Self(prepared))
    }
    pub(crate) fn succeeded(self) {
        self.0.state().breaker.succeeded();
    }
    pub(crate) fn failed(self, now: Timestamp) {
        self.0.state().breaker.failed(now);
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        self.0.state().in_flight -= 1;
    }
}
