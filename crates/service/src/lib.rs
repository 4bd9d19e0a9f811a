//! What each operation means: who may do it, which rules hold, what it changes. Written once, for every door: the API,
//! the dashboard, Canvas's API, the commands.
//!
//! Knows no HTTP, no HTML and no SQL. Operations are plain async functions over typed commands. What it needs from the
//! rooms that run deliveries and open sockets comes in through the small traits of [`seams`].

pub mod access;
pub mod actor;
pub mod alerts;
pub mod applications;
pub mod attempts;
pub mod audit;
pub mod body_keys;
pub mod catalogue;
pub mod check;
mod confined;
pub mod desk;
pub mod dry_run;
mod endpoint_stats;
pub mod endpoints;
pub mod error;
pub mod event_types;
mod extras;
mod fit;
mod guesses;
pub mod headers;
pub mod history;
pub mod hooks;
pub mod idempotency;
pub mod lti;
pub mod messages;
pub mod oidc;
pub mod operational;
pub mod organization;
mod password;
mod password_reset;
pub mod patch;
pub mod people;
pub mod platform;
pub mod portal;
pub mod publish;
pub mod queues;
mod schemas;
pub mod seams;
pub mod secrets;
pub mod sent;
pub mod sessions;
pub mod sign_in;
pub mod student_data;
pub mod tasks;
pub mod token;
mod turns;
pub mod webfilters;
pub mod window;

pub use access::AppScope;
pub use actor::{Actor, ApplicationActor, Capability, Permission, Person};
pub use error::{Problem, ServiceError};
pub use patch::{Patch, Saved};
pub use seams::{
    AddressPolicy, Admission, Agreement, Ask, Asker, Asking, Fetch, Fetched, Handshake, Post, Posted, SecretMaker,
    SignatureKind,
};
pub use token::{TokenError, Tokens};
pub use window::Window;

use domain::{ApplicationId, Ksuid, OrganizationId, Timestamp};
use quick_cache::sync::Cache;
use std::sync::Arc;
use store::{Directory, Ids, Store};

/// What the operator decides about operations.
#[derive(Clone, Debug)]
pub struct ServiceSettings {
    /// Days until a payload is removed, where nobody else says.
    pub payload_days: u16,
    /// The kind of secret that is made for a new endpoint.
    pub signature: SignatureKind,
    /// Whether endpoints must be `https`.
    pub https_only: bool,
    /// Whether events about endpoints and failing deliveries are published to the operator.
    pub operational_webhooks: bool,
    /// The address under which people reach this server, without a slash at the end; for links to the portal.
    pub public_url: String,
}

impl Default for ServiceSettings {
    fn default() -> Self {
        Self {
            payload_days: 90,
            signature: SignatureKind::Hmac256,
            https_only: false,
            operational_webhooks: true,
            public_url: "http://127.0.0.1:8484".to_owned(),
        }
    }
}

/// All that the service is made of.
pub struct Parts {
    /// Applications and endpoints in memory, over the store.
    pub directory: Arc<Directory>,
    /// Makes ids, and knows what time it is.
    pub ids: Arc<Ids>,
    /// What the operator decided.
    pub settings: ServiceSettings,
    /// The engine's door for new deliveries.
    pub admission: Arc<dyn Admission>,
    /// Which addresses endpoints may have.
    pub guard: Arc<dyn AddressPolicy>,
    /// Makes signing secrets.
    pub secrets: Arc<dyn SecretMaker>,
    /// Makes and reads tokens.
    pub tokens: Arc<Tokens>,
    /// Asks webfilters.
    pub asker: Arc<dyn Asker>,
    /// The OpenID provider that people may sign in with.
    pub oidc: Option<oidc::Provider>,
    /// The way for mail.
    pub mail: Option<Arc<dyn Post>>,
}

/// The operations.
pub struct Service {
    directory: Arc<Directory>,
    store: Arc<dyn Store>,
    ids: Arc<Ids>,
    settings: ServiceSettings,
    admission: Arc<dyn Admission>,
    guard: Arc<dyn AddressPolicy>,
    secrets: Arc<dyn SecretMaker>,
    tokens: Arc<Tokens>,
    asker: Arc<dyn Asker>,
    bearers: lti::Bearers,
    accepted: metrics::Counter,
    validators: fit::Validators,
    /// Organizations of which nobody heard operational webhooks, and when that was found.
    not_listening: Cache<OrganizationId, Timestamp>,
    signing_in: tokio::sync::Mutex<()>,
    turns: turns::Turns,
    passwords: password::Passwords,
    guesses: guesses::Guesses,
    /// Looks at payloads that were noted lately.
    looks: Cache<Box<str>, Timestamp>,
    /// Alerts that were raised lately.
    alerted: Cache<Box<str>, Timestamp>,
    oidc: Option<oidc::Provider>,
    mail: Option<Arc<dyn Post>>,
    /// Alerts that were mailed in the hour that began then.
    mailed: Cache<OrganizationId, (Timestamp, u32)>,
}

impl Service {
    /// From its parts. The metrics recorder must be installed before, or nothing is counted.
    pub fn new(parts: Parts) -> Self {
        Self {
            store: parts.directory.store().clone(),
            directory: parts.directory,
            ids: parts.ids,
            settings: parts.settings,
            admission: parts.admission,
            guard: parts.guard,
            secrets: parts.secrets,
            bearers: lti::Bearers::new(parts.tokens.secret()),
            tokens: parts.tokens,
            asker: parts.asker,
            accepted: metrics::counter!("schoolbell_accepted_total"),
            validators: fit::Validators::default(),
            not_listening: Cache::new(10_000),
            signing_in: tokio::sync::Mutex::new(()),
            turns: turns::Turns::new(),
            passwords: password::Passwords::new(),
            guesses: guesses::Guesses::new(),
            looks: Cache::new(10_000),
            alerted: Cache::new(10_000),
            oidc: parts.oidc,
            mail: parts.mail,
            mailed: Cache::new(10_000),
        }
    }

    /// Now.
    pub fn now(&self) -> Timestamp {
        self.ids.now()
    }

    /// Makes and reads tokens.
    pub fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// Where receivers find the public halves of the keys that sign an application's bodies.
    pub fn jwks_url(&self, app: ApplicationId) -> String {
        format!("{}/api/lti/jwks/{app}", self.settings.public_url)
    }

    /// Whether the store answers.
    pub async fn ping(&self) -> Result<(), ServiceError> {
        Ok(self.store.ping().await?)
    }

    /// How many deliveries are open, and since when the oldest of them was due.
    pub async fn open_deliveries(&self) -> Result<(u64, Option<Timestamp>), ServiceError> {
        Ok(self.store.open_deliveries().await?)
    }

    /// A new id, and the instant that belongs to it.
    fn next_id(&self) -> (Ksuid, Timestamp) {
        self.ids.next()
    }
}
