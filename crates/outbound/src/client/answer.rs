//! What is read of an answer: a bounded part of its body, decompressed, and how long the receiver asks us to wait.

use bytes::Bytes;
use domain::Timestamp;
use flate2::write::{DeflateDecoder, GzDecoder, ZlibDecoder};
use http::{
    HeaderMap,
    header::{CONTENT_ENCODING, RETRY_AFTER},
};
use std::{
    io::{self, Write},
    time::{Duration, SystemTime},
};

/// How much of an answer's body counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AnswerLimits {
    /// Bytes read at most, as they come over the wire and as they come out of the decompression.
    pub read: usize,
    /// Bytes kept.
    pub kept: usize,
}

impl Default for AnswerLimits {
    fn default() -> Self {
        Self { read: 64 * 1024, kept: 20_000 }
    }
}

/// Takes a body piece by piece, keeps the beginning, and says when it is enough.
pub(super) struct BodyReader {
    limits: AnswerLimits,
    read: usize,
    decoder: Decoder,
}

enum Decoder {
    Plain(Beginning),
    Gzip(Box<GzDecoder<Beginning>>),
    /// Before the first byte: some servers send zlib streams, as they should, others bare ones.
    Deflate,
    Zlib(Box<ZlibDecoder<Beginning>>),
    Bare(Box<DeflateDecoder<Beginning>>),
}

impl BodyReader {
    pub(super) fn new(headers: &HeaderMap, limits: AnswerLimits) -> Self {
        // We do not ask for compression, but some servers do as they like.
        let decoder = match headers.get(CONTENT_ENCODING).map(|v| v.as_bytes()) {
            Some(e) if e.eq_ignore_ascii_case(b"gzip") || e.eq_ignore_ascii_case(b"x-gzip") => {
                Decoder::Gzip(Box::new(GzDecoder::new(Beginning::within(limits))))
            }
            Some(e) if e.eq_ignore_ascii_case(b"deflate") => Decoder::Deflate,
            _ => Decoder::Plain(Beginning::within(limits)),
        };
        Self { limits, read: 0, decoder }
    }

    /// Takes the next piece. False if the limit is reached and the rest should not be read.
    pub(super) fn take(&mut self, data: &[u8]) -> bool {
        self.read += data.len();
        if let (Decoder::Deflate, Some(first)) = (&self.decoder, data.first()) {
            // A zlib stream begins with a byte whose lower half is 8, which no bare stream of a server does.
            self.decoder = if first & 0x0f == 8 {
                Decoder::Zlib(Box::new(ZlibDecoder::new(Beginning::within(self.limits))))
            } else {
                Decoder::Bare(Box::new(DeflateDecoder::new(Beginning::within(self.limits))))
            };
        }
        // What does not decompress is not worth failing for: what came out until then is kept.
        let (_, beginning) = match &mut self.decoder {
            Decoder::Plain(b) => (b.write_all(data), &*b),
            Decoder::Gzip(d) => (d.write_all(data), d.get_ref()),
            Decoder::Zlib(d) => (d.write_all(data), d.get_ref()),
            Decoder::Bare(d) => (d.write_all(data), d.get_ref()),
            Decoder::Deflate => return true,
        };
        self.read <= self.limits.read && beginning.seen <= self.limits.read
    }

    /// The beginning of the body.
    pub(super) fn kept(self) -> Bytes {
        let beginning = match self.decoder {
            Decoder::Plain(b) => b,
            // A stream that was cut off or is broken yields what came out of it.
            Decoder::Gzip(mut d) => {
                let _ = d.try_finish();
                std::mem::take(d.get_mut())
            }
            Decoder::Zlib(mut d) => {
                let _ = d.try_finish();
                std::mem::take(d.get_mut())
            }
            Decoder::Bare(mut d) => {
                let _ = d.try_finish();
                std::mem::take(d.get_mut())
            }
            Decoder::Deflate => Beginning::default(),
        };
        beginning.kept.into()
    }
}

/// Keeps the beginning of what is written and refuses more than the limit, which stops decompression bombs.
#[derive(Default)]
struct Beginning {
    limits: AnswerLimits,
    kept: Vec<u8>,
    seen: usize,
}

impl Beginning {
    fn within(limits: AnswerLimits) -> Self {
        Self { limits, ..Self::default() }
    }
}

