//! Messages that were given up, counted for endpoints that are to be switched off after so many in a day.

use crate::{FailureReason, endpoint::DeactivateAfter};

/// What a message that was given up counts as.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GivenUp {
    /// No answer came in time.
    Timeout,
    /// Anything else that the receiver did.
    Error,
}

impl GivenUp {
    /// From why its last try failed. What is wrong on our side, or in the endpoint's own settings, does not count.
    pub fn because_of(reason: FailureReason) -> Option<Self> {
        use FailureReason::{BodyTimeout, ConnectTimeout, ResponseTimeout};
        match reason {
            ConnectTimeout | ResponseTimeout | BodyTimeout => Some(Self::Timeout),
            other => other.blames_receiver().then_some(Self::Error),
        }
    }
}

/// How many an endpoint had in the last day. Counted by the hour: a day is up to an hour shorter than 24.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct GivenUpCount {
    /// Because no answer came in time.
    pub timeouts: u64,
    /// Because of anything else that the receiver did.
    pub errors: u64,
}

impl GivenUpCount {
    /// Hours that count, the present one included.
    pub const HOURS: i64 = 24;
}

impl DeactivateAfter {
    /// Whether so many are enough.
    pub fn is_reached_by(&self, count: GivenUpCount) -> bool {
        count.timeouts >= u64::from(self.timeouts) || count.errors >= u64::from(self.errors)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_and_other_errors_have_limits_of_their_own() {
        let limit = DeactivateAfter { timeouts: 3, errors: 5 };
        let reached = |timeouts, errors| limit.is_reached_by(GivenUpCount { timeouts, errors });
        assert!(!reached(2, 4));
        assert!(reached(3, 0) && reached(0, 5) && reached(4, 6));
    }

    #[test]
    fn only_what_the_receiver_did_counts() {
        for reason in [FailureReason::ConnectTimeout, FailureReason::ResponseTimeout, FailureReason::BodyTimeout] {
            assert_eq!(GivenUp::because_of(reason), Some(GivenUp::Timeout));
        }
        for reason in [FailureReason::ServerError, FailureReason::ConnectionRefused, FailureReason::QueueMissing] {
            assert_eq!(GivenUp::because_of(reason), Some(GivenUp::Error));
        }
        for reason in [FailureReason::FormatFailed, FailureReason::BadRequest, FailureReason::QueueTooLarge] {
            assert_eq!(GivenUp::because_of(reason), None);
        }
    }
}
