//! What is noted of what people and programs do, and what the operator is told of by itself.

use crate::{
    ids::{AlertId, ApplicationId, AuditId, EndpointId, OrganizationId},
    time::Timestamp,
};
use std::{fmt, str::FromStr};

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal, $sentence:literal;)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum $name { $($(#[$vdoc])* $variant,)+ }
        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];
            /// For programs.
            pub fn text(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
            /// For people.
            pub fn sentence(self) -> &'static str {
                match self { $(Self::$variant => $sentence,)+ }
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.text())
            }
        }
        impl FromStr for $name {
            type Err = UnknownWord;
            fn from_str(s: &str) -> Result<Self, UnknownWord> {
                Self::ALL.iter().copied().find(|w| w.text() == s).ok_or(UnknownWord)
            }
        }
    };
}

/// A text that is none of the words that are expected.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("is not known")]
pub struct UnknownWord;

words! {
    /// What was done.
    Action {
        /// An application was made.
        ApplicationCreated = "application.created", "Created the application";
        /// An application was changed.
        ApplicationUpdated = "application.updated", "Changed the application";
        /// An application was deleted.
        ApplicationDeleted = "application.deleted", "Deleted the application";
        /// An endpoint was made.
        EndpointCreated = "endpoint.created", "Added an endpoint";
        /// An endpoint was changed.
        EndpointUpdated = "endpoint.updated", "Changed an endpoint";
        /// An endpoint was deleted.
        EndpointDeleted = "endpoint.deleted", "Deleted an endpoint";
        /// Custom headers were changed.
        HeadersUpdated = "endpoint.headers_updated", "Changed an endpoint's headers";
        /// A secret was shown.
        SecretRevealed = "secret.revealed", "Revealed a secret";
        /// A secret was replaced.
        SecretRotated = "secret.rotated", "Rotated a secret";
        /// A webfilter was made.
        WebfilterCreated = "webfilter.created", "Added a webfilter";
        /// A webfilter was changed.
        WebfilterUpdated = "webfilter.updated", "Changed a webfilter";
        /// A webfilter was deleted.
        WebfilterDeleted = "webfilter.deleted", "Deleted a webfilter";
        /// A tool, a developer key or an invitation of one was made.
        ToolCreated = "tool.created", "Added a tool";
        /// Something of that was changed.
        ToolUpdated = "tool.updated", "Changed a tool";
        /// Something of that was removed.
        ToolDeleted = "tool.deleted", "Removed a tool";
        /// An event type was made.
        EventTypeCreated = "event_type.created", "Created an event type";
        /// An event type was changed.
        EventTypeUpdated = "event_type.updated", "Changed an event type";
        /// An event type was archived or removed.
        EventTypeDeleted = "event_type.deleted", "Removed an event type";
        /// A payload, or several, or an answer that may repeat it, was read.
        PayloadViewed = "payload.viewed", "Viewed payloads";
        /// A payload or an answer was removed for good.
        PayloadExpunged = "payload.expunged", "Removed content for good";
        /// A message was sent again.
        MessageResent = "message.resent", "Resent a message";
        /// A test was sent.
        TestSent = "message.test_sent", "Sent a test event";
        /// Failed messages are sent again.
        RecoveryStarted = "recovery.started", "Started a recovery";
        /// Missed messages are sent.
        ReplayStarted = "replay.started", "Started a replay";
        /// What waited was given up.
        DeliveriesCancelled = "deliveries.cancelled", "Cancelled what waits";
        /// A portal link was made.
        PortalLinkCreated = "portal_link.created", "Made a portal link";
        /// A token was made.
        TokenCreated = "token.created", "Made an API token";
        /// What the organization decides was changed.
        OrganizationUpdated = "organization.updated", "Changed the organization's settings";
        /// Somebody signed in.
        SignedIn = "session.signed_in", "Signed in";
        /// Somebody tried to.
        SignInFailed = "session.sign_in_failed", "Failed to sign in";
        /// Somebody ended their sessions.
        SignedOutEverywhere = "session.signed_out_everywhere", "Signed out everywhere";
        /// An invitation was made.
        InvitationCreated = "invitation.created", "Invited somebody";
        /// An invitation was taken back.
        InvitationWithdrawn = "invitation.withdrawn", "Withdrew an invitation";
        /// A user came.
        UserCreated = "user.created", "Joined as a user";
        /// A user's rights or state were changed.
        UserUpdated = "user.updated", "Changed a user";
        /// A user was removed.
        UserDeleted = "user.deleted", "Deleted a user";
        /// A password was changed.
        PasswordChanged = "user.password_changed", "Changed a password";
        /// An operator made a link to a new password.
        PasswordResetCreated = "user.password_reset_created", "Created a password reset link";
        /// Alerts were put away.
        AlertDismissed = "alert.dismissed", "Dismissed an alert";
    }
}

words! {
    /// What kind of somebody it was.
    ActorKind {
        /// A user.
        User = "user", "User";
        /// Whoever used the operator's link.
        Link = "link", "Operator's link";
        /// An organization's token.
        Token = "token", "Organization token";
        /// An application's token, or a portal link.
        Application = "application", "Application token or portal";
        /// A tool that a learning platform gave access to.
        Tool = "tool", "Tool";
        /// Nobody who is signed in.
        Guest = "guest", "Not signed in";
    }
}

/// Who did what to what, and when.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuditEntry {
    /// Its id.
    pub id: AuditId,
    /// Where.
    pub organization: OrganizationId,
    /// In which application, if in one.
    pub application: Option<ApplicationId>,
    /// When.
    pub at: Timestamp,
    /// What kind of somebody.
    pub actor_kind: ActorKind,
    /// Who: a user's e-mail address, an id.
    pub actor: String,
    /// What.
    pub action: Action,
    /// To what: an id, a name.
    pub object: String,
    /// More about it; never a secret, never content of a payload.
    pub detail: String,
}

words! {
    /// What the operator is told of.
    AlertKind {
        /// An endpoint was switched off because it only failed.
        EndpointDisabled = "endpoint_disabled", "The endpoint was switched off, because it failed for too long or too often.";
        /// A message failed several times.
        Failing = "attempt_failing", "Messages keep failing and will be tried again.";
        /// A message failed for good.
        Exhausted = "attempt_exhausted", "Messages failed for good: no try is left.";
    }
}

/// Something the operator should look at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Alert {
    /// Its id.
    pub id: AlertId,
    /// Where.
    pub organization: OrganizationId,
    /// In which application.
    pub application: ApplicationId,
    /// At which endpoint.
    pub endpoint: EndpointId,
    /// What.
    pub kind: AlertKind,
    /// Since when.
    pub first_at: Timestamp,
    /// When it was seen last, give or take a minute.
    pub last_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_read_back_as_they_are_written() {
        for action in Action::ALL {
            assert_eq!(action.text().parse(), Ok(*action));
        }
        for kind in AlertKind::ALL {
            assert_eq!(kind.to_string().parse(), Ok(*kind));
        }
        assert_eq!("nothing".parse::<ActorKind>(), Err(UnknownWord));
    }
}
