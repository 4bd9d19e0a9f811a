//! For tests only: a receiver that misbehaves on demand, certificates for it, a clock that is moved by hand, and
//! builders.
//!
//! Knows nothing of how Schoolbell sends; it stands on the other side of the wire. Whatever goes wrong in here panics,
//! because a test helper that cannot do its work must not let a test pass.
#![allow(clippy::unwrap_used)]

pub mod build;
pub mod clock;
pub mod receiver;
pub mod tls;

pub use clock::ManualClock;
pub use receiver::{Place, Received, Receiver, Reply};
pub use tls::{Authority, Identity, Validity};
