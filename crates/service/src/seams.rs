//! What the service needs from the rooms that send: seats for new deliveries, the address rules, new secrets.

use domain::{BodyKey, Endpoint, EndpointRef, Secret};
use std::pin::Pin;
use store::{Birth, queue::SharedTicket};
use url::Url;

/// The delivery engine, as far as operations talk to it.
pub trait Admission: Send + Sync {
    /// How a new delivery to this endpoint is born: leased with a seat in the engine, or waiting in the table.
    fn admit(&self, to: EndpointRef) -> Birth;
    /// A share of the memory for payloads on their way out. `None` if it is used up: all deliveries are born waiting.
    fn budget(&self, bytes: usize) -> Option<SharedTicket>;
    /// A background task was made: look for it.
    fn tasks_changed(&self);
    /// An endpoint was changed, switched on or off, or removed.
    fn endpoint_changed(&self, _to: EndpointRef) {}
}

/// Which addresses endpoints may have.
pub trait AddressPolicy: Send + Sync {
    /// Refuses what is known to be refused at each try, such as a private address; says why.
    fn check_url(&self, url: &Url) -> Result<(), String>;
    /// Refuses a queue that nothing could be sent to: no access, a private address; says why.
    fn check_queue(&self, _endpoint: &Endpoint) -> Result<(), String> {
        Err("queues are not possible here".to_owned())
    }
    /// Asks an endpoint's address whether it wants what will be sent; says why it did not agree.
    fn shake_hands<'a>(&'a self, _endpoint: &'a Endpoint, _how: Handshake) -> Agreement<'a> {
        Box::pin(async { Err("handshakes are not possible here".to_owned()) })
    }
}

/// What an address answers to a handshake, in time.
pub type Agreement<'a> = Pin<Box<dyn Future<Output = Result<(), String>> + Send + 'a>>;

/// How an address is asked whether it wants what will be sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Handshake {
    /// It has to repeat `X-Hook-Secret`.
    HookSecret,
    /// It has to allow this origin, a host name (CloudEvents).
    CloudEvents(String),
}

/// Makes signing secrets, and says which can sign.
pub trait SecretMaker: Send + Sync {
    /// A new random one.
    fn generate(&self, kind: SignatureKind) -> Secret;
    /// Refuses a secret of the right form that cannot sign; says why.
    fn check(&self, secret: &Secret) -> Result<(), String>;
    /// A new random key for signing bodies. Takes long.
    fn generate_body_key(&self) -> BodyKey;
}

/// The kind of a signing secret.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum SignatureKind {
    /// HMAC-SHA256.
    #[default]
    Hmac256,
    /// ed25519.
    Ed25519,
}
