//! With whose key a queue is written to: its endpoint's, or this server's own, which the SDK looks for.

use super::door::Door;
use crate::client::{connect::Connector, pool::Pool};
use aws_config::BehaviorVersion;
use aws_credential_types::{
    Credentials,
    provider::{ProvideCredentials as _, SharedCredentialsProvider, error::CredentialsError},
};
use aws_smithy_runtime_api::client::identity::Identity;
use domain::{Timestamp, queue::QueueKey};
use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::sync::{Mutex, OnceCell};

/// How long before its end a session is renewed…
const BEFORE_ITS_END: Duration = Duration::from_secs(60);
/// …and how long a key without an end is believed: a profile may be changed meanwhile.
const WITHOUT_END: Duration = Duration::from_secs(15 * 60);

/// What requests to a queue are signed with.
pub(super) enum Access {
    /// The endpoint's key.
    Key(Identity),
    /// Whatever this server is.
    Own(OwnAccess),
}

impl Access {
    pub(super) fn by_key(key: &QueueKey) -> Self {
        let secret = key.secret.expose().to_owned();
        Self::Key(Credentials::new(key.id.clone(), secret, None, None, "endpoint").into())
    }

    pub(super) async fn identity(&self, now: Timestamp) -> Result<Identity, CredentialsError> {
        match self {
            Self::Key(identity) => Ok(identity.clone()),
            Self::Own(own) => own.identity(now).await,
        }
    }
}

/// The server's own access, looked for at the first need: environment, profile, web identity, container, machine.
#[derive(Clone, Debug)]
pub(crate) struct OwnAccess(Arc<Own>);

#[derive(Debug)]
struct Own {
    /// The metadata services of clouds live at addresses that receivers may not have, so this one has no guard. Where it
    /// goes is decided by the machine's own settings, never by an endpoint's.
    door: Door,
    provider: OnceCell<Option<SharedCredentialsProvider>>,
    /// What was found last, and until when it is used.
    found: Mutex<Option<(Identity, Timestamp)>>,
}

impl OwnAccess {
    pub(crate) fn new(connector: Arc<Connector>, pool: Arc<Pool>) -> Self {
        let door = Door { connector, pool };
        Self(Arc::new(Own { door, provider: OnceCell::new(), found: Mutex::default() }))
    }

    async fn provider(&self) -> Option<&SharedCredentialsProvider> {
        let look = async {
            let config = aws_config::defaults(BehaviorVersion::latest()).http_client(self.0.door.clone()).load().await;
            config.credentials_provider()
        };
        self.0.provider.get_or_init(|| look).await.as_ref()
    }

    async fn identity(&self, now: Timestamp) -> Result<Identity, CredentialsError> {
        // Whoever comes first looks, the others wait for what it finds.
        let mut found = self.0.found.lock().await;
        if let Some((identity, until)) = &*found
            && now < *until
        {
            return Ok(identity.clone());
        }
        let provider = self.provider().await;
        let provider = provider.ok_or_else(|| CredentialsError::not_loaded("this server has no access of its own"))?;
        let credentials = provider.provide_credentials().await?;
        let until = match credentials.expiry() {
            Some(end) => at(end).minus(BEFORE_ITS_END),
            None => now.plus(WITHOUT_END),
        };
        let identity = Identity::from(credentials);
        *found = Some((identity.clone(), until));
        Ok(identity)
    }
}

fn at(time: SystemTime) -> Timestamp {
    Timestamp::from_micros(0).plus(time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
}
