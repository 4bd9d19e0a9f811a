//! From a leased delivery to a recorded result, and everything that keeps the queue moving: lanes, rates, breakers,
//! retries, background tasks, retention.
//!
//! One way for all: first tries, retries, resends and replays are the same function with another trigger
//! (`engine.rs`). An endpoint is a lane (`lane.rs`); one that hangs or fails holds its own lane only.
//!
//! Must not parse what platforms send, nor render pages; SQL is the store's, sockets are outbound's.

mod deliver;
mod engine;
mod health;
mod jws;
mod lane;
#[cfg(test)]
mod lane_model;
mod prepare;
mod rate;
mod report;
mod response;
mod timers;
mod upkeep;

pub use engine::{Engine, EngineParts, EngineSettings, Seats};
pub use report::{Happened, LastAttempt, NoReports, Reporter};
pub use upkeep::{Upkeep, UpkeepSettings};
