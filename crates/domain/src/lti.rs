//! The words of LTI 2 as Canvas speaks it: root accounts, developer keys, tools (their installations are called tool
//! proxies), registrations, and the subscriptions of tools.
//!
//! A subscription is an endpoint; what stands here is what the endpoint does not say itself. Which capability opens which
//! event type is `platforms`' business, who may do what is `service`'s.

use crate::{
    ids::AppKey,
    names::{Channel, NameError},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, fmt, str::FromStr, sync::Arc};

/// Global ids are the number of a shard times this, plus the id inside of the shard.
const SHARD: u64 = 10_000_000_000_000;

/// Why a text is no name of a tool or a subscription.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to 64 letters, digits and hyphens")]
pub struct GuidError;

macro_rules! guid {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);
        impl $name {
            /// A new one, a UUID made of random bytes.
            pub fn random(bytes: [u8; 16]) -> Self {
                Self(uuid(bytes).into())
            }
            /// As text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl FromStr for $name {
            type Err = GuidError;
            fn from_str(text: &str) -> Result<Self, GuidError> {
                let fits = |c: u8| c.is_ascii_alphanumeric() || c == b'-';
                let ok = (1..=64).contains(&text.len()) && text.bytes().all(fits);
                if ok { Ok(Self(text.into())) } else { Err(GuidError) }
            }
        }
        impl TryFrom<String> for $name {
            type Error = GuidError;
            fn try_from(text: String) -> Result<Self, GuidError> {
                text.parse()
            }
        }
        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.as_ref().to_owned()
            }
        }
    };
}

guid!(/** Names an installed tool: the `guid` of its proxy. Before that, its registration: the `reg_key`. */ ToolGuid);
guid!(/** Names a subscription: `Id` in Canvas's API, `subscription.id` in what is delivered. */ SubscriptionId);

/// Random bytes as a UUID of version 4.
pub fn uuid(random: [u8; 16]) -> String {
    let mut b = random;
    b[6] = b[6] & 0x0f | 0x40;
    b[8] = b[8] & 0x3f | 0x80;
    let hex: String = b.iter().map(|x| format!("{x:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// A secret shared with a tool or its vendor. Never printed by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct SharedSecret(String);

impl SharedSecret {
    /// From its text.
    pub fn new(text: String) -> Self {
        Self(text)
    }
    /// The secret itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SharedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedSecret(…)")
    }
}

/// A global id as Canvas writes them: in decimal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GlobalId(pub u64);

impl GlobalId {
    /// On a shard, the id inside of it.
    pub fn on_shard(shard: u64, local: u64) -> Self {
        Self(shard * SHARD + local % SHARD)
    }
    /// The number of its shard.
    pub fn shard(self) -> u64 {
        self.0 / SHARD
    }
    /// The id inside of its shard.
    pub fn local(self) -> u64 {
        self.0 % SHARD
    }
}

impl fmt::Display for GlobalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for GlobalId {
    type Err = std::num::ParseIntError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// What an application is called as a root account.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RootAccount {
    /// The application.
    pub app: AppKey,
    /// What subscriptions name it by: 40 random characters in Canvas.
    pub uuid: String,
    /// Its numeric id.
    pub id: GlobalId,
    /// What tools see in the profile: `<hash>.<domain>` in Canvas.
    pub guid: String,
    /// Where the platform itself answers, without a slash at the end: for the services that are not ours.
    pub platform_url: Option<String>,
}

impl RootAccount {
    /// Whether a text names it: its uuid, or its id in either form.
    pub fn is(&self, name: &str) -> bool {
        name == self.uuid || name.parse().is_ok_and(|id: GlobalId| id == self.id || id.0 == self.id.local())
    }
}

/// A key that was issued to a tool's vendor: opens what a tool cannot have without one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeveloperKey {
    /// What it is called; the `sub` of its assertions.
    pub id: GlobalId,
    /// Where it is valid.
    pub app: AppKey,
    /// For people: the vendor, the tool.
    pub name: String,
    /// Signs its assertions.
    pub secret: SharedSecret,
    /// Whether it opens anything now.
    pub active: bool,
    /// What its tools may be given.
    pub capabilities: BTreeSet<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// Whether a tool may do anything.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ToolState {
    /// It may.
    Active,
    /// Switched off: its tokens and its subscriptions do nothing.
    Disabled,
}

impl ToolState {
    /// As it is stored and shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Disabled => "disabled",
        }
    }
}

/// A service of the platform that a tool may use, and with which HTTP methods.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ToolService {
    /// The bare name: `vnd.Canvas.webhooksSubscription`.
    pub service: String,
    /// `GET`, `POST` …
    #[serde(rename = "action")]
    pub actions: BTreeSet<String>,
}

