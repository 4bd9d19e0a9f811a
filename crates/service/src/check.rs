//! Rules for fields. A [`Check`] collects every rule that a command breaks, so that one answer names them all.

use crate::{
    error::{Problem, ServiceError},
    patch::Patch,
};
use domain::{Channel, EventTypeName, NameError, Tag, Uid, ids::IdError};
use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    str::FromStr,
};

/// Characters of free text at most. Svix has no limit below its body limit; names in lists need one.
const TEXT_MAX: usize = 64 * 1024;
/// Bytes of metadata as JSON at most.
const METADATA_MAX: usize = 4096;
/// Tags of a message at most.
const TAGS_MAX: usize = 5;

/// Collects the rules that a command breaks.
pub struct Check {
    base: &'static [&'static str],
    problems: Vec<Problem>,
}

impl Check {
    /// Of the body.
    pub fn body() -> Self {
        Self::at(&["body"])
    }
    /// Of an object inside the body.
    pub fn at(base: &'static [&'static str]) -> Self {
        Self { base, problems: Vec::new() }
    }
    /// Whether any was broken.
    pub fn finish(self) -> Result<(), ServiceError> {
        if self.problems.is_empty() { Ok(()) } else { Err(ServiceError::Invalid(self.problems)) }
    }
    /// The error of a check that found something.
    pub fn into_error(self) -> ServiceError {
        ServiceError::Invalid(self.problems)
    }
    /// Takes over what another check found.
    pub fn absorb(&mut self, other: Self) {
        self.problems.extend(other.problems);
    }

    /// A rule that is broken at a path below the base.
    pub fn fail(&mut self, path: &[&'static str], msg: impl Into<Cow<'static, str>>) {
        self.push(path.iter().map(|p| Cow::Borrowed(*p)).collect(), msg.into(), Problem::RULE);
    }
    /// A value that cannot be read.
    pub fn unreadable(&mut self, field: &'static str, msg: impl Into<Cow<'static, str>>) {
        self.push(vec![Cow::Borrowed(field)], msg.into(), Problem::DECODE);
    }
    fn push(&mut self, path: Vec<Cow<'static, str>>, msg: Cow<'static, str>, kind: &'static str) {
        let loc = self.base.iter().map(|b| Cow::Borrowed(*b)).chain(path).collect();
        self.problems.push(Problem { loc, msg, kind });
    }

    fn named<T>(&mut self, field: &'static str, read: Result<T, NameError>) -> Option<T> {
        read.map_err(|e| self.fail(&[field, "__all__"], e.to_string())).ok()
    }

    /// The user's own name of an object whose ids start with `prefix`.
    pub fn uid(&mut self, text: &str, prefix: &str) -> Option<Uid> {
        self.named("uid", Uid::checked(text, prefix))
    }
    /// The name of an event type.
    pub fn event_type(&mut self, field: &'static str, text: &str) -> Option<EventTypeName> {
        self.named(field, EventTypeName::new(text))
    }
    /// An order key.
    pub fn order_key(&mut self, text: &str) -> Option<domain::OrderKey> {
        self.named("order_key", domain::OrderKey::new(text))
    }

    fn items<T: Ord>(
        &mut self,
        field: &'static str,
        texts: &[impl AsRef<str>],
        read: impl Fn(&str) -> Result<T, NameError>,
    ) -> BTreeSet<T> {
        let mut set = BTreeSet::new();
        for (i, text) in texts.iter().enumerate() {
            match read(text.as_ref()) {
                Ok(item) => {
                    set.insert(item);
                }
                Err(e) => {
                    let path = vec![Cow::Borrowed(field), Cow::Owned(format!("[{i}]")), Cow::Borrowed("__all__")];
                    self.push(path, e.to_string().into(), Problem::RULE);
                }
            }
        }
        set
    }
    /// A selection of event types: not empty.
    pub fn event_types(&mut self, texts: &[impl AsRef<str>]) -> BTreeSet<EventTypeName> {
        if texts.is_empty() {
            self.fail(&["event_types"], "eventTypes can't be empty, it must have at least one item.");
        }
        self.items("event_types", texts, EventTypeName::new)
    }
    /// Channels of one object at most.
    pub const CHANNELS_MAX: usize = 10;

    /// Channels: 1 to 10.
    pub fn channels(&mut self, texts: &[impl AsRef<str>]) -> BTreeSet<Channel> {
        self.channels_up_to(texts, Self::CHANNELS_MAX)
    }
    /// Channels: at least one.
    pub(crate) fn channels_up_to(&mut self, texts: &[impl AsRef<str>], most: usize) -> BTreeSet<Channel> {
        let set = self.items("channels", texts, Channel::new);
        if texts.is_empty() || set.len() > most {
            let msg = "Channels must have at least 1 and at most 10 items, or be set to null.";
            self.fail(&["channels"], msg);
        }
        set
    }

    /// Tags: up to 5; none is as good as absent.
    pub fn tags(&mut self, texts: &[impl AsRef<str>]) -> BTreeSet<Tag> {
        let set = self.items("tags", texts, Tag::new);
        if set.len() > TAGS_MAX {
            self.fail(&["tags"], "Tags must have at most 5 items.");
        }
        set
    }

    /// A name for people: not empty, no control characters.
    pub fn name(&mut self, text: &str) {
        if text.is_empty() {
            self.fail(&["name"], "Application names must be at least one character");
        }
        self.text("name", text);
    }
    /// Text for people: no control characters.
    pub fn text(&mut self, field: &'static str, text: &str) {
        if text.bytes().any(|b| b <= 8) {
            self.fail(&[field], "Control characters 0x00-0x08 not allowed.");
        }
        if text.len() > TEXT_MAX {
            self.fail(&[field], "String too long");
        }
    }
    /// Deliveries per second: at least 1.
    pub fn throttle_rate(&mut self, rate: Option<u16>) {
        if rate == Some(0) {
            self.fail(&["throttle_rate"], "Validation error");
        }
    }
    /// The user's own notes: at most 4096 bytes as JSON.
    pub fn metadata(&mut self, metadata: &BTreeMap<String, String>) {
        let size = serde_json::to_vec(metadata).map_or(usize::MAX, |json| json.len());
        if size > METADATA_MAX {
            self.fail(&["metadata", "__all__"], "metadata must be less than or equal to 4096 bytes");
        }
    }
    /// A number in a range.
    pub fn range(&mut self, field: &'static str, n: Option<i64>, allowed: std::ops::RangeInclusive<i64>) {
        if n.is_some_and(|n| !allowed.contains(&n)) {
            let msg = format!("must be between {} and {}", allowed.start(), allowed.end());
            self.fail(&[field], msg);
        }
    }
    /// How long things are kept: the key `retention` of a body.
    pub fn retention(&mut self, retention: &Patch<domain::Retention>) {
        if let Some(r) = retention.value() {
            let mut inner = Self::at(&["body", "retention"]);
            inner.range("payloadDays", r.payload_days.map(i64::from), 1..=90);
            inner.range("attemptDays", r.attempt_days.map(i64::from), 1..=3650);
            self.absorb(inner);
        }
    }
}

