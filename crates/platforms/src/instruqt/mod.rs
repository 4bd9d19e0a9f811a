//! Instruqt: seventeen events of tracks, sandboxes, invites and reviews.
//!
//! Payloads are flat and hold their own `type`, so they go out as they came in. Where the vendor's page lost a name, the
//! catalogue says that it is inferred and from what; a correction is one line there.

mod play;

use crate::catalog::{self, Platform};
use domain::EndpointDefaults;
use std::sync::LazyLock;

/// The platform. An endpoint on which nothing is ticked gets everything.
pub static PLATFORM: Platform = Platform {
    name: "instruqt",
    title: "Instruqt",
    noun: "organization",
    catalog: LazyLock::new(|| catalog::read(include_str!("catalog.json"))),
    defaults: EndpointDefaults::default,
    warning: None,
    simulate: Some(play::tracks),
};
