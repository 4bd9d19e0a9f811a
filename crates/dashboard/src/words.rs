//! How times, numbers and states are said.

use domain::Timestamp;
use std::time::Duration;

/// An instant as a page shows it: near, and exact.
#[derive(Clone, Debug)]
pub(crate) struct When {
    /// For programs.
    pub(crate) iso: String,
    /// In full, for people.
    pub(crate) exact: String,
    /// From now.
    pub(crate) near: String,
}

impl When {
    pub(crate) fn new(at: Timestamp, now: Timestamp) -> Self {
        let iso = at.to_string();
        let seconds = Timestamp::from_micros(at.as_seconds() * 1_000_000).to_string();
        let exact = format!("{} UTC", seconds.trim_end_matches('Z').replace('T', " "));
        let near = if at > now {
            let wait = at.since(now);
            if wait < Duration::from_secs(1) { "now".to_owned() } else { format!("in {}", long(wait)) }
        } else {
            let past = now.since(at);
            if past < Duration::from_secs(5) { "just now".to_owned() } else { format!("{} ago", long(past)) }
        };
        Self { iso, exact, near }
    }
    /// Something that is planned; what should have begun by now is due.
    pub(crate) fn planned(at: Timestamp, now: Timestamp) -> Self {
        let when = Self::new(at, now);
        if at > now { when } else { Self { near: "now".to_owned(), ..when } }
    }
}

/// A length of time in its largest unit.
pub(crate) fn long(d: Duration) -> String {
    match d.as_secs() {
        0 => format!("{} ms", d.as_millis()),
        s @ 1..=119 => format!("{s} s"),
        s @ 120..=7_199 => format!("{} min", s / 60),
        s @ 7_200..=172_799 => format!("{} h", s / 3_600),
        s => format!("{} days", s / 86_400),
    }
}

/// Milliseconds for a table.
pub(crate) fn millis(ms: impl Into<u64>) -> String {
    match ms.into() {
        0 => "< 1 ms".to_owned(),
        ms @ 1..1_000 => format!("{ms} ms"),
        ms => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
    }
}

/// A state: its colour, its shape and its word always come together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mark {
    Delivered,
    Waiting,
    Failing,
    Failed,
    /// Something goes on otherwise than it came.
    Changed,
    Off,
}

impl Mark {
    /// The class that colours it, which is also the name of its shape.
    pub(crate) fn class(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Waiting => "waiting",
            Self::Failing => "failing",
            Self::Failed => "failed",
            Self::Changed => "changed",
            Self::Off => "off",
        }
    }
}

/// `1 endpoint`, `2 endpoints`.
pub(crate) fn count(n: usize, one: &str) -> String {
    if n == 1 { format!("1 {one}") } else { format!("{n} {one}s") }
}

/// A number with its thousands set apart.
pub(crate) fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// An HTTP status for a table.
pub(crate) fn status_code(code: u16) -> String {
    if code == 0 { "no answer".to_owned() } else { code.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_near_and_exact() {
        let now = Timestamp::parse("2026-05-01T12:00:00.5Z").unwrap();
        let near = |seconds| When::new(now.minus(Duration::from_secs(seconds)), now).near;
        assert_eq!([near(1), near(30), near(180), near(7_300)], ["just now", "30 s ago", "3 min ago", "2 h ago"]);
        assert_eq!(When::new(now.plus(Duration::from_secs(240)), now).near, "in 4 min");
        assert_eq!(When::planned(now.minus(Duration::from_secs(30)), now).near, "now");
        assert_eq!(When::new(now, now).exact, "2026-05-01 12:00:00 UTC");
    }

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
    }
}
