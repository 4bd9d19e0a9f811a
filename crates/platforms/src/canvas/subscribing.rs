//! What a tool may subscribe to, as data: the names of event types in both spellings, the kinds of context with the channel
//! that stands for each, and the capabilities that a tool needs for an event type.
//!
//! Canvas's documentation writes event types in capitals and names the contexts `assignment`, `account` and `course`; its
//! code takes lower case only, and `root_account` and `assignment`. Here both are taken, and lower case is kept.

use crate::catalog::Platform;
use domain::EventTypeName;

pub use domain::lti::ContextType;

/// An event type of the plagiarism platform, with what allows a tool to subscribe to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ToolEvent {
    /// `submission_created`: on the wire, and what is kept.
    pub name: &'static str,
    /// `SUBMISSION_CREATED`: in the documentation.
    pub documented: &'static str,
    /// The capabilities, each with the context that it is named after. Any one of them allows subscriptions in every
    /// context, as Canvas's own code has it.
    pub capabilities: &'static [(ContextType, &'static str)],
}

/// The event types with capabilities of their own.
pub static TOOL_EVENTS: [ToolEvent; 6] = {
    use ContextType::{Assignment, RootAccount};
    [
        ToolEvent {
            name: "quiz_submitted",
            documented: "QUIZ_SUBMITTED",
            capabilities: &[
                (RootAccount, "vnd.instructure.webhooks.root_account.quiz_submitted"),
                (Assignment, "vnd.instructure.webhooks.assignment.quiz_submitted"),
            ],
        },
        ToolEvent {
            name: "grade_change",
            documented: "GRADE_CHANGE",
            capabilities: &[(RootAccount, "vnd.instructure.webhooks.root_account.grade_change")],
        },
        ToolEvent {
            name: "attachment_created",
            documented: "ATTACHMENT_CREATED",
            capabilities: &[
                (RootAccount, "vnd.instructure.webhooks.root_account.attachment_created"),
                (Assignment, "vnd.instructure.webhooks.assignment.attachment_created"),
            ],
        },
        ToolEvent {
            name: "submission_created",
            documented: "SUBMISSION_CREATED",
            capabilities: &[
                (RootAccount, "vnd.instructure.webhooks.root_account.submission_created"),
                (Assignment, "vnd.instructure.webhooks.assignment.submission_created"),
            ],
        },
        ToolEvent {
            name: "submission_updated",
            documented: "SUBMISSION_UPDATED",
            capabilities: &[
                (RootAccount, "vnd.instructure.webhooks.root_account.submission_updated"),
                (Assignment, "vnd.instructure.webhooks.assignment.submission_updated"),
            ],
        },
        ToolEvent {
            name: "plagiarism_resubmit",
            documented: "PLAGIARISM_RESUBMIT",
            capabilities: &[
                (RootAccount, "vnd.instructure.webhooks.root_account.plagiarism_resubmit"),
                (Assignment, "vnd.instructure.webhooks.assignment.plagiarism_resubmit"),
            ],
        },
    ]
};

/// What allows a tool to subscribe to every event type, and to [`ALL_EVENTS`].
pub const ALL_CAPABILITY: &str = "vnd.instructure.webhooks.root_account.all";
/// What stands for every event type in a subscription.
pub const ALL_EVENTS: &str = "all";
/// What makes Canvas subscribe for a tool by itself.
pub const SIMILARITY_DETECTION: &str = "Canvas.placements.similarityDetection";
/// What a tool with [`SIMILARITY_DETECTION`] is subscribed to.
pub const SIMILARITY_EVENTS: [&str; 5] =
    ["submission_created", "plagiarism_resubmit", "submission_updated", "assignment_updated", "assignment_created"];

/// All capabilities about webhooks, for a profile that offers them: those of the event types, and the one for all.
pub fn capabilities() -> impl Iterator<Item = &'static str> {
    TOOL_EVENTS.iter().flat_map(|e| e.capabilities.iter().map(|(_, name)| *name)).chain([ALL_CAPABILITY])
}

/// What a subscription asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Requested {
    /// Every event of its context.
    All,
    /// Events of one type.
    One(EventTypeName),
}

