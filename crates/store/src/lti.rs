//! Operations on tools: root accounts, developer keys, installed tools, registrations, and assertions that were used.

use crate::error::StoreError;
use async_trait::async_trait;
use domain::{
    AppKey, Timestamp,
    lti::{DeveloperKey, GlobalId, Registration, RootAccount, Subject, Tool, ToolGuid},
};

/// Tools and those who vouch for them. Nothing of a deleted application is found. New objects come complete; names that
/// are taken give [`StoreError::UidTaken`]. Lists are short: what a root account has is bounded by those who make them.
#[async_trait]
pub trait Lti: Send + Sync {
    /// What an application is called as a root account.
    async fn root_account(&self, app: AppKey) -> Result<Option<RootAccount>, StoreError>;
    /// Stores or replaces that. With `only_new`, what is there stays and is answered.
    async fn put_root_account(&self, account: RootAccount, only_new: bool) -> Result<RootAccount, StoreError>;

    /// Stores a new developer key.
    async fn create_developer_key(&self, new: DeveloperKey) -> Result<(), StoreError>;
    /// All of an application, oldest first.
    async fn developer_keys(&self, app: AppKey) -> Result<Vec<DeveloperKey>, StoreError>;
    /// Replaces what can change of a developer key: name, secret, active, capabilities.
    async fn save_developer_key(&self, changed: DeveloperKey) -> Result<(), StoreError>;
    /// Removes a developer key. Its tools stay, and get no tokens any more.
    async fn delete_developer_key(&self, app: AppKey, id: GlobalId) -> Result<(), StoreError>;

    /// Stores a new tool. With a registration, that is used up in the same commit; [`StoreError::NotFound`] if it is not
    /// there (any more).
    async fn create_tool(&self, new: Tool, registration: Option<ToolGuid>) -> Result<(), StoreError>;
    /// All tools of an application, oldest first.
    async fn tools(&self, app: AppKey) -> Result<Vec<Tool>, StoreError>;
    /// Replaces what can change of a tool: everything but its guid and its application.
    async fn save_tool(&self, changed: Tool) -> Result<(), StoreError>;
    /// Removes a tool.
    async fn delete_tool(&self, app: AppKey, guid: &ToolGuid) -> Result<(), StoreError>;

    /// Stores a new registration, and removes those that are over by `now`.
    async fn create_registration(&self, new: Registration, now: Timestamp) -> Result<(), StoreError>;
    /// All of an application, oldest first, those that are over included.
    async fn registrations(&self, app: AppKey) -> Result<Vec<Registration>, StoreError>;
    /// Removes a registration.
    async fn delete_registration(&self, app: AppKey, key: &ToolGuid) -> Result<(), StoreError>;

    /// Who is called this, in any application. Looks at every kind in any case, so that the time it takes does not tell
    /// which kind it is.
    async fn lti_subject(&self, name: &str) -> Result<Option<Subject>, StoreError>;
    /// Notes that a subject used this id for an assertion; false if it did before. Kept until `until`; what is over by
    /// `now` may go.
    async fn use_nonce(&self, subject: &str, jti: &str, until: Timestamp, now: Timestamp) -> Result<bool, StoreError>;
}
