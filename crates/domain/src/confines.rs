//! What an access is limited to inside of an application: the channels of one course, of one room, of one track.
//!
//! An endpoint lies within if it listens to nothing else; a message, if it was published for one of the channels.

use crate::{endpoint::Endpoint, names::Channel};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, fmt};

/// Channels that an access is limited to: at least one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "BTreeSet<Channel>", into = "BTreeSet<Channel>")]
pub struct Confines(BTreeSet<Channel>);

/// No channels: such an access would see nothing, or, misread, everything.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("at least one channel is needed")]
pub struct NoChannels;

impl Confines {
    /// To these channels.
    pub fn to(channels: BTreeSet<Channel>) -> Result<Self, NoChannels> {
        if channels.is_empty() { Err(NoChannels) } else { Ok(Self(channels)) }
    }
    /// The channels.
    pub fn channels(&self) -> &BTreeSet<Channel> {
        &self.0
    }
    /// Whether an endpoint with these channels gets nothing from outside.
    pub fn hold_selection(&self, channels: &BTreeSet<Channel>) -> bool {
        !channels.is_empty() && channels.is_subset(&self.0)
    }
    /// Whether an endpoint lies within. One without channels gets everything, so it does not.
    pub fn hold_endpoint(&self, endpoint: &Endpoint) -> bool {
        endpoint.channels.as_ref().is_some_and(|channels| self.hold_selection(channels))
    }
    /// Whether a message with these channels was published for somebody within.
    pub fn hold_message(&self, channels: &BTreeSet<Channel>) -> bool {
        !self.0.is_disjoint(channels)
    }
}

impl TryFrom<BTreeSet<Channel>> for Confines {
    type Error = NoChannels;
    fn try_from(channels: BTreeSet<Channel>) -> Result<Self, NoChannels> {
        Self::to(channels)
    }
}

impl From<Confines> for BTreeSet<Channel> {
    fn from(confines: Confines) -> Self {
        confines.0
    }
}

impl fmt::Display for Confines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, channel) in self.0.iter().enumerate() {
            write!(f, "{}{channel}", if i == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &[&str]) -> BTreeSet<Channel> {
        names.iter().map(|n| Channel::new(n).unwrap()).collect()
    }

    #[test]
    fn an_endpoint_lies_within_only_with_all_of_its_channels() {
        let confines = Confines::to(set(&["course:1", "assignment:7"])).unwrap();
        for (channels, within) in [
            (&["course:1"][..], true),
            (&["assignment:7", "course:1"], true),
            (&["course:1", "course:2"], false),
            (&["course:12"], false),
            (&[], false),
        ] {
            assert_eq!(confines.hold_selection(&set(channels)), within, "{channels:?}");
        }
    }

    #[test]
    fn a_message_lies_within_with_one_of_its_channels() {
        let confines = Confines::to(set(&["course:1"])).unwrap();
        assert!(confines.hold_message(&set(&["root_account:x", "course:1"])));
        assert!(!confines.hold_message(&set(&["course:2"])) && !confines.hold_message(&set(&[])));
    }

    #[test]
    fn confines_to_nothing_cannot_be_written_down() {
        assert_eq!(Confines::to(BTreeSet::new()), Err(NoChannels));
        assert!(serde_json::from_str::<Confines>("[]").is_err());
        let confines: Confines = serde_json::from_str(r#"["course:1","a:2"]"#).unwrap();
        assert_eq!(confines.to_string(), "a:2, course:1");
        assert_eq!(serde_json::to_string(&confines).unwrap(), r#"["a:2","course:1"]"#);
    }
}
