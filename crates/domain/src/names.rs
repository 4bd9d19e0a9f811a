//! Names that users choose: uids, event types, channels, tags, order keys. Rules and messages as in Svix's API.

use serde::{Deserialize, Serialize};
use std::{fmt, sync::Arc};

/// Why a text cannot be such a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing there.
    #[error("String must be at least one character")]
    Empty,
    /// More characters than such a name may have.
    #[error("String too long")]
    TooLong,
    /// A character outside the alphabet.
    #[error("String must match the following pattern: [{0}].")]
    Alphabet(&'static str),
    /// A uid that looks like one of our ids.
    #[error("Uids are not allowed to have the same prefix as the ID. Prefix with _?")]
    LooksLikeId,
}

/// What a kind of name is made of, beside letters, digits, `-`, `_` and `.`.
struct Rule {
    more: &'static [u8],
    longest: usize,
    pattern: &'static str,
}

const PLAIN: Rule = Rule { more: b"", longest: 256, pattern: r"a-zA-Z0-9\-_." };
const WIDE: Rule = Rule { more: b":+", longest: 256, pattern: r"a-zA-Z0-9\-_.:+" };
const TAG: Rule = Rule { more: b"/\\#", longest: 128, pattern: r"a-zA-Z0-9\-_./\\#" };

fn check(text: &str, rule: &Rule) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if text.len() > rule.longest {
        return Err(NameError::TooLong);
    }
    let fits = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.') || rule.more.contains(&c);
    if text.bytes().all(fits) { Ok(()) } else { Err(NameError::Alphabet(rule.pattern)) }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $rule:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);
        impl $name {
            /// Checks and takes a text.
            pub fn new(text: &str) -> Result<Self, NameError> {
                check(text, &$rule)?;
                Ok(Self(text.into()))
            }
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                Self::new(&text)
            }
        }
        impl From<$name> for String {
            fn from(n: $name) -> String {
                n.0.as_ref().to_owned()
            }
        }
    };
}

name!(/** The name that the user gave an application, an endpoint or a message (`eventId`). */ Uid, PLAIN);
name!(/** An event type: words joined by full stops, `track.started`. */ EventTypeName, PLAIN);
name!(/** What a webfilter is asked about: `StudentLoginRequested`, or a name with a full stop. */ FilterName, PLAIN);
name!(/** A label on a message that endpoints can select. `:` and `+` are allowed: `assignment:123`. */ Channel, WIDE);
name!(/** What a message is found by; at most 128 characters, `/`, `\` and `#` among them. */ Tag, TAG);
name!(/** Messages of one order key reach an ordered endpoint one after the other. */ OrderKey, WIDE);

impl Uid {
    /// Checks a uid of an object whose ids start with `prefix`, which a uid must not.
    pub fn checked(text: &str, prefix: &str) -> Result<Self, NameError> {
        check(text, &PLAIN)?;
        if text.starts_with(prefix) { Err(NameError::LooksLikeId) } else { Self::new(text) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_keep_to_the_alphabet() {
        assert!(EventTypeName::new("track.challenge_1-x").is_ok());
        assert_eq!(EventTypeName::new(""), Err(NameError::Empty));
        assert_eq!(EventTypeName::new(&"x".repeat(257)), Err(NameError::TooLong));
        assert!(matches!(EventTypeName::new("a b"), Err(NameError::Alphabet(_))));
        assert!(EventTypeName::new("a:b").is_err() && Channel::new("a:b+c").is_ok());
        assert!(EventTypeName::new("é").is_err());
        assert!(Tag::new(r"course/7\b#x_1.-").is_ok() && Tag::new("a:b").is_err() && Tag::new("").is_err());
        assert!(Tag::new(&"x".repeat(128)).is_ok());
        assert_eq!(Tag::new(&"x".repeat(129)), Err(NameError::TooLong));
        assert_eq!(Uid::checked("app_x", "app_"), Err(NameError::LooksLikeId));
        assert!(Uid::checked("app_x", "ep_").is_ok());
    }

    proptest! {
        #[test]
        fn a_name_is_what_its_rule_says_and_stays_as_it_was_written(text in "[a-zA-Z0-9_.:+-]{0,260}|\\PC{0,12}|[ -~]{0,12}") {
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            let fits = |extra: &str| {
                (1..=256).contains(&text.len()) && text.chars().all(|c| plain(c) || extra.contains(c))
            };
            prop_assert_eq!(EventTypeName::new(&text).is_ok(), fits(""));
            prop_assert_eq!(Uid::new(&text).is_ok(), fits(""));
            prop_assert_eq!(Channel::new(&text).is_ok(), fits(":+"));
            prop_assert_eq!(OrderKey::new(&text).is_ok(), fits(":+"));
            prop_assert_eq!(Uid::checked(&text, "ep_").is_ok(), fits("") && !text.starts_with("ep_"));
            if let Ok(name) = Channel::new(&text) {
                prop_assert_eq!(name.as_str(), &text);
                let json = serde_json::to_string(&name).unwrap();
                prop_assert_eq!(serde_json::from_str::<Channel>(&json).unwrap(), name);
            }
        }

        #[test]
        fn json_cannot_bring_in_a_name_that_breaks_the_rule(text in "\\PC{0,12}") {
            let json = serde_json::to_string(&text).unwrap();
            prop_assert_eq!(serde_json::from_str::<EventTypeName>(&json).is_ok(), EventTypeName::new(&text).is_ok());
        }
    }
}
