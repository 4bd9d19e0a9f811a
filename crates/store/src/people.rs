//! Who can sign in, who is invited, and who is signed in. Of what opens a door (session cookies, invitation links) the
//! store sees hashes only; passwords come hashed as well.

use crate::error::StoreError;
use async_trait::async_trait;
use domain::{
    ApplicationId, Invitation, InvitationId, Ksuid, OrganizationId, PageOf, PageQuery, Role, Subject, Timestamp, User,
    UserId,
};

/// The hash of something that opens a door.
pub type KeyHash = [u8; 32];

/// A change of a user.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum UserChange {
    /// Another name.
    Name(String),
    /// Another password, hashed.
    Password(String),
    /// Who they are for an OpenID provider.
    Subject(Subject),
    /// Whether they may do everything.
    Operator(bool),
    /// Whether they are kept out.
    Disabled(bool),
    /// What they may do in an application; nothing if absent.
    Role(ApplicationId, Option<Role>),
}

/// Who comes with an invitation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Guest {
    /// Somebody new; rights are added from the invitation.
    New(User),
    /// Somebody who is a user already.
    Existing(UserId),
}

/// What is said once, on the next page of a session.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Notice {
    /// The sentence.
    pub text: String,
    /// Whether something went wrong.
    pub bad: bool,
}

/// Somebody who is signed in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Session {
    /// The hash of the cookie.
    pub hash: KeyHash,
    /// Where.
    pub organization: OrganizationId,
    /// Which user, if it is one.
    pub user: Option<UserId>,
    /// What the session is for, as its maker wrote it; not looked at here.
    pub standing: String,
    /// Since when.
    pub since: Timestamp,
    /// The last sign of the person, give or take a minute.
    pub seen: Timestamp,
    /// When it ends in any case.
    pub expires_at: Timestamp,
    /// To be said on the next page.
    pub notice: Option<Notice>,
}

/// Users, invitations and sessions.
#[async_trait]
pub trait People: Send + Sync {
    /// Stores a new user with its roles. [`StoreError::UidTaken`] if somebody has this e-mail address or subject.
    async fn create_user(&self, new: User) -> Result<(), StoreError>;
    /// One, with its roles.
    async fn user(&self, id: UserId) -> Result<Option<User>, StoreError>;
    /// By the e-mail address, in lower case.
    async fn user_by_email(&self, email: &str) -> Result<Option<User>, StoreError>;
    /// By what an OpenID provider calls them.
    async fn user_by_subject(&self, subject: &Subject) -> Result<Option<User>, StoreError>;
    /// A page of an organization's users, by id; only those with a role in `app` if given.
    async fn users(
        &self,
        organization: &OrganizationId,
        app: Option<ApplicationId>,
        page: PageQuery<Ksuid>,
    ) -> Result<PageOf<User>, StoreError>;
    /// Changes a user. [`StoreError::NotFound`] if there is none; [`StoreError::UidTaken`] if the subject is somebody
    /// else's.
    async fn change_user(&self, id: UserId, change: UserChange) -> Result<(), StoreError>;
    /// Removes a user with roles and sessions. `Ok(false)` if there was none.
    async fn delete_user(&self, id: UserId) -> Result<bool, StoreError>;
    /// How many operators can sign in.
    async fn count_operators(&self, organization: &OrganizationId) -> Result<u64, StoreError>;

    /// Stores an invitation under the hash of its link.
    async fn create_invitation(&self, hash: KeyHash, new: Invitation) -> Result<(), StoreError>;
    /// The invitation of a link that has not ended at `now`.
    async fn invitation(&self, hash: KeyHash, now: Timestamp) -> Result<Option<Invitation>, StoreError>;
    /// Invitations that have not ended, the oldest first; only those to `app` if given. At most 1,000.
    async fn invitations(
        &self,
        organization: &OrganizationId,
        app: Option<ApplicationId>,
        now: Timestamp,
    ) -> Result<Vec<Invitation>, StoreError>;
    /// Uses an invitation up and gives its guest what it grants, both or nothing. `Ok(None)` if it is not there any
    /// more; [`StoreError::UidTaken`] as in [`Self::create_user`].
    async fn use_invitation(
        &self,
        hash: KeyHash,
        now: Timestamp,
        guest: Guest,
    ) -> Result<Option<Invitation>, StoreError>;
    /// Takes an invitation back. `Ok(false)` if there was none.
    async fn withdraw_invitation(&self, organization: &OrganizationId, id: InvitationId) -> Result<bool, StoreError>;

    /// Begins a session.
    async fn begin_session(&self, new: Session) -> Result<(), StoreError>;
    /// A session, whether it has ended or not: that its maker decides.
    async fn session(&self, hash: KeyHash) -> Result<Option<Session>, StoreError>;
    /// The person gave a sign.
    async fn touch_session(&self, hash: KeyHash, seen: Timestamp) -> Result<(), StoreError>;
    /// Puts down or takes away what is to be said.
    async fn put_notice(&self, hash: KeyHash, notice: Option<Notice>) -> Result<(), StoreError>;
    /// Ends a session.
    async fn end_session(&self, hash: KeyHash) -> Result<(), StoreError>;
    /// Ends all sessions of a user but `except`.
    async fn end_sessions_of(&self, user: UserId, except: Option<KeyHash>) -> Result<u64, StoreError>;
    /// How many sessions of a user have not ended.
    async fn count_sessions_of(&self, user: UserId, now: Timestamp) -> Result<u64, StoreError>;
    /// Removes sessions and invitations that have ended, at most `limit` of each; answers how many.
    async fn clear_ended(&self, now: Timestamp, limit: usize) -> Result<u64, StoreError>;
}
