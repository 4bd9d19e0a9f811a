//! Bodies of tools in Rails' spelling, as a form, as multipart or as JSON, and OAuth 1 headers: what is read can be written,
//! and reads back as the same in either encoding; nothing is larger than what came in.
//!
//! Input: the content type, a line feed, the body. A first line that begins with `OAuth` is a header `Authorization`.
#![no_main]

use api::fuzzing::{ToolBody, read_tool_body};
use domain::Timestamp;
use http::HeaderValue;
use libfuzzer_sys::fuzz_target;
use service::lti::{SignedRequest, what_is_signed};
use url::form_urlencoded::Serializer;

/// Pairs that are read at most.
const PAIRS_MAX: usize = 1_000;

fuzz_target!(|data: &[u8]| {
    let Some(at) = data.iter().position(|b| *b == b'\n') else { return };
    let (head, body) = (&data[..at], &data[at + 1..]);
    let Ok(head) = std::str::from_utf8(head) else { return };
    if head.starts_with("OAuth") {
        return signed(head, body);
    }
    let Ok(content_type) = HeaderValue::from_str(head) else { return };
    let read = read_tool_body(&content_type, body);
    let Some(pairs) = &read.pairs else { return };
    let size: usize = pairs.iter().map(|(name, value)| name.len() + value.len()).sum();
    // Three bytes stand for one that is no text.
    assert!(pairs.len() <= PAIRS_MAX && size <= 3 * body.len());
    assert!(read.subscription.is_none() || pairs.iter().any(|(name, _)| name.starts_with("subscription[")));

    let form = Serializer::new(String::new()).extend_pairs(pairs).finish();
    let again = read_tool_body(&HeaderValue::from_static("application/x-www-form-urlencoded"), form.as_bytes());
    assert_eq!(again, read);

    // Names that a head can carry, and values that do not end a part.
    let plain = |name: &str| name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_[]".contains(&b));
    let fits: Vec<_> =
        pairs.iter().filter(|(name, value)| plain(name) && !value.contains("--end-of-part")).cloned().collect();
    let mut parts = String::new();
    for (name, value) in &fits {
        parts += &format!("--end-of-part\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
    }
    parts += "--end-of-part--\r\n";
    let multipart = HeaderValue::from_static("multipart/form-data; boundary=end-of-part");
    let ToolBody { pairs: again, .. } = read_tool_body(&multipart, parts.as_bytes());
    assert_eq!(again, Some(fits));
});

/// What is signed names the method, the address and the parameters, each of which is encoded: nothing in a header can move
/// the places between them.
fn signed(authorization: &str, body: &[u8]) {
    let now = Timestamp::from_micros(1_767_225_600_000_000);
    let request =
        SignedRequest { method: "POST", path: "/api/lti/accounts/1/tool_proxy", query: "", authorization, body };
    let Some(base) = what_is_signed(&request, "https://hooks.example.edu", now) else { return };
    assert!(base.starts_with("POST&https%3A%2F%2Fhooks.example.edu%2Fapi%2Flti%2Faccounts%2F1%2Ftool_proxy&"));
    assert_eq!(base.bytes().filter(|b| *b == b'&').count(), 2);
}
