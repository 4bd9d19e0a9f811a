//! People: users, what they may do where, and invitations.

use crate::{
    ids::{ApplicationId, InvitationId, OrganizationId, UserId},
    time::Timestamp,
};
use std::{collections::BTreeMap, fmt, str::FromStr};

/// What a user may do in one application. The rights that follow from it are in `service`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Role {
    /// Everything in it, and who else may come in.
    Owner,
    /// Edits webhooks and refreshes their secrets.
    Assistant,
    /// Looks, but sees no payloads and no secrets.
    Viewer,
}

impl Role {
    /// All of them, the one that may most first.
    pub const ALL: [Self; 3] = [Self::Owner, Self::Assistant, Self::Viewer];

    /// In one word.
    pub fn text(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Assistant => "assistant",
            Self::Viewer => "viewer",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// A word that is no role.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("must be owner, assistant or viewer")]
pub struct UnknownRole;

impl FromStr for Role {
    type Err = UnknownRole;
    fn from_str(s: &str) -> Result<Self, UnknownRole> {
        Self::ALL.into_iter().find(|r| r.text() == s).ok_or(UnknownRole)
    }
}

/// What somebody is invited to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Grant {
    /// Everything in the organization.
    Operator,
    /// A role in one application.
    In(ApplicationId, Role),
}

/// Who somebody is for an OpenID provider.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Subject {
    /// The provider.
    pub issuer: String,
    /// Its name for the person, which never changes.
    pub subject: String,
}

/// Somebody who can sign in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct User {
    /// Its id.
    pub id: UserId,
    /// Where.
    pub organization: OrganizationId,
    /// For signing in; in lower case, and nobody else's on this server.
    pub email: String,
    /// For people.
    pub name: String,
    /// The hash of the password, as PHC text. Without one, only the provider lets them in.
    pub password: Option<String>,
    /// Who they are for an OpenID provider.
    pub subject: Option<Subject>,
    /// Whether they may do everything.
    pub operator: bool,
    /// Whether they are kept out.
    pub disabled: bool,
    /// What they may do in which application.
    pub roles: BTreeMap<ApplicationId, Role>,
    /// When they came.
    pub created_at: Timestamp,
}

/// A way in that works once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Invitation {
    /// Its id; not what opens the door.
    pub id: InvitationId,
    /// Where to.
    pub organization: OrganizationId,
    /// What it gives.
    pub grant: Grant,
    /// A note for those who look at the list.
    pub for_whom: String,
    /// The name of whoever made it.
    pub invited_by: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_reads_back_as_it_is_written() {
        for role in Role::ALL {
            assert_eq!(role.to_string().parse(), Ok(role));
        }
        assert_eq!("operator".parse::<Role>(), Err(UnknownRole), "that is more than a role in one application");
    }
}