impl Requested {
    /// Reads an event type in either spelling. None if the catalogue of Canvas does not have it.
    pub fn read(text: &str) -> Option<Self> {
        let name = text.to_ascii_lowercase();
        if name == ALL_EVENTS {
            return Some(Self::All);
        }
        let name = EventTypeName::new(&name).ok()?;
        platform().event_type(&name).is_some().then_some(Self::One(name))
    }
    /// The same for a tool that was given every event type: it may name those too that Canvas has and the catalogue does not
    /// have yet.
    pub fn read_any(text: &str) -> Option<Self> {
        Self::read(text).or_else(|| EventTypeName::new(&text.to_ascii_lowercase()).ok().map(Self::One))
    }
    /// As it is kept and answered: in lower case.
    pub fn name(&self) -> &str {
        match self {
            Self::All => ALL_EVENTS,
            Self::One(name) => name.as_str(),
        }
    }
    /// Whether a tool with these capabilities may subscribe to it: one of the event type's own is enough, whatever the
    /// context; the one for all allows everything.
    pub fn is_allowed<'a>(&self, enabled: impl IntoIterator<Item = &'a str> + Clone) -> bool {
        let has = |wanted: &str| enabled.clone().into_iter().any(|c| c == wanted);
        if has(ALL_CAPABILITY) {
            return true;
        }
        let own = TOOL_EVENTS.iter().find(|e| e.name == self.name());
        own.is_some_and(|e| e.capabilities.iter().any(|(_, capability)| has(capability)))
    }
}

fn platform() -> &'static Platform {
    &super::PLATFORM
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::Channel;

    #[test]
    fn both_spellings_mean_the_same_event_type() {
        for event in &TOOL_EVENTS {
            let (a, b) = (Requested::read(event.name).unwrap(), Requested::read(event.documented).unwrap());
            assert_eq!((a.name(), &a), (event.name, &b));
        }
        assert_eq!(Requested::read("ALL"), Some(Requested::All));
        assert_eq!(Requested::read("outcomes.retry_outcome_alignment_clone").unwrap().name().len(), 38);
        assert_eq!((Requested::read("assignment_deleted"), Requested::read("")), (None, None));
        assert_eq!(Requested::read_any("Content_Export_Created").unwrap().name(), "content_export_created");
        assert_eq!((Requested::read_any("a b"), Requested::read_any("")), (None, None));
    }

    #[test]
    fn one_capability_is_enough_whatever_its_context() {
        let may = |event: &str, enabled: &[&str]| Requested::read(event).unwrap().is_allowed(enabled.iter().copied());
        assert!(may("attachment_created", &["vnd.instructure.webhooks.assignment.attachment_created"]));
        assert!(!may("submission_created", &["vnd.instructure.webhooks.assignment.attachment_created"]));
        assert!(!may("grade_change", &["vnd.instructure.webhooks.assignment.grade_change", "x"]));
        assert!(!may("course_created", &[]) && may("course_created", &[ALL_CAPABILITY]));
        assert!(may("all", &[ALL_CAPABILITY]) && !may("all", &["vnd.instructure.webhooks.root_account.grade_change"]));
        assert_eq!(capabilities().count(), 12);
    }

    #[test]
    fn a_context_is_a_channel() {
        let uuid = "VicYj3cu5BIFpoZhDVU4DZumnlBrWi1grgJEzADs";
        let channel = "Root_Account".parse::<ContextType>().unwrap().channel(uuid).unwrap();
        assert_eq!(channel.as_str(), format!("root_account:{uuid}"));
        assert_eq!(ContextType::of_channel(&channel), Some((ContextType::RootAccount, uuid)));
        assert_eq!(ContextType::Course.channel("21070000000000565"), ContextType::Course.channel("565"));
        assert_eq!(ContextType::Course.channel("a b"), None);
        assert_eq!(ContextType::Course.channel(""), None);
        assert!("section".parse::<ContextType>().is_err());
        assert_eq!(ContextType::of_channel(&Channel::new("track:1").unwrap()), None);
    }
}
