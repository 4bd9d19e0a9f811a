//! The system's clock. The only place of the program that reads it.

use domain::{Clock, Timestamp};
use std::time::{SystemTime, UNIX_EPOCH};

/// What time the system says it is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        // A clock before 1970 is a machine that was not set yet; ids and due times then begin at 1970.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }
}
