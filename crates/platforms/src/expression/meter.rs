//! What an evaluation may use up: one allowance of work per run, counted on the evaluating thread.
//!
//! Every operation on values pays before it does its work, in proportion to it. When the allowance is used up the run is
//! marked as over its limit: fallible operations fail, infallible ones give null, iterators end, and the next step of the
//! expression halts. Whatever comes out after that is thrown away.

use std::cell::Cell;

/// Work of one run, in units of very roughly 100 ns or 50 bytes: bounds time (about 0.1 s) and memory (about 50 MiB) at
/// once.
pub(super) const ALLOWANCE: u64 = 1_000_000;
/// The largest value, as JSON and with everything shared counted each time it appears.
pub(super) const VALUE_BYTES: u64 = 8 * 1024 * 1024;
/// The deepest value. The reader of payloads stops at 128 already.
pub(super) const VALUE_DEPTH: u32 = 200;

/// What an evaluation ran into.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Limit {
    /// Too much work.
    #[error("it does too much work for one message")]
    Work,
    /// A value grew too large.
    #[error("a value grew larger than 8 MiB")]
    Size,
    /// A value was nested too deeply.
    #[error("a value was nested more than 200 levels deep")]
    Depth,
}

#[derive(Clone, Copy)]
struct Meter {
    left: u64,
    over: Option<Limit>,
    at: usize,
}

thread_local! {
    static METER: Cell<Meter> = const { Cell::new(Meter { left: 0, over: None, at: 0 }) };
}

/// Pays for work. False if the run is over a limit, now or since before.
pub(super) fn pay(units: u64) -> bool {
    let mut m = METER.get();
    if m.over.is_some() {
        return false;
    }
    match m.left.checked_sub(units) {
        Some(left) => m.left = left,
        None => m.over = Some(Limit::Work),
    }
    METER.set(m);
    m.over.is_none()
}

/// Marks the run as over a limit.
pub(super) fn exceed(limit: Limit) {
    let mut m = METER.get();
    m.over.get_or_insert(limit);
    METER.set(m);
}

/// Notes where in the source the evaluation is.
pub(super) fn arrive(at: usize) {
    let mut m = METER.get();
    m.at = at;
    METER.set(m);
}

/// Runs with a whole allowance. Gives what `run` gave, the limit it ran into if any, and where it was last.
pub(super) fn metered<T>(run: impl FnOnce() -> T) -> (T, Option<Limit>, usize) {
    METER.set(Meter { left: ALLOWANCE, over: None, at: 0 });
    let result = run();
    let m = METER.get();
    (result, m.over, m.at)
}
