//! Signing in to the dashboard: a link that works once, and soon ends.

use crate::{Service, actor::Actor, error::ServiceError, idempotency::Answer, token::SignInToken};
use bytes::Bytes;
use domain::OrganizationId;

/// Why a sign-in link does not let anybody in.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SignInError {
    /// Malformed, signed by somebody else, or older than 15 minutes.
    #[error("This sign-in link is not valid, or older than 15 minutes. Print a new one with `schoolbell sign-in`.")]
    Invalid,
    /// Somebody signed in with it already.
    #[error("This sign-in link was used already. Print a new one with `schoolbell sign-in`.")]
    Used,
    /// The server could not tell.
    #[error(transparent)]
    Service(#[from] ServiceError),
}

impl Service {
    /// The address under which people reach this server, without a slash at the end.
    pub fn public_url(&self) -> &str {
        &self.settings.public_url
    }

    /// A link that signs the operator of an organization in, once, within 15 minutes.
    pub fn sign_in_link(&self, organization: &OrganizationId) -> String {
        let (id, now) = self.next_id();
        sign_in_url(&self.settings.public_url, &self.tokens.for_sign_in(organization, id, now))
    }

    /// Takes a sign-in token, which is worth nothing afterwards, not even after a restart.
    pub async fn sign_in(&self, token: &str) -> Result<Actor, SignInError> {
        let SignInToken { organization, id } =
            self.tokens.read_sign_in(token, self.now()).map_err(|_| SignInError::Invalid)?;
        // The written form of an id has 27 characters: with these five, the 32 bytes under which answers are kept.
        let used: [u8; 32] = format!("sign-{id}").as_bytes().try_into().map_err(|_| SignInError::Invalid)?;
        // One after the other, so that the same link cannot be taken twice at the same moment.
        let _turn = self.signing_in.lock().await;
        if self.kept_answer(used).await?.is_some() {
            return Err(SignInError::Used);
        }
        self.keep_answer(used, Answer { status: 200, body: Bytes::new() }).await?;
        Ok(Actor::Organization(organization))
    }
}

/// Where a person goes to sign in with a token.
pub fn sign_in_url(public_url: &str, token: &str) -> String {
    format!("{public_url}/sign-in?token={token}")
}
