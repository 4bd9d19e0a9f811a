//! Signing in to the dashboard: with a link that works once and soon ends, or with an e-mail address and a password.
//! (With an OpenID provider: `oidc`.) Each way ends in a session; what is answered never says whether a user exists.

use crate::{Service, error::ServiceError, idempotency::Answer, token::SignInToken};
use bytes::Bytes;
use domain::{Action, ActorKind, OrganizationId};

/// Why somebody does not come in.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SignInError {
    /// Malformed, signed by somebody else, or older than 15 minutes.
    #[error("This sign-in link is not valid, or older than 15 minutes. Print a new one with `schoolbell sign-in`.")]
    Invalid,
    /// Somebody signed in with it already.
    #[error("This sign-in link was used already. Print a new one with `schoolbell sign-in`.")]
    Used,
    /// Wrong password, no such user, or one that is kept out: nobody learns which.
    #[error("The e-mail address or the password is wrong.")]
    Wrong,
    /// Too many failures, of this user or from this address.
    #[error("There were too many failed tries. Wait a quarter of an hour, then try again.")]
    TooOften,
    /// The provider knows them, but they are nobody here.
    #[error("You are signed in at {0}, but nobody here has invited you. Ask for an invitation link and open it first.")]
    Uninvited(String),
    /// The provider did not say who it is.
    #[error("Signing in did not work: {0}")]
    Provider(String),
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

    /// Takes a sign-in token, which is worth nothing afterwards, not even after a restart. Answers the session's cookie.
    pub async fn sign_in(&self, token: &str) -> Result<String, SignInError> {
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
        let cookie = self.begin_for_link(&organization).await?;
        let link = (ActorKind::Link, "sign-in link".to_owned());
        self.note_as(&organization, link, None, Action::SignedIn, "", "").await;
        Ok(cookie)
    }

    /// Signs a user in; answers the session's cookie. `address` is where the request came from.
    pub async fn sign_in_with_password(
        &self,
        email: &str,
        password: &str,
        address: &str,
    ) -> Result<String, SignInError> {
        let (email, now) = (email.trim().to_lowercase(), self.now());
        if !self.guesses.may(&email, address, now) {
            return Err(SignInError::TooOften);
        }
        self.guesses.failed(&email, address, now);
        let found = self.store.user_by_email(&email).await.map_err(ServiceError::from)?;
        let stored = found.as_ref().and_then(|user| user.password.as_deref());
        let fits = self.passwords.verify(password, stored).await?;
        match found {
            Some(user) if fits && !user.disabled => {
                self.guesses.succeeded(&email);
                let cookie = self.begin_for_user(&user).await?;
                let who = (ActorKind::User, user.email.clone());
                self.note_as(&user.organization, who, None, Action::SignedIn, user.id, "password").await;
                Ok(cookie)
            }
            Some(user) => {
                let who = (ActorKind::Guest, address.to_owned());
                self.note_as(&user.organization, who, None, Action::SignInFailed, user.id, "").await;
                Err(SignInError::Wrong)
            }
            // Noted as well, so that it takes as long; not what was typed, which may be a password.
            None => {
                let organization: OrganizationId = OrganizationId::DEFAULT.parse().map_err(|_| SignInError::Wrong)?;
                let who = (ActorKind::Guest, address.to_owned());
                self.note_as(&organization, who, None, Action::SignInFailed, "", "no such user").await;
                Err(SignInError::Wrong)
            }
        }
    }
}

/// Where a person goes to sign in with a token.
pub fn sign_in_url(public_url: &str, token: &str) -> String {
    format!("{public_url}/sign-in?token={token}")
}