/// Reads an id in a path, where a uid is not possible. Another kind of id is a broken rule; the right kind that cannot be
/// an id (`None`) names nothing.
pub(crate) fn read_id<I: FromStr<Err = IdError>>(field: &'static str, text: &str) -> Result<Option<I>, ServiceError> {
    match text.parse() {
        Ok(id) => Ok(Some(id)),
        Err(IdError::Rest) => Ok(None),
        Err(e @ IdError::Prefix) => Err(ServiceError::invalid(&["path", field, "__all__"], e.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn locs(check: Check) -> Vec<String> {
        match check.finish() {
            Ok(()) => Vec::new(),
            Err(ServiceError::Invalid(problems)) => problems.iter().map(|p| p.loc.join("/")).collect(),
            Err(e) => panic!("{e:?}"),
        }
    }

    #[test]
    fn every_broken_rule_is_named_with_its_place() {
        let mut c = Check::body();
        c.uid("app_1", "app_");
        c.name("");
        c.text("description", "a\u{3}");
        c.throttle_rate(Some(0));
        c.channels(&["ok", "not ok"]);
        c.event_types(&[] as &[&str]);
        c.metadata(&BTreeMap::from([("k".to_owned(), "v".repeat(4096))]));
        c.range("payload_retention_period", Some(91), 1..=90);
        assert_eq!(
            locs(c),
            [
                "body/uid/__all__",
                "body/name",
                "body/description",
                "body/throttle_rate",
                "body/channels/[1]/__all__",
                "body/event_types",
                "body/metadata/__all__",
                "body/payload_retention_period",
            ]
        );
    }

    #[test]
    fn ten_channels_are_enough() {
        let many: Vec<String> = (0..11).map(|n| format!("c{n}")).collect();
        let mut c = Check::body();
        assert_eq!(c.channels(&many[..10]).len(), 10);
        assert!(c.problems.is_empty());
        c.channels(&many);
        assert_eq!(locs(c), ["body/channels"]);
    }
}