impl Write for Beginning {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.seen += data.len();
        let room = self.limits.kept.saturating_sub(self.kept.len());
        self.kept.extend_from_slice(&data[..data.len().min(room)]);
        if self.seen > self.limits.read { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(data.len()) }
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// How long the receiver asks us to wait: seconds, fractions rounded up, or a date. A date that is past means no wait.
pub(super) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        // The cast saturates: whoever asks for ages gets what the retry policy grants.
        return text.parse::<f64>().ok().map(|seconds| Duration::from_secs(seconds.ceil() as u64));
    }
    let at = httpdate::parse_http_date(text).ok()?;
    let at = at.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    let now = Duration::from_micros(u64::try_from(now.as_micros()).unwrap_or(0));
    Some(at.saturating_sub(now))
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{
        Compression,
        write::{DeflateEncoder, GzEncoder, ZlibEncoder},
    };
    use proptest::prelude::*;

    const READ_MAX: usize = 64 * 1024;
    const KEPT_MAX: usize = 20_000;

    fn reader(encoding: Option<&str>) -> BodyReader {
        let headers = encoding.map(|e| (CONTENT_ENCODING, e.parse().unwrap())).into_iter().collect();
        BodyReader::new(&headers, AnswerLimits::default())
    }

    fn gzip(data: &[u8]) -> Vec<u8> {
        let mut e = GzEncoder::new(Vec::new(), Compression::default());
        e.write_all(data).unwrap();
        e.finish().unwrap()
    }

    #[test]
    fn the_first_20000_bytes_are_kept_and_64_kib_read() {
        let mut r = reader(None);
        assert!(r.take(&[b'a'; 19_999]) && r.take(b"bc") && r.take(&vec![b'd'; READ_MAX - 20_001]));
        assert!(!r.take(b"e"));
        let kept = r.kept();
        assert_eq!((kept.len(), &kept[19_998..]), (KEPT_MAX, &b"ab"[..]));
    }

    #[test]
    fn other_limits_hold_as_well() {
        let mut r = BodyReader::new(&HeaderMap::new(), AnswerLimits { read: 5, kept: 5 });
        assert!(r.take(b"abcde") && !r.take(b"f"));
        assert_eq!(&r.kept()[..], b"abcde");
    }

    #[test]
    fn compressed_bodies_are_kept_as_text() {
        let text = b"thank you ".repeat(500);
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
        zlib.write_all(&text).unwrap();
        let mut bare = DeflateEncoder::new(Vec::new(), Compression::default());
        bare.write_all(&text).unwrap();
        let cases = [
            ("gzip", gzip(&text)),
            ("X-GZip", gzip(&text)),
            ("deflate", zlib.finish().unwrap()),
            ("deflate", bare.finish().unwrap()),
        ];
        for (encoding, wire) in cases {
            let mut r = reader(Some(encoding));
            for piece in wire.chunks(7) {
                assert!(r.take(piece));
            }
            assert_eq!(r.kept(), text, "{encoding}");
        }
    }

    #[test]
    fn a_bomb_is_defused_early() {
        let bomb = gzip(&vec![b'0'; 10_000_000]);
        assert!(bomb.len() < READ_MAX);
        let mut r = reader(Some("gzip"));
        assert!(!r.take(&bomb));
        assert_eq!(r.kept().len(), KEPT_MAX);
    }

    #[test]
    fn broken_and_cut_off_compression_yields_what_came_out() {
        let text: Vec<u8> = (0..3_000_u32).flat_map(|i| i.wrapping_mul(2_654_435_761).to_be_bytes()).collect();
        let whole = gzip(&text);
        let mut r = reader(Some("gzip"));
        assert!(r.take(&whole[..whole.len() / 2]));
        let kept = r.kept();
        assert!(!kept.is_empty() && text.starts_with(&kept));

        let mut r = reader(Some("gzip"));
        assert!(r.take(b"this is not gzip at all") && r.take(b"nor is this"));
        assert!(r.kept().is_empty());
    }

    #[test]
    fn an_unknown_encoding_is_kept_as_it_came() {
        let mut r = reader(Some("br"));
        assert!(r.take(b"\x0b\x02\x80"));
        assert_eq!(&r.kept()[..], b"\x0b\x02\x80");
    }

    #[test]
    fn retry_after_reads_seconds_fractions_and_dates() {
        let now = Timestamp::parse("2026-11-22T08:00:00.5Z").unwrap();
        let read = |text: &str| retry_after(&[(RETRY_AFTER, text.parse().unwrap())].into_iter().collect(), now);
        assert_eq!(read("120"), Some(Duration::from_secs(120)));
        assert_eq!(read(" 0 "), Some(Duration::ZERO));
        assert_eq!(read("1.2"), Some(Duration::from_secs(2)));
        assert_eq!(read("99999999999999999999999"), Some(Duration::from_secs(u64::MAX)));
        assert_eq!(read("Sun, 22 Nov 2026 08:01:00 GMT"), Some(Duration::from_millis(59_500)));
        assert_eq!(read("Sun, 22 Nov 2020 08:01:00 GMT"), Some(Duration::ZERO));
        for none in ["soon", "-5", "", "1.2.3", "inf", "1e3"] {
            assert_eq!(read(none), None, "{none}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }

    proptest! {
        #[test]
        fn foreign_bytes_never_panic(encoding in "(gzip|deflate|br)", pieces: Vec<Vec<u8>>, wait in "[ -~]{0,30}") {
            let mut r = reader(Some(&encoding));
            for piece in &pieces {
                if !r.take(piece) {
                    break;
                }
            }
            prop_assert!(r.kept().len() <= KEPT_MAX);
            retry_after(&[(RETRY_AFTER, wait.parse().unwrap())].into_iter().collect(), Timestamp::default());
        }
    }
}
