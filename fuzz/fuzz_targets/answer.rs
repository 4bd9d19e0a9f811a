//! Answers of receivers: whatever comes, little of it is kept, and what is kept is the beginning of what was said.
//!
//! Input: the value of `retry-after`, a line feed, the value of `content-encoding`, a line feed, a byte that says how
//! large the pieces are, the body.
#![no_main]

use domain::Timestamp;
use flate2::read::{DeflateDecoder, GzDecoder, ZlibDecoder};
use http::{HeaderMap, HeaderValue, header};
use libfuzzer_sys::fuzz_target;
use outbound::fuzzing;
use std::{io::Read, time::Duration};

/// Kept of an answer.
const KEPT: usize = 20_000;
/// Read of an answer.
const READ: usize = 64 * 1024;

fuzz_target!(|data: &[u8]| {
    let mut parts = data.splitn(3, |b| *b == b'\n');
    let (Some(wait), Some(encoding), Some([size, body @ ..])) = (parts.next(), parts.next(), parts.next()) else {
        return;
    };
    let (Ok(wait), Ok(encoding)) = (HeaderValue::from_bytes(wait), HeaderValue::from_bytes(encoding)) else { return };

    let mut headers = HeaderMap::new();
    headers.insert(header::RETRY_AFTER, wait.clone());
    headers.insert(header::CONTENT_ENCODING, encoding.clone());
    let now = Timestamp::parse("2026-09-01T08:00:00Z").unwrap();
    let asked = fuzzing::retry_after(&headers, now);
    let plain_number = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<u32>().ok())?;
    if let Some(seconds) = wait.to_str().ok().and_then(|t| plain_number(t.trim())) {
        assert_eq!(asked, Some(Duration::from_secs(seconds.into())));
    }

    let pieces = || body.chunks(usize::from(*size).pow(2) + 1);
    let (whole, kept) = fuzzing::read_answer(&headers, pieces());
    assert!(kept.len() <= KEPT);
    let fits = fuzzing::read_answer(&headers, std::iter::once(body));
    let plain = match encoding.as_bytes().to_ascii_lowercase().as_slice() {
        b"gzip" | b"x-gzip" => decoded(GzDecoder::new(body)),
        b"deflate" if body.first().is_some_and(|b| b & 0x0f == 8) => decoded(ZlibDecoder::new(body)),
        b"deflate" => decoded(DeflateDecoder::new(body)),
        _ => {
            assert_eq!(&kept[..], &body[..body.len().min(KEPT)]);
            assert_eq!(whole, body.len() <= READ);
            return;
        }
    };
    // However it is cut into pieces, what is kept is the beginning of what it means.
    if let Some(plain) = plain {
        let most = &plain[..plain.len().min(KEPT)];
        assert_eq!(&kept[..], most, "in pieces of {size}");
        assert_eq!(&fits.1[..], most, "in one piece");
    }
});

/// All of it, if it is whole and not too much.
fn decoded(from: impl Read) -> Option<Vec<u8>> {
    let mut plain = Vec::new();
    let read = from.take(READ as u64).read_to_end(&mut plain);
    (read.is_ok() && plain.len() < READ).then_some(plain)
}