/// A tool that is installed in a root account: a tool proxy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tool {
    /// Its name everywhere; the `sub` of its assertions.
    pub guid: ToolGuid,
    /// The root account.
    pub app: AppKey,
    /// The key of its vendor, without which it gets no tokens.
    pub developer_key: Option<GlobalId>,
    /// For people.
    pub name: String,
    /// Signs its assertions.
    pub secret: SharedSecret,
    /// Whether both sides made the secret together; without that it gets no tokens.
    pub split_secret: bool,
    /// What it was given.
    pub capabilities: BTreeSet<String>,
    /// Its security contract: what it may call.
    pub services: Vec<ToolService>,
    /// Where it wants the events of assignments that it checks.
    pub event_url: Option<String>,
    /// Whether it may do anything.
    pub state: ToolState,
    /// When it was installed.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

impl Tool {
    /// Whether its contract has a service with this method.
    pub fn may_call(&self, service: &str, method: &str) -> bool {
        let allows = |s: &ToolService| s.service == service && s.actions.iter().any(|a| a.eq_ignore_ascii_case(method));
        self.services.iter().any(allows)
    }
}

/// An invitation to a tool to register itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Registration {
    /// Names it; becomes the tool's guid.
    pub key: ToolGuid,
    /// Where the tool will be installed.
    pub app: AppKey,
    /// Signs its assertions.
    pub password: SharedSecret,
    /// When it was made.
    pub created_at: Timestamp,
    /// Until when it can be used, once.
    pub expires_at: Timestamp,
}

/// Who asks for a token: what its `sub` names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Subject {
    /// An installed tool.
    Tool(Box<Tool>),
    /// A vendor.
    DeveloperKey(Box<DeveloperKey>),
    /// A tool that is about to register.
    Registration(Box<Registration>),
}

/// The kind of a subscription's context.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContextType {
    /// One assignment.
    Assignment,
    /// One course.
    Course,
    /// An account below the root account, or the root account itself.
    Account,
    /// All of a root account.
    RootAccount,
}

impl ContextType {
    /// All of them, the widest first.
    pub const ALL: [Self; 4] = [Self::RootAccount, Self::Account, Self::Course, Self::Assignment];
    /// The channel of one context: `course:45`, `root_account:<uuid>`. None if the id has a character that no id has.
    /// Of a global number, which begins with that of the institution, the local part is taken.
    pub fn channel(self, id: &str) -> Option<Channel> {
        Channel::new(id).ok()?;
        match (self, id.parse::<GlobalId>()) {
            (Self::Course | Self::Assignment, Ok(number)) => {
                Channel::new(&format!("{}:{}", self.name(), number.local()))
            }
            _ => Channel::new(&format!("{}:{id}", self.name())),
        }
        .ok()
    }
    /// The context that a channel stands for, and its id.
    pub fn of_channel(channel: &Channel) -> Option<(Self, &str)> {
        let (name, id) = channel.as_str().split_once(':')?;
        let context = Self::ALL.into_iter().find(|c| c.name() == name)?;
        (!id.is_empty()).then_some((context, id))
    }
    /// As Canvas writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Assignment => "assignment",
            Self::Course => "course",
            Self::Account => "account",
            Self::RootAccount => "root_account",
        }
    }
}

/// Why a text is not the kind of a context.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("ContextType must be assignment, course, account or root_account")]
pub struct UnknownContextType;

impl fmt::Display for ContextType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for ContextType {
    type Err = UnknownContextType;
    /// In any case, since old tools write `Course`.
    fn from_str(text: &str) -> Result<Self, UnknownContextType> {
        Self::ALL.into_iter().find(|t| t.name().eq_ignore_ascii_case(text)).ok_or(UnknownContextType)
    }
}

/// Why a context is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContextError {
    /// Another root account, or none.
    #[error("ContextId is not this root account")]
    OtherAccount,
    /// Not a name.
    #[error("ContextId: {0}")]
    Name(#[from] NameError),
}

