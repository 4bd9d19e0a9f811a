//! Doors for the fuzz targets, to what nobody else needs to reach. Only there with the feature `fuzzing`.

use super::answer::{self, AnswerLimits, BodyReader};
use crate::target::Target;
use bytes::Bytes;
use domain::Timestamp;
use http::HeaderMap;
use std::time::Duration;

/// Reads an answer's body piece by piece until it is enough. True if all of it was read.
pub fn read_answer<'a>(headers: &HeaderMap, pieces: impl Iterator<Item = &'a [u8]>) -> (bool, Bytes) {
    let mut reader = BodyReader::new(headers, AnswerLimits::default());
    let whole = { pieces }.all(|piece| reader.take(piece));
    (whole, reader.kept())
}

/// How long an answer asks to wait.
pub fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    answer::retry_after(headers, now)
}

/// Where a target leads: whether over TLS, host, port.
pub fn origin(target: &Target) -> (bool, String, u16) {
    (target.origin.tls, target.origin.host.to_string(), target.origin.port)
}
