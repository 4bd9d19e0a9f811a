//! Webfilters: addresses that are asked before something happens and may change or stop it.
//!
//! Here are their settings, the rules of the filters they belong to ([`rules`]), what was heard from them and how it is
//! combined ([`combine`](combine()), pure), and what a run is remembered as ([`run`]). Asking is `filters`' business.

mod answer;
mod change;
mod combine;
mod protect;
pub mod rules;
pub mod run;
#[cfg(test)]
mod tests;

pub use change::{Change, changes};
pub use combine::{Combined, combine, halt_of};
pub use protect::{Protection, is_credential};
pub use rules::{Effect, ExceptionRules, FilterRules};
pub use run::{Because, Halt, Outcome, Raised, Reading, ReadingResult, Run, RunReport};

use crate::{
    failure::FailureReason,
    ids::{AppKey, WebfilterId, WebfilterKey},
    json::Members,
    names::{FilterName, Uid},
    secret::Secrets,
    time::Timestamp,
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr, sync::Arc, time::Duration};

/// The longest that one webfilter may take, in milliseconds.
pub const DEADLINE_MAX: u32 = 60_000;

/// An address that is asked before something happens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Webfilter {
    /// The store's short name.
    pub key: WebfilterKey,
    /// The application it belongs to.
    pub app: AppKey,
    /// The public id.
    pub id: WebfilterId,
    /// The user's own name for it, unique in the application.
    pub uid: Option<Uid>,
    /// Which filter asks it.
    pub filter: FilterName,
    /// The address, normalised; may hold user info, a query and a fragment.
    pub url: String,
    /// What signs.
    pub secrets: Secrets,
    /// All else.
    pub settings: WebfilterSettings,
    /// When it was made; the same instant as in the id.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// Grows with each change; a change names the revision it saw.
    pub revision: i64,
}

impl Webfilter {
    /// Its place among those of its filter: by `order`, then by age.
    pub fn place(&self) -> (i32, WebfilterId) {
        (self.settings.order, self.id)
    }
    /// The address without user info, query and fragment, as it may be shown to anybody.
    pub fn shown_url(&self) -> String {
        let Ok(mut url) = url::Url::parse(&self.url) else { return String::new() };
        // These fail for addresses without a host only, which no webfilter has.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        url.set_query(None);
        url.set_fragment(None);
        url.into()
    }
}

/// What a person decides about a webfilter.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WebfilterSettings {
    /// For people.
    pub description: String,
    /// Whether it is asked.
    pub enabled: bool,
    /// Later ones win.
    pub order: i32,
    /// How its requests are written.
    pub encoding: Encoding,
    /// Which version of the original its requests look like, and whose rules hold for its answers.
    pub wire_version: WireVersion,
    /// Whether `data` of its answers is left unused.
    pub disable_filtering: bool,
    /// Whether `exception` of its answers is left unused.
    pub disable_halting: bool,
    /// After an answer with 400 to 499.
    pub on_4xx: HaltRule,
    /// After an answer with 500 to 599.
    pub on_5xx: HaltRule,
    /// After a call that failed, silence included.
    pub on_request_exception: HaltRule,
    /// What silence alone means.
    pub on_silence: OnSilence,
    /// The exception that its halts raise; the filter's usual one if absent.
    pub halt_exception: Option<String>,
    /// Milliseconds it may take; the server's default if absent.
    pub deadline_ms: Option<u32>,
}

impl Default for WebfilterSettings {
    fn default() -> Self {
        Self {
            description: String::new(),
            enabled: true,
            order: 0,
            encoding: Encoding::Json,
            wire_version: WireVersion::V22,
            disable_filtering: false,
            disable_halting: false,
            on_4xx: HaltRule::default(),
            on_5xx: HaltRule::default(),
            on_request_exception: HaltRule::default(),
            on_silence: OnSilence::Pass,
            halt_exception: None,
            deadline_ms: None,
        }
    }
}

