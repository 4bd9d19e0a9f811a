//! What the service needs from the rooms that send: seats for new deliveries, the address rules, new secrets.

use domain::{
    BodyKey, Endpoint, EndpointRef, InLine, Secret,
    webfilter::{Question, Run},
};
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
    /// What the engine holds for an endpoint without sending it, and what it waits for.
    fn in_line(&self, _to: EndpointRef) -> InLine {
        InLine::default()
    }
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

/// Asks web servers that are no receivers, such as an OpenID provider. The same guard holds as for receivers.
pub trait Fetch: Send + Sync {
    /// Asks. Says why there is no answer.
    fn fetch<'a>(&'a self, url: &'a Url, ask: Ask) -> Fetched<'a>;
}

/// What a web server is asked.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Ask {
    /// A form to post; a GET without one.
    pub form: Option<String>,
    /// For the header `authorization`.
    pub authorization: Option<String>,
}

/// An answer's status and body, in time.
pub type Fetched<'a> = Pin<Box<dyn Future<Output = Result<(u16, bytes::Bytes), String>> + Send + 'a>>;

/// Sends mail to people.
pub trait Post: Send + Sync {
    /// Sends plain text. Says why it was not taken.
    fn send<'a>(&'a self, to: &'a str, subject: &'a str, text: String) -> Posted<'a>;
}

/// Whether a mail was taken, in time.
pub type Posted<'a> = Pin<Box<dyn Future<Output = Result<(), String>> + Send + 'a>>;

/// Asks webfilters.
pub trait Asker: Send + Sync {
    /// Asks them all at the same time, combines what they answer, and puts the run into the log.
    fn run(&self, question: Question) -> Asking<'_>;
}

/// A run under way.
pub type Asking<'a> = Pin<Box<dyn Future<Output = Run> + Send + 'a>>;

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
