//! The API over the real store, called in the process: no socket, no engine. What a receiver would answer is recorded
//! by hand.
#![allow(clippy::unwrap_used)]

mod applications;
mod attempts;
mod endpoints;
mod event_types;
mod general;
mod idempotency;
mod messages;
mod tokens;
mod world;
