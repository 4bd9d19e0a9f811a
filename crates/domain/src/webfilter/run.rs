//! What came of a run, as it is answered and as the log keeps it.

use super::{UnknownChoice, choice};
use crate::{
    failure::FailureReason,
    ids::{AppKey, WebfilterId, WebfilterRunId},
    json::{Json, Members},
    names::FilterName,
    time::Timestamp,
};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

choice! {
    /// What a run says.
    Outcome {
        /// Nothing to do.
        #[default] Pass = "pass",
        /// Data to apply.
        Change = "change",
        /// A webfilter refuses.
        Raise = "raise",
        /// A halt rule fired.
        Halt = "halt"
    }
}

choice! {
    /// Which rule halted.
    Because {
        /// An answer with 400 to 499.
        #[default] Status4xx = "status4xx",
        /// An answer with 500 to 599.
        Status5xx = "status5xx",
        /// A call that failed.
        RequestException = "requestException",
        /// No answer in time.
        Silence = "silence"
    }
}

choice! {
    /// What became of a webfilter in a run.
    ReadingResult {
        /// Its answer counted.
        #[default] Used = "used",
        /// Its answer had nothing that counts.
        Empty = "empty",
        /// Its answer was not JSON.
        NotJson = "notJson",
        /// Its answer was JSON, but no object.
        NotObject = "notObject",
        /// It halted the run.
        Halted = "halted",
        /// The call failed.
        Failed = "failed",
        /// It did not answer in time.
        Silent = "silent",
        /// It was not asked, because it failed again and again.
        Paused = "paused",
        /// It was not waited for.
        Unneeded = "unneeded"
    }
}

/// An exception to raise.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Raised {
    /// Its name.
    pub name: String,
    /// Its arguments.
    pub arguments: Members,
}

/// Why a run halted.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Halt {
    /// Whose rule it was.
    pub webfilter: WebfilterId,
    /// Which rule.
    pub because: Because,
    /// The HTTP status, where there was one.
    pub status: Option<u16>,
    /// The code of the failure.
    pub reason: Option<String>,
    /// In words.
    pub message: String,
    /// Where to send the person.
    pub redirect_to: Option<String>,
}

/// What became of one webfilter in a run.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reading {
    /// Which.
    pub webfilter: WebfilterId,
    /// Its address, as it may be shown.
    pub url: String,
    /// What became of it.
    pub result: ReadingResult,
    /// The HTTP status, where there was one.
    pub status: Option<u16>,
    /// Microseconds that it took.
    pub duration_us: u64,
    /// The code of the failure.
    pub reason: Option<String>,
    /// Keys of its data that counted.
    pub data: Vec<String>,
    /// Names of its exceptions that counted.
    pub exceptions: Vec<String>,
    /// What did not count, and why.
    pub notes: Vec<String>,
}

impl Reading {
    /// The failure, if it is one that has words.
    pub fn failure(&self) -> Option<FailureReason> {
        self.reason.as_deref().and_then(FailureReason::from_code)
    }
}

/// What a run says in detail.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RunReport {
    /// What to apply.
    pub data: Members,
    /// What becomes of each key of it.
    pub effects: indexmap::IndexMap<String, super::Effect>,
    /// What to raise then.
    pub exception: Option<Raised>,
    /// Why it halted, if it did.
    pub halt: Option<Halt>,
    /// One for each webfilter, in their order.
    pub answers: Vec<Reading>,
    /// What to apply was too large to be kept.
    pub data_left_out: bool,
}

/// A run as it is answered and remembered.
#[derive(Clone, PartialEq, Debug)]
pub struct Run {
    /// The public id; holds the same instant as `at`.
    pub id: WebfilterRunId,
    /// Whose.
    pub app: AppKey,
    /// Which filter.
    pub filter: FilterName,
    /// When it began.
    pub at: Timestamp,
    /// Microseconds from the beginning to the end.
    pub duration_us: u64,
    /// Whether it was a test.
    pub test: bool,
    /// What it says.
    pub outcome: Outcome,
    /// In detail.
    pub report: RunReport,
}

/// Bytes of data that the log keeps of one run.
const KEPT_MAX: usize = 16 * 1024;

impl Run {
    /// As the log keeps it: without what is protected, and without data that is too large for that.
    pub fn for_log(mut self, protection: &super::Protection) -> Self {
        protection.remove_from(&mut self.report.data);
        if let Some(exception) = &mut self.report.exception {
            protection.remove_from(&mut exception.arguments);
        }
        let size = |members: &Members| serde_json::to_vec(members).map_or(usize::MAX, |json| json.len());
        if size(&self.report.data) > KEPT_MAX {
            self.report.data.clear();
            self.report.data_left_out = true;
        }
        if let Some(exception) = &mut self.report.exception
            && size(&exception.arguments) > KEPT_MAX
        {
            exception.arguments.clear();
            self.report.data_left_out = true;
        }
        self
    }
}

/// JSON for a text that may be absent.
pub(super) fn text_or_null(text: Option<String>) -> Json {
    text.map_or(Json::Null, Json::Text)
}
