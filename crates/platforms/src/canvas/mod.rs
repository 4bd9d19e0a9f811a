//! Canvas: the events of its plagiarism platform and of its live events, in its own format and as Caliper 1.1.
//!
//! Producers publish what the catalogue describes, `metadata` and `body`, with the contexts as channels. What a tool may
//! subscribe to is in [`subscribing`].

pub(crate) mod caliper;
pub(crate) mod live_event;
mod play;
mod queue;
pub mod subscribing;

pub use queue::attributes;

use crate::{
    catalog::{self, Platform},
    format::Format,
};
use domain::{EndpointDefaults, EndpointOptions};
use std::sync::LazyLock;

/// The platform. A root account is an application.
pub static PLATFORM: Platform = Platform {
    name: "canvas",
    title: "Canvas",
    noun: "root account",
    catalog: LazyLock::new(|| catalog::read(include_str!("catalog.json"))),
    defaults,
    warning: None,
    simulate: Some(play::campus),
};

fn defaults() -> EndpointDefaults {
    let preset = catalog::retry_preset("canvas-live-events");
    let options = EndpointOptions {
        format: Format::LiveEvent,
        deactivate_after: preset.as_ref().and_then(|p| p.deactivate_after),
        retry_schedule: preset.map(|p| p.schedule),
        ..EndpointOptions::default()
    };
    EndpointDefaults { options, body_secret: false }
}
