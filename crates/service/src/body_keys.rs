//! The keys that sign bodies: made when the first endpoint of an application asks for it, published, rotated on demand and
//! when their time has come.

use crate::{Service, access::AppScope, actor::Capability, error::ServiceError};
use domain::{Action, AppKey, ApplicationId, BodyKey, KeySet, Timestamp};
use std::time::Duration;
use store::StoreError;

/// Applications whose keys are rotated in one go.
const ROTATE_STEP: usize = 100;
/// Tries to change a set that somebody else changes at the same time.
const TRIES: usize = 3;

/// Which of an application's keys one is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyState {
    /// Signed until the last change.
    Previous,
    /// Signs.
    Current,
    /// Will sign after the next change.
    Next,
}

impl KeyState {
    /// In one word.
    pub fn text(self) -> &'static str {
        match self {
            Self::Previous => "previous",
            Self::Current => "current",
            Self::Next => "next",
        }
    }
}

/// The public half of a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PublicKey {
    /// What names it.
    pub kid: String,
    /// Modulus, in base64url.
    pub n: String,
    /// Exponent, likewise.
    pub e: String,
    /// Which one it is.
    pub state: KeyState,
}

/// The public halves of an application's keys.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PublicKeys {
    /// At most three, the one in use in the middle.
    pub keys: Vec<PublicKey>,
    /// When the current key began to sign.
    pub rotated_at: Timestamp,
}

impl From<KeySet> for PublicKeys {
    fn from(set: KeySet) -> Self {
        let public = |key: BodyKey, state| PublicKey { kid: key.kid, n: key.n, e: key.e, state };
        let keys = set
            .previous
            .map(|key| public(key, KeyState::Previous))
            .into_iter()
            .chain([public(set.current, KeyState::Current), public(set.next, KeyState::Next)]);
        Self { keys: keys.collect(), rotated_at: set.rotated_at }
    }
}

impl Service {
    /// A new key; made where it holds up nobody.
    async fn new_body_key(&self) -> Result<BodyKey, ServiceError> {
        let maker = self.secrets.clone();
        tokio::task::spawn_blocking(move || maker.generate_body_key()).await.map_err(|_| ServiceError::Internal)
    }

    /// Makes an application's keys if it has none.
    pub(crate) async fn make_sure_of_body_keys(&self, app: AppKey) -> Result<(), ServiceError> {
        if self.store.key_set(app).await?.is_some() {
            return Ok(());
        }
        let (current, next) = (self.new_body_key().await?, self.new_body_key().await?);
        match self.store.save_key_set(KeySet::new(app, current, next, self.now())).await {
            // Somebody else was faster.
            Ok(_) | Err(StoreError::Changed) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    async fn rotate(&self, app: AppKey, if_before: Option<Timestamp>) -> Result<Option<KeySet>, ServiceError> {
        let new = self.new_body_key().await?;
        for _ in 0..TRIES {
            let Some(set) = self.store.key_set(app).await? else { return Ok(None) };
            // Another node was faster.
            if if_before.is_some_and(|before| set.rotated_at > before) {
                return Ok(None);
            }
            match self.store.save_key_set(set.rotated(new.clone(), self.now())).await {
                Ok(saved) => return Ok(Some(saved)),
                Err(StoreError::Changed) => {}
                Err(e) => return Err(e.into()),
            }
        }
        Err(ServiceError::TooBusy)
    }

    /// An application's keys, the public halves.
    pub async fn body_keys(&self, scope: &AppScope) -> Result<PublicKeys, ServiceError> {
        scope.must_have(Capability::ViewBase)?;
        let set = self.store.key_set(scope.key()).await?;
        set.map(Into::into).ok_or(ServiceError::NotFound("No endpoint of this application asked for signed bodies"))
    }

    /// Lets an application's next key sign from now on, and makes another one to follow it. The one that signed until now
    /// stays published until the next change.
    pub async fn rotate_body_keys(&self, scope: &AppScope) -> Result<PublicKeys, ServiceError> {
        scope.must_see_whole()?;
        scope.must_have(Capability::ManageEndpointSecret)?;
        let set = self.rotate(scope.key(), None).await?;
        let set = set.ok_or(ServiceError::NotFound("No endpoint of this application asked for signed bodies"))?;
        let app = scope.application().id;
        self.note_in(scope, Action::SecretRotated, app, format!("the keys that sign bodies: {}", set.current.kid))
            .await;
        Ok(set.into())
    }

    /// The public halves of an application's keys, for whoever has its id: receivers hold no token.
    pub async fn published_body_keys(&self, app: &str) -> Result<PublicKeys, ServiceError> {
        let not_found = ServiceError::NotFound("There is no key set here");
        let Ok(app) = app.parse::<ApplicationId>() else { return Err(not_found) };
        self.store.key_set_of(app).await?.map(Into::into).ok_or(not_found)
    }

    /// Rotates keys that have signed for this long, all applications'. Says how many. An operation of the server itself.
    pub async fn rotate_old_body_keys(&self, after: Duration) -> Result<usize, ServiceError> {
        let before = self.now().minus(after);
        let mut rotated = 0;
        for app in self.store.key_sets_rotated_before(before, ROTATE_STEP).await? {
            rotated += usize::from(self.rotate(app, Some(before)).await?.is_some());
        }
        Ok(rotated)
    }
}