impl WebfilterSettings {
    /// The three rules with the name that the field of each begins with.
    pub fn halts(&self) -> [(Because, &HaltRule); 3] {
        [
            (Because::Status4xx, &self.on_4xx),
            (Because::Status5xx, &self.on_5xx),
            (Because::RequestException, &self.on_request_exception),
        ]
    }
    /// How long it may take.
    pub fn deadline(&self, default: Duration) -> Duration {
        self.deadline_ms.map_or(default, |ms| Duration::from_millis(ms.into()))
    }
}

/// Whether something halts, and where the person is sent then.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct HaltRule {
    /// Whether it halts.
    pub halts: bool,
    /// An absolute address. Kept, but not used, while it does not halt.
    pub redirect: Option<String>,
}

macro_rules! choice {
    ($(#[$doc:meta])* $name:ident { $( $(#[$vdoc:meta])* $variant:ident = $text:literal ),+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
        pub enum $name { $( $(#[$vdoc])* #[serde(rename = $text)] $variant ),+ }
        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$( Self::$variant ),+];
            /// As settings and the API write it.
            pub fn name(self) -> &'static str {
                match self { $( Self::$variant => $text ),+ }
            }
        }
        impl FromStr for $name {
            type Err = UnknownChoice;
            fn from_str(text: &str) -> Result<Self, UnknownChoice> {
                Self::ALL.iter().copied().find(|c| c.name() == text).ok_or(UnknownChoice(&[$( $text ),+]))
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}
pub(crate) use choice;

/// A word that is none of those that can be chosen.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("must be one of {}", .0.join(", "))]
pub struct UnknownChoice(pub(crate) &'static [&'static str]);

pub use crate::format::Encoding;

choice! {
    /// Which version of the original plugin counts.
    WireVersion {
        /// 22.
        #[default] V22 = "v22",
        /// 20 and 21.
        V21 = "v21"
    }
}
choice! {
    /// What it means that a webfilter did not answer in time.
    OnSilence {
        /// Nothing.
        #[default] Pass = "pass",
        /// A halt.
        Halt = "halt"
    }
}

/// What was heard from a webfilter.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Heard {
    /// A whole answer.
    Answered {
        /// The HTTP status.
        status: u16,
        /// The body, within the limit.
        body: Bytes,
    },
    /// No whole answer.
    Failed {
        /// Why.
        reason: FailureReason,
        /// The status, where the head of an answer came.
        status: Option<u16>,
        /// For whoever repairs it.
        detail: String,
    },
    /// It was not asked: its breaker is open.
    Paused,
    /// It was not waited for: one before it had halted the run, or nobody wanted it to be asked.
    Unneeded,
}

/// What is asked in a run.
#[derive(Clone, Debug)]
pub struct Question {
    /// Whose run it is.
    pub app: AppKey,
    /// The filter.
    pub rules: Arc<FilterRules>,
    /// What it is about, without `event_metadata`.
    pub payload: Members,
    /// Who is asked, in the order in which answers are combined.
    pub webfilters: Vec<Arc<Webfilter>>,
    /// How long all of it may take; the server's default if absent.
    pub deadline: Option<Duration>,
    /// Answers that are taken as said, without asking.
    pub given: Vec<(WebfilterId, Heard)>,
    /// Whether it is a test, and if so, whether those without a given answer are really asked.
    pub test: Option<Asking>,
}

/// Whether a test asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Asking {
    /// It does.
    Really,
    /// It does not.
    Not,
}

impl Heard {
    /// Whether nothing came in time.
    pub fn is_silence(&self) -> bool {
        use FailureReason as R;
        match self {
            Self::Failed { reason, .. } => {
                matches!(reason, R::ConnectTimeout | R::ResponseTimeout | R::BodyTimeout)
            }
            Self::Paused => true,
            Self::Answered { .. } | Self::Unneeded => false,
        }
    }
}
