//! The dialects: catalogues of event types as data, formats as pure functions, and the expressions that endpoints may put
//! between a payload and the wire.
//!
//! Must not know HTTP or SQL, reads no clock, and never waits. A platform is a folder with a catalogue ([`catalog`]), its
//! format if it has one of its own ([`mod@format`]), and a play ([`mod@simulate`]). Nothing elsewhere asks which platform it is.

pub mod canvas;
pub mod catalog;
pub mod expression;
pub mod format;
pub mod instruqt;
pub mod openedx;
pub mod replit;
#[cfg(test)]
mod samples;
pub mod schema;
pub mod simulate;
pub mod teachstack;
pub mod webfilter;

pub use catalog::{CatalogEntry, Platform, by_name};
pub use expression::{Expression, ExpressionError};
pub use format::{ApplicationFacts, Encoding, Format, MASKED_SECRET, RenderError, RenderInput, Rendered, should_send};
pub use schema::{Problem, SchemaError, Validator};
