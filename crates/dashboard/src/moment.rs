//! A time of one's own in a form. Fields are in UTC and say so; the page's script puts them into the viewer's own time zone, and
//! sends instants. Addresses hold instants either way, so that a link means the same to everybody.

use crate::form::Fields;
use domain::Timestamp;

/// What is said of a time that cannot be read.
pub(crate) const WRONG: &str = "Give a date and time such as 2026-05-01 09:14 (UTC).";

/// A time that a form or an address may hold.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) enum Moment {
    /// None is given.
    #[default]
    None,
    At(Timestamp),
    /// What is given is no time.
    Wrong(String),
}

impl Moment {
    /// What the field of this name says.
    pub(crate) fn read(fields: &Fields, name: &str) -> Self {
        let text = fields.get(name);
        match instant(text) {
            _ if text.is_empty() => Self::None,
            Some(at) => Self::At(at),
            None => Self::Wrong(text.to_owned()),
        }
    }
    /// The instant, if there is one.
    pub(crate) fn at(&self) -> Option<Timestamp> {
        match self {
            Self::At(at) => Some(*at),
            Self::None | Self::Wrong(_) => None,
        }
    }
    pub(crate) fn is_none(&self) -> bool {
        *self == Self::None
    }
    pub(crate) fn is_wrong(&self) -> bool {
        matches!(self, Self::Wrong(_))
    }
    /// In an address: the instant, or what was given.
    pub(crate) fn in_address(&self) -> String {
        match self {
            Self::None => String::new(),
            Self::At(at) => at.to_string(),
            Self::Wrong(text) => text.clone(),
        }
    }
    /// In a field of the kind `datetime-local`: in UTC, to the second.
    pub(crate) fn in_field(&self) -> String {
        let Some(at) = self.at() else { return String::new() };
        let seconds = Timestamp::from_micros(at.as_seconds() * 1_000_000).to_string();
        let text = seconds.trim_end_matches('Z');
        text.strip_suffix(":00").unwrap_or(text).to_owned()
    }
}

/// A time as people and browsers write it, in UTC unless it says otherwise.
pub(crate) fn instant(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    if let Some(at) = Timestamp::parse(text) {
        return Some(at);
    }
    let text = text.trim_end_matches('Z').replace('T', " ");
    let seconds = if text.len() == "2026-05-01 09:14".len() { ":00" } else { "" };
    Timestamp::parse(&format!("{text}{seconds}Z"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(value: &str) -> Moment {
        let mut text = form_urlencoded::Serializer::new(String::new());
        Moment::read(&Fields::read(text.append_pair("at", value).finish().as_bytes()), "at")
    }

    #[test]
    fn a_time_is_taken_as_people_browsers_and_addresses_write_it() {
        let at = Timestamp::parse("2026-05-01T09:14:00Z").unwrap();
        for text in [
            "2026-05-01 09:14",
            "2026-05-01T09:14",
            "2026-05-01T09:14:00",
            "2026-05-01T09:14Z",
            "2026-05-01T09:14:00.000Z",
            "2026-05-01T05:14:00-04:00",
        ] {
            assert_eq!(moment(text), Moment::At(at), "{text}");
        }
        assert_eq!(moment(""), Moment::None);
        assert!(moment("tomorrow").is_wrong() && moment("2026-05-01").is_wrong());
    }

    #[test]
    fn addresses_hold_instants_and_fields_times_in_utc() {
        assert_eq!(moment("2026-05-01T05:14-04:00").in_address(), "2026-05-01T09:14:00Z");
        assert_eq!(moment("2026-05-01T05:14-04:00").in_field(), "2026-05-01T09:14");
        assert_eq!(moment("2026-05-01T09:14:30.25Z").in_field(), "2026-05-01T09:14:30");
        assert_eq!((moment("someday").in_address().as_str(), moment("someday").in_field().as_str()), ("someday", ""));
    }
}
