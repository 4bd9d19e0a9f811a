//! The real binary, as a user runs it.

#![allow(clippy::unwrap_used, reason = "a test that meets what it does not expect is to stop right there")]

mod command_line;
mod demo;
mod process;
mod sending;
mod serve;
