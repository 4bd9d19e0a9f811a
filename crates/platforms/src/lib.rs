//! The dialects: from a message and an endpoint's options to the body and content type that go over the wire. Pure.
//!
//! Must not know HTTP or SQL. So far there is one format, `standard`: the bytes as they came in. Each platform adds its
//! catalogue and formats in a folder of its own; nothing else needs to change.

pub mod expression;
#[cfg(test)]
mod samples;

use bytes::Bytes;
use domain::{Endpoint, MessageMeta};

/// What goes over the wire.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rendered {
    /// The request's body.
    pub body: Bytes,
    /// Its content type.
    pub content_type: &'static str,
}

/// Renders a message for an endpoint.
pub fn render(_endpoint: &Endpoint, _message: &MessageMeta, payload: &Bytes) -> Rendered {
    Rendered { body: payload.clone(), content_type: "application/json" }
}
