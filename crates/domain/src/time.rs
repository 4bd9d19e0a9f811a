//! Instants in microseconds, and the clock that others hand in.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{fmt, time::Duration};

/// An instant: microseconds since 1970-01-01T00:00:00Z. Written as RFC 3339 with `Z`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From microseconds since the Unix epoch.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }
    /// Microseconds since the Unix epoch.
    pub const fn as_micros(self) -> i64 {
        self.0
    }
    /// Milliseconds since the Unix epoch, rounded down.
    pub const fn as_millis(self) -> i64 {
        self.0.div_euclid(1_000)
    }
    /// Whole seconds since the Unix epoch, rounded down.
    pub const fn as_seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }
    /// This instant later by `d`; stays at the greatest instant instead of overflowing.
    pub fn plus(self, d: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(d.as_micros()).unwrap_or(i64::MAX)))
    }
    /// This instant earlier by `d`; stays at the least instant instead of overflowing.
    pub fn minus(self, d: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(d.as_micros()).unwrap_or(i64::MAX)))
    }
    /// How long after `earlier` this is; zero if it is not.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
    /// Reads the forms that Svix takes: RFC 3339, `T` or a space between date and time, `Z`, ` UTC` or an offset.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let normal = match text.strip_suffix(" UTC") {
            Some(rest) => format!("{rest}Z"),
            None => text.to_owned(),
        };
        let ts: jiff::Timestamp = normal.parse().ok()?;
        Some(Self(ts.as_microsecond()))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Years beyond 9999 either way have no written form; only saturating arithmetic gets there.
        let nearest = if self.0 < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
        write!(f, "{}", jiff::Timestamp::from_microsecond(self.0).unwrap_or(nearest))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(d)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("not a date and time in RFC 3339 form"))
    }
}

/// What time it is. The binary hands in the system's clock, tests hand in one they move by hand.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Timestamp;
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn dates_are_read_in_every_form_that_svix_reads() {
        let want = Timestamp::parse("2024-05-02T09:14:03.5Z").unwrap();
        for form in [
            "2024-05-02 09:14:03.5Z",
            "2024-05-02T09:14:03.5 UTC",
            "2024-05-02 09:14:03.5 UTC",
            "2024-05-02T10:14:03.5+01:00",
        ] {
            assert_eq!(Timestamp::parse(form), Some(want), "{form}");
        }
        assert_eq!(Timestamp::parse("2024-05-02"), None);
        assert_eq!(want.to_string(), "2024-05-02T09:14:03.5Z");
    }

    /// Instants that have a written form.
    fn writable() -> impl Strategy<Value = Timestamp> {
        (jiff::Timestamp::MIN.as_microsecond()..=jiff::Timestamp::MAX.as_microsecond()).prop_map(Timestamp)
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(t in writable()) {
            prop_assert_eq!(Timestamp::parse(&t.to_string()), Some(t));
            let json = serde_json::to_string(&t).unwrap();
            prop_assert_eq!(serde_json::from_str::<Timestamp>(&json).unwrap(), t);
        }

        #[test]
        fn every_instant_has_a_written_form_and_arithmetic_stays_in_range(micros: i64, seconds: u64, nanos in 0..1_000_000_000u32) {
            let (t, d) = (Timestamp(micros), Duration::new(seconds, nanos));
            prop_assert!(Timestamp::parse(&t.to_string()).is_some());
            prop_assert!(t.minus(d) <= t && t <= t.plus(d));
            prop_assert!(t.plus(d).since(t) <= d && t.minus(d).since(t) == Duration::ZERO);
            prop_assert_eq!(t.as_seconds(), t.as_millis().div_euclid(1_000));
        }

        #[test]
        fn foreign_text_is_a_date_or_none(text in "[0-9TZ:. +-]{0,40}|[ -~]{0,40}|\\PC{0,20}") {
            if let Some(t) = Timestamp::parse(&text) {
                prop_assert_eq!(Timestamp::parse(&t.to_string()), Some(t));
            }
        }
    }
}
