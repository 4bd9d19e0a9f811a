//! A new password for whoever forgot theirs: an operator makes a link that works once, and hands it on.

use crate::{
    Service,
    actor::Actor,
    check::Check,
    error::ServiceError,
    password::complaint,
    sessions::{key_hash, new_key},
};
use domain::{Action, ActorKind, User};
use std::time::Duration;
use store::Reset;

/// How long such a link works.
const RESET_LIFETIME: Duration = Duration::from_secs(24 * 3600);

impl Service {
    /// Makes a link with which a user chooses a new password, and signs them out everywhere; answers it, which is shown this
    /// once. An earlier link of theirs is worth nothing any more.
    pub async fn create_password_reset(&self, actor: &Actor, id: &str) -> Result<(User, String), ServiceError> {
        let user = self.user(actor, id).await?;
        Self::must_be_other(actor, &user)?;
        if user.password.is_none() {
            return Err(ServiceError::Conflict("They sign in with the provider and have no password here".to_owned()));
        }
        if user.disabled {
            return Err(ServiceError::Conflict("Their access was removed; restore it first".to_owned()));
        }
        let (key, hash) = new_key();
        let reset = Reset { user: user.id, expires_at: self.now().plus(RESET_LIFETIME) };
        self.store.create_reset(hash, reset).await.map_err(|e| match e {
            store::StoreError::NotFound => ServiceError::NO_USER,
            e => e.into(),
        })?;
        self.store.end_sessions_of(user.id, None).await?;
        self.note(actor, None, Action::PasswordResetCreated, user.id, &user.email).await;
        Ok((user, format!("{}/reset?key={key}", self.settings.public_url)))
    }

    /// Whom the link of a reset is for. Looking does not use it up.
    pub async fn password_reset(&self, key: &str) -> Result<Option<User>, ServiceError> {
        let Some(reset) = self.store.reset(key_hash(key), self.now()).await? else { return Ok(None) };
        Ok(self.store.user(reset.user).await?.filter(|user| !user.disabled))
    }

    /// Sets the password of whoever has the link, and signs them in; answers the session's cookie.
    pub async fn reset_password(&self, key: &str, password: &str) -> Result<String, ServiceError> {
        let user = self.password_reset(key).await?.ok_or(ServiceError::NO_RESET)?;
        let mut check = Check::body();
        if let Some(complaint) = complaint(password, &user.email) {
            check.fail(&["password"], complaint);
        }
        check.finish()?;
        let hash = self.passwords.hash(password).await?;
        self.store.use_reset(key_hash(key), self.now(), hash).await?.ok_or(ServiceError::NO_RESET)?;
        self.guesses.succeeded(&user.email);
        let who = (ActorKind::User, user.email.clone());
        self.note_as(&user.organization, who, None, Action::PasswordChanged, user.id, "with a link").await;
        self.begin_for_user(&user).await
    }
}
