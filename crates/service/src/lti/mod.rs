//! Canvas's side of the house: tools register, get tokens, and subscribe. What a tool subscribes is an ordinary endpoint of
//! its root account, which is an application.
//!
//! Errors here are few and say little on purpose: who is not let in learns nothing about why. The log knows.

mod assertion;
mod bearer;
mod management;
mod oauth1;
mod registration;
mod subscriptions;

pub use assertion::{AccessToken, GrantRequest, Place};
pub use bearer::{Bearers, Registrant, ToolActor};
pub use management::{
    AccountChange, DeveloperKeyChange, DeveloperKeyInput, Invitation, RegistrationInput, ToolChange, ToolInput,
};
pub use oauth1::SignedRequest;
#[cfg(feature = "fuzzing")]
pub use oauth1::what_is_signed;
pub use registration::{Installed, Profile, ServiceOffered};
pub use subscriptions::{StartKey, SubscriptionInput, SubscriptionPage, SubscriptionView};

use crate::{
    Service,
    access::AppScope,
    actor::{Actor, Person},
    error::ServiceError,
};
use domain::{
    AppKey, Application,
    lti::{GlobalId, RootAccount, ToolGuid},
};
use std::sync::Arc;
use store::seal::fill_random;
use url::Url;

/// The service that a tool's contract has to list for its subscriptions.
pub const SUBSCRIPTIONS: &str = "vnd.Canvas.webhooksSubscription";

/// Why a tool does not get what it asked for.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LtiError {
    /// No token for this assertion. Says nothing more.
    #[error("invalid_grant")]
    InvalidGrant,
    /// The token is missing, not valid, or not good for this.
    #[error("user authorization required")]
    Unauthenticated,
    /// A registration is refused: its token is not good for it.
    #[error("unauthorized")]
    Unauthorized,
    /// Nothing under the key `subscription`.
    #[error("subscription is missing")]
    Missing,
    /// An event type, or a context, that the tool may not have.
    #[error("Unauthorized subscription")]
    UnauthorizedSubscription,
    /// A subscription that cannot be: says which field, and why.
    #[error("Invalid subscription: {0}")]
    InvalidSubscription(String),
    /// The header that says where a page begins is none that we gave.
    #[error("Invalid StartKey")]
    InvalidStartKey,
    /// The tool has no such subscription.
    #[error("no such subscription")]
    NoSubscription,
    /// A proxy that cannot be installed: every problem, by field.
    #[error("{} problem(s) of the tool proxy", .0.len())]
    InvalidProxy(Vec<(&'static str, String)>),
    /// A fault that is not the tool's.
    #[error(transparent)]
    Service(ServiceError),
}

impl From<ServiceError> for LtiError {
    fn from(e: ServiceError) -> Self {
        match e {
            ServiceError::Invalid(problems) => {
                let text: Vec<_> = problems.iter().map(|p| p.msg.as_ref()).collect();
                Self::InvalidSubscription(text.join(" "))
            }
            e => Self::Service(e),
        }
    }
}

impl From<store::StoreError> for LtiError {
    fn from(e: store::StoreError) -> Self {
        Self::Service(e.into())
    }
}

/// Whether an application is a root account of Canvas, which may have tools.
pub fn has_tools(application: &Application) -> bool {
    application.options.platform.as_deref() == Some(platforms::canvas::PLATFORM.name)
}

/// So many random bytes in hexadecimal.
fn random_hex(bytes: usize) -> String {
    let mut random = vec![0; bytes];
    fill_random(&mut random);
    random.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// 16 random bytes, for a UUID.
fn random_uuid() -> [u8; 16] {
    let mut random = [0; 16];
    fill_random(&mut random);
    random
}

/// Letters and digits, as Canvas's uuids of accounts.
fn random_letters(count: usize) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789ab";
    let mut random = vec![0; count];
    fill_random(&mut random);
    random.iter().map(|byte| char::from(ALPHABET[usize::from(byte & 63)])).collect()
}

/// A number inside of a shard that nobody else has, very probably.
fn random_local() -> u64 {
    let mut random = [0; 8];
    fill_random(&mut random);
    1 + u64::from_le_bytes(random) % 999_999_999_999
}

impl Service {
    /// What an application is called as a root account; made up at the first question.
    pub(crate) async fn account_of(&self, app: AppKey) -> Result<RootAccount, ServiceError> {
        if let Some(account) = self.store.root_account(app).await? {
            return Ok(account);
        }
        let host = self.lti_host();
        let new = RootAccount {
            app,
            uuid: random_letters(40),
            // A shard of its own, so that ids of one institution are not taken for those of another.
            id: GlobalId::on_shard(1_000 + random_local() % 90_000, random_local()),
            guid: format!("{}.{host}", random_hex(20)),
            platform_url: None,
        };
        Ok(self.store.put_root_account(new, true).await?)
    }

    /// The host name under which tools reach us.
    pub(crate) fn lti_host(&self) -> String {
        let url = Url::parse(&self.settings.public_url).ok();
        url.and_then(|u| u.host_str().map(str::to_owned)).unwrap_or_default()
    }

    /// The application of a tool, to act in on its behalf. Only what the tool may do is done with it; the log names it.
    pub(crate) async fn scope_of(&self, app: AppKey, tool: &ToolGuid) -> Result<AppScope, ServiceError> {
        let entry = self.directory.by_key(app).await?.ok_or(ServiceError::NO_APPLICATION)?;
        let actor = Actor::Person(Arc::new(Person::tool(entry.application.organization.clone(), tool)));
        self.open(&actor, &entry.application.id.to_string()).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_up_names_have_the_form_of_canvas() {
        assert_eq!(random_hex(64).len(), 128);
        let letters = random_letters(40);
        assert!(letters.len() == 40 && letters.bytes().all(|b| b.is_ascii_alphanumeric()));
        let id = GlobalId::on_shard(1, random_local());
        assert_eq!((id.shard(), id.to_string().len()), (1, 14));
    }
}
