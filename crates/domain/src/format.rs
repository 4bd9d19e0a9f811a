//! The names of the formats and encodings: how a payload is put on the wire. What each of them does to it is `platforms`'
//! business.

use crate::webfilter::{UnknownChoice, choice};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// How a payload is put on the wire. Open to every endpoint of every application.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// The payload as it came in.
    #[default]
    Standard,
    /// Repl.it Classroom's body: the secret in it, only changed files.
    Replit,
    /// Teachstack's envelope.
    Teachstack,
    /// CloudEvents 1.0, all in the body.
    Cloudevents,
    /// CloudEvents 1.0, attributes in headers.
    CloudeventsBinary,
    /// Ids and a link, to be fetched with a token.
    Thin,
    /// What version 22 of Open edX's webhook plugin sends.
    OpenedxV22,
    /// What its versions 2 to 21 send.
    OpenedxV21,
    /// What its versions before 2 send: short keys.
    OpenedxV1,
    /// Canvas's own: `metadata` and `body`, and the subscription if there is one.
    LiveEvent,
    /// IMS Caliper 1.1, made from Canvas's events; only some of them have such a form.
    Caliper,
}

impl Format {
    /// All of them, for choices.
    pub const ALL: [Self; 11] = [
        Self::Standard,
        Self::Replit,
        Self::Teachstack,
        Self::Cloudevents,
        Self::CloudeventsBinary,
        Self::Thin,
        Self::OpenedxV22,
        Self::OpenedxV21,
        Self::OpenedxV1,
        Self::LiveEvent,
        Self::Caliper,
    ];
    /// `cloudevents-binary`: what settings and the API call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Replit => "replit",
            Self::Teachstack => "teachstack",
            Self::Cloudevents => "cloudevents",
            Self::CloudeventsBinary => "cloudevents-binary",
            Self::Thin => "thin",
            Self::OpenedxV22 => "openedx-v22",
            Self::OpenedxV21 => "openedx-v21",
            Self::OpenedxV1 => "openedx-v1",
            Self::LiveEvent => "live-event",
            Self::Caliper => "caliper",
        }
    }
    /// What it does, for choices.
    pub fn description(self) -> &'static str {
        match self {
            Self::Standard => "The payload as it was published.",
            Self::Replit => {
                "Repl.it Classroom's body: the endpoint's secret in it, and only the files that were changed."
            }
            Self::Teachstack => "Teachstack's envelope with id, event, time and account around the payload.",
            Self::Cloudevents => "CloudEvents 1.0 in structured mode: attributes and payload in one JSON object.",
            Self::CloudeventsBinary => {
                "CloudEvents 1.0 in binary mode: attributes in headers, the payload as the body."
            }
            Self::Thin => {
                "Only ids and a link. The receiver fetches the payload with a token; no personal data is sent."
            }
            Self::OpenedxV22 => {
                "What Open edX's webhook plugin sends from version 22 on: no keys that hold credentials."
            }
            Self::OpenedxV21 => "What Open edX's webhook plugin sends in versions 2 to 21.",
            Self::OpenedxV1 => "What Open edX's webhook plugin sends before version 2: short keys such as user.",
            Self::LiveEvent => "Canvas's own: metadata and body, and the id of the subscription that asked for it.",
            Self::Caliper => "IMS Caliper 1.1, made from Canvas's events. Events without such a form are not sent.",
        }
    }
    /// Whether it is the one of endpoints that do not say.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
    /// Whether it puts the endpoint's body secret into what is sent.
    pub fn needs_body_secret(self) -> bool {
        self == Self::Replit
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a text is not the name of a format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "there is no format '{0}': use standard, replit, teachstack, cloudevents, cloudevents-binary, thin, openedx-v22, \
     openedx-v21, openedx-v1, live-event or caliper"
)]
pub struct UnknownFormat(pub String);

impl FromStr for Format {
    type Err = UnknownFormat;
    fn from_str(text: &str) -> Result<Self, UnknownFormat> {
        Self::ALL.into_iter().find(|f| f.name() == text).ok_or_else(|| UnknownFormat(text.to_owned()))
    }
}

choice! {
    /// In which encoding a body travels. Open to every format, and to webfilters.
    Encoding {
        /// As JSON.
        #[default] Json = "json",
        /// As a web form: flat pairs of names and values.
        Form = "form"
    }
}

impl Encoding {
    /// What it does, for choices.
    pub fn description(self) -> &'static str {
        match self {
            Self::Json => "The body as JSON.",
            Self::Form => "The body as a web form: nested keys joined by underscores.",
        }
    }
    /// Whether it is the one of endpoints that do not say.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
