//! The only door out: everything that Schoolbell sends to receivers leaves through here.
//!
//! [`Guard`] says which addresses may be reached, [`Target`] is an endpoint made ready for sending, [`Client`] signs,
//! sends and reads the answer within one deadline and within fixed limits, [`signing`] makes, uses and checks keys, [`jws`]
//! those of bodies that go out as signed tokens.
//!
//! Knows nothing of the database, of retries or of who owns an endpoint: it is handed an endpoint and bytes, and says
//! what came of them. It is the only room that opens connections to addresses that users choose.

pub mod client;
pub mod guard;
pub mod jws;
pub mod mail;
pub mod queue;
pub mod signing;
pub mod target;

#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub use client::fuzzing;
pub use client::{
    AnswerLimits, Client, ClientError, ClientOptions, FetchError, Handshake, HandshakeError, OutgoingRequest, Question,
    Sent,
};
pub use guard::{Blocked, Guard};
pub use mail::{Mail, MailError};
pub use queue::{Queue, QueueMessage, QueueOptions};
pub use signing::{SignatureKind, SigningKey, VerifyError, VerifyingKey, generate_secret, sign_header, verify};
pub use target::{Target, TargetError};
