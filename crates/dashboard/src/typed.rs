//! What people type into fields about endpoints, wherever such a field is: how it is read, and how what is stored is put back into
//! it. Whether it is allowed, the operation decides.

use domain::{Encoding, Format, RetrySchedule, retry::ScheduleError};
use service::Patch;
use std::{collections::BTreeSet, fmt::Display};

/// Stands for a value that is not shown; left as it is, the value stays.
pub(crate) const HIDDEN: &str = "••••••";
/// For a schedule without waits, which no list of waits can say.
const ONE_TRY: &str = "none";

/// The words of a text that commas, spaces or lines set apart.
pub(crate) fn words(text: &str) -> Vec<String> {
    text.split([',', ' ', '\n', '\r']).filter(|w| !w.is_empty()).map(str::to_owned).collect()
}

/// Words as a field shows them.
pub(crate) fn list<T: Display>(items: impl IntoIterator<Item = T>) -> String {
    items.into_iter().map(|i| i.to_string()).collect::<Vec<_>>().join(", ")
}

/// A number, nothing, or a complaint.
pub(crate) fn number(text: &str) -> Result<Patch<u16>, String> {
    if text.is_empty() {
        return Ok(Patch::Clear);
    }
    text.parse().map(Patch::Set).map_err(|_| format!("'{text}' is not a whole number from 0 to 65535"))
}

/// Waits between tries, nothing, or a complaint.
pub(crate) fn waits(text: &str) -> Result<Patch<RetrySchedule>, String> {
    let list = match text {
        "" => return Ok(Patch::Clear),
        ONE_TRY => "",
        list => list,
    };
    list.parse().map(Patch::Set).map_err(|e: ScheduleError| e.to_string())
}

/// Waits as their field shows them.
pub(crate) fn waits_in_field(schedule: &RetrySchedule) -> String {
    if schedule.waits().is_empty() { ONE_TRY.to_owned() } else { schedule.to_string().replace(',', ", ") }
}

/// Statuses after which no try follows.
pub(crate) fn statuses(text: &str) -> Result<BTreeSet<u16>, String> {
    words(text).into_iter().map(|w| w.parse().map_err(|_| format!("'{w}' is not an HTTP status"))).collect()
}

/// Headers, one on each line.
pub(crate) fn headers(text: &str) -> Result<Vec<(String, String)>, String> {
    let lines = text.lines().map(str::trim).filter(|l| !l.is_empty());
    let read = |line: &str| match line.split_once(':') {
        Some((name, value)) => Ok((name.trim().to_owned(), value.trim().to_owned())),
        None => Err(format!("'{line}' is not a header: write name: value")),
    };
    lines.map(read).collect()
}

/// The formats to choose from: names, and what they are.
pub(crate) fn formats() -> Vec<(&'static str, &'static str)> {
    Format::ALL.iter().map(|f| (f.name(), f.description())).collect()
}

/// The encodings to choose from.
pub(crate) fn encodings() -> Vec<(&'static str, &'static str)> {
    Encoding::ALL.iter().map(|e| (e.name(), e.description())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_field_shows_can_be_saved_again() {
        for text in ["5s, 5m, 30m", "none"] {
            let Ok(Patch::Set(schedule)) = waits(text) else { panic!("{text} was not read") };
            assert_eq!(waits_in_field(&schedule), text);
        }
        assert_eq!(waits(""), Ok(Patch::Clear));
        assert_eq!(list(statuses("422 404,\n404").unwrap()), "404, 422");
        assert_eq!((number("7"), number("")), (Ok(Patch::Set(7)), Ok(Patch::Clear)));
        let both = [("X-A".to_owned(), "b".to_owned()), ("X-B".to_owned(), "c:d".to_owned())];
        assert_eq!(headers("X-A: b\r\n\r\n X-B:c:d"), Ok(both.to_vec()));
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        assert_eq!(waits("5s, soon").unwrap_err().split(':').next(), Some("'soon' is not a wait"));
        assert_eq!(statuses("404, none").unwrap_err(), "'none' is not an HTTP status");
        assert_eq!(number("many").unwrap_err(), "'many' is not a whole number from 0 to 65535");
        assert_eq!(headers("nonsense").unwrap_err(), "'nonsense' is not a header: write name: value");
    }
}
