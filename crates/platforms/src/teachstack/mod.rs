//! Teachstack: seven events of rooms, peers, recordings and whiteboards.
//!
//! Producers publish what the catalogue describes; the format puts the envelope around it that is the same for all seven.
//! The vendor published no payloads: names of events are its own, the rest is ours, in the words of its API.

mod play;

use crate::{
    catalog::{self, Platform},
    format::{Format, RenderInput, Rendered, millis, occurred, quoted},
};
use domain::{EndpointDefaults, EndpointOptions, MessageMeta};
use std::sync::LazyLock;

/// The platform.
pub static PLATFORM: Platform = Platform {
    name: "teachstack",
    title: "Teachstack",
    noun: "account",
    catalog: LazyLock::new(|| catalog::read(include_str!("catalog.json"))),
    defaults: || EndpointDefaults {
        options: EndpointOptions {
            format: Format::Teachstack,
            https_only: true,
            only_selected: true,
            ..EndpointOptions::default()
        },
        body_secret: false,
    },
    warning: None,
    simulate: Some(play::lessons),
};

/// The version of the envelope and of what is in it.
const VERSION: &str = "1.0";

/// The envelope around the payload, which goes in as it is.
pub(crate) fn render(input: &RenderInput<'_>, meta: &MessageMeta, payload: &[u8]) -> Rendered {
    let id = input.application.id.to_string();
    let head = format!(
        "{{\"id\":\"{}\",\"event\":\"{}\",\"version\":\"{VERSION}\",\"created_at\":\"{}\",\"account_id\":{},\"data\":",
        meta.id,
        meta.event_type,
        millis(occurred(input, meta, payload)),
        quoted(input.application.uid.unwrap_or(&id)),
    );
    let mut body = Vec::with_capacity(head.len() + payload.len() + 1);
    body.extend_from_slice(head.as_bytes());
    body.extend_from_slice(payload.trim_ascii());
    body.push(b'}');
    Rendered::json(body)
}