/// The labels that messages of a context carry: one of them is enough. Ids are known in their short and their long form.
pub fn channels_of(kind: ContextType, id: &str, account: &RootAccount) -> Result<BTreeSet<Channel>, ContextError> {
    let label = |kind: ContextType, id: &dyn fmt::Display| Channel::new(&format!("{}:{id}", kind.name()));
    match kind {
        ContextType::RootAccount if !account.is(id) => Err(ContextError::OtherAccount),
        ContextType::RootAccount => Ok([label(kind, &account.uuid)?].into()),
        ContextType::Account if account.is(id) => {
            let root = label(ContextType::RootAccount, &account.uuid)?;
            Ok([root, label(kind, &account.uuid)?, label(kind, &account.id)?].into())
        }
        ContextType::Assignment | ContextType::Course | ContextType::Account => {
            // An empty id would still make a label of the right form.
            Channel::new(id)?;
            let mut labels = BTreeSet::from([label(kind, &id)?]);
            if let Ok(number) = id.parse::<GlobalId>() {
                let other = match number.shard() {
                    0 => GlobalId::on_shard(account.id.shard(), number.0),
                    _ => GlobalId(number.local()),
                };
                labels.insert(label(kind, &other)?);
            }
            Ok(labels)
        }
    }
}

/// What makes an endpoint a subscription of a tool.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Subscription {
    /// Its name.
    pub id: SubscriptionId,
    /// Whose it is.
    pub tool: ToolGuid,
    /// The kind of its context.
    pub context_type: ContextType,
    /// Its context, as the tool named it.
    pub context_id: String,
    /// Events of background jobs, where the tool chose them apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system_event_types: Option<BTreeSet<String>>,
    /// Events of web requests, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_event_types: Option<BTreeSet<String>>,
    /// Only events of assignments that this tool checks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub integration: Option<ToolGuid>,
    /// Made for the tool when it was installed, and removed with it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub automatic: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account() -> RootAccount {
        let uuid = "VicYj3cu5BIFpoZhDVU4DZumnlBrWi1grgJEzADs".to_owned();
        RootAccount {
            app: AppKey(1),
            uuid,
            id: GlobalId(21_070_000_000_000_001),
            guid: "x.example".to_owned(),
            platform_url: None,
        }
    }
    fn labels(kind: ContextType, id: &str) -> Result<Vec<String>, ContextError> {
        Ok(channels_of(kind, id, &account())?.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_context_is_found_by_its_short_and_its_long_id() {
        let both = vec!["assignment:21070000000000565".to_owned(), "assignment:565".to_owned()];
        assert_eq!(labels(ContextType::Assignment, "565"), Ok(both.clone()));
        assert_eq!(labels(ContextType::Assignment, "21070000000000565"), Ok(both));
        assert_eq!(
            labels(ContextType::Course, "30000000000007"),
            Ok(vec!["course:30000000000007".to_owned(), "course:7".to_owned()])
        );
        assert_eq!(labels(ContextType::Account, "abc"), Ok(vec!["account:abc".to_owned()]));
    }

    #[test]
    fn a_root_account_is_itself_only() {
        let root = format!("root_account:{}", account().uuid);
        for id in [account().uuid.as_str(), "21070000000000001", "1"] {
            assert_eq!(labels(ContextType::RootAccount, id), Ok(vec![root.clone()]), "{id}");
            assert!(labels(ContextType::Account, id).unwrap().contains(&root), "{id}");
        }
        for id in ["2", "", "another"] {
            assert_eq!(labels(ContextType::RootAccount, id), Err(ContextError::OtherAccount), "{id}");
        }
        assert!(matches!(labels(ContextType::Course, ""), Err(ContextError::Name(_))));
        assert!(matches!(labels(ContextType::Course, "a b"), Err(ContextError::Name(_))));
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        assert_eq!("Root_Account".parse(), Ok(ContextType::RootAccount));
        assert!("section".parse::<ContextType>().is_err());
        let guid = ToolGuid::random([0xff; 16]);
        assert_eq!(guid.as_str(), "ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert_eq!(guid.as_str().parse(), Ok(guid));
        for bad in ["", "a b", "a/b", &"x".repeat(65)] {
            assert!(bad.parse::<ToolGuid>().is_err(), "{bad}");
        }
        assert_eq!(format!("{:?}", SharedSecret::new("hidden".into())), "SharedSecret(…)");
    }

    #[test]
    fn a_tool_may_call_what_its_contract_lists_with_the_methods_that_it_lists() {
        let service = ToolService { service: "a".into(), actions: ["GET".to_owned()].into() };
        let tool = Tool {
            guid: ToolGuid::random([0; 16]),
            app: AppKey(1),
            developer_key: None,
            name: String::new(),
            secret: SharedSecret::new(String::new()),
            split_secret: true,
            capabilities: BTreeSet::new(),
            services: vec![service],
            event_url: None,
            state: ToolState::Active,
            created_at: Timestamp::default(),
            updated_at: Timestamp::default(),
        };
        assert!(tool.may_call("a", "get"));
        assert!(!tool.may_call("a", "POST") && !tool.may_call("b", "GET"));
    }
}
