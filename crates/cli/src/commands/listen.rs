//! `schoolbell listen`: a receiver for development. Prints what arrives and says whether the signature is right.

use super::{Failure, say};
use crate::{
    clock::SystemClock,
    server::{self, Limits},
    stop,
};
use axum::{
    Router,
    body::Bytes,
    extract::DefaultBodyLimit,
    http::{HeaderMap, Method, StatusCode, Uri},
};
use clap::Args;
use domain::{Clock as _, Timestamp, json::pretty};
use outbound::{VerifyingKey, verify};
use serde_json::Value;
use std::{fmt::Write as _, net::SocketAddr, sync::Arc, time::Duration};

/// The greatest body that is read.
const BODY_MAX: usize = 16 << 20;
/// Lines of a body that are printed.
const LINES_MAX: usize = 200;
/// How old or new a signature may be, as the official libraries have it.
pub(crate) const TOLERANCE: Duration = Duration::from_secs(300);

/// How to listen.
#[derive(Args, Debug)]
pub(crate) struct ListenArgs {
    /// Port on 127.0.0.1; 0 takes a free one
    #[arg(long, value_name = "N", default_value_t = 8485)]
    port: u16,
    /// Secret of the endpoint (whsec_… or whpk_…), to check signatures
    #[arg(long, value_name = "SECRET", env = "SCHOOLBELL_ENDPOINT_SECRET", hide_env_values = true)]
    secret: Option<String>,
    /// Status of every answer, to play a broken receiver
    #[arg(long, value_name = "N", default_value_t = 204, value_parser = clap::value_parser!(u16).range(200..=599))]
    status: u16,
}

/// Listens until it is interrupted.
pub(crate) async fn run(args: ListenArgs) -> Result<(), Failure> {
    let key = match &args.secret {
        Some(text) => {
            Some(text.parse::<VerifyingKey>().map_err(|e| Failure::Usage(format!("--secret cannot be used: {e}")))?)
        }
        None => None,
    };
    let status = StatusCode::from_u16(args.status).map_err(|e| Failure::Usage(format!("--status: {e}")))?;
    let address = SocketAddr::from(([127, 0, 0, 1], args.port));
    let listener =
        server::bind(address).await.map_err(|e| Failure::other(format!("cannot listen on {address}: {e}")))?;
    let address = listener.local_addr().map_err(Failure::other)?;
    let stop = stop::listen();
    say(format_args!("Listening on http://{address}. Every path takes POST; answers are {status}. Ctrl-C ends it."));

    let key = Arc::new(key);
    let receive = move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
        let key = key.clone();
        async move {
            let now = SystemClock.now();
            let judged = judge(key.as_ref().as_ref(), &headers, &body, now);
            say(describe(&method, &uri, &headers, &body, now, &judged, status));
            status
        }
    };
    let router = Router::new().fallback(receive).layer(DefaultBodyLimit::max(BODY_MAX));
    server::run(listener, router, Limits::SMALL, stop).await;
    Ok(())
}

fn judge(key: Option<&VerifyingKey>, headers: &HeaderMap, body: &[u8], now: Timestamp) -> String {
    match key.map(|key| verify(key, headers, body, now, Some(TOLERANCE))) {
        None => "signature not checked (--secret whsec_… checks it)".into(),
        Some(Ok(())) => "signature verified".into(),
        Some(Err(why)) => format!("SIGNATURE REFUSED: {why}"),
    }
}

fn describe(
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    body: &[u8],
    now: Timestamp,
    judged: &str,
    status: StatusCode,
) -> String {
    let json = serde_json::from_slice::<Value>(body).ok();
    let event_type = json.as_ref().and_then(event_type).unwrap_or("(no event type in the body)");
    let mut text = format!("\n{}  {method} {}  {event_type}\n", time_of_day(now), uri.path());
    let _ = writeln!(text, "  {judged}; {} bytes; answered {}", body.len(), status.as_u16());
    for (name, value) in headers {
        if is_telling(name.as_str(), headers) {
            let value = String::from_utf8_lossy(value.as_bytes());
            let _ = writeln!(text, "  {name}: {}", shortened(&value));
        }
    }
    let pretty = pretty(body);
    for line in pretty.lines().take(LINES_MAX) {
        let _ = writeln!(text, "    {line}");
    }
    let more = pretty.lines().count().saturating_sub(LINES_MAX);
    if more > 0 {
        let _ = writeln!(text, "    … {more} more lines");
    }
    // What others send must not move the cursor, clear the screen or worse.
    text.trim_end().chars().map(|c| if c.is_control() && !matches!(c, '\n' | '\t') { '\u{fffd}' } else { c }).collect()
}

/// The event type, where platforms put it into the body.
pub(crate) fn event_type(body: &Value) -> Option<&str> {
    let places =
        ["/type", "/event", "/event_type", "/event_name", "/metadata/event_name", "/event_metadata/event_type"];
    places.iter().find_map(|place| body.pointer(place)?.as_str())
}

/// Whether a header tells something: not those of every request, nor the second of the two families of ids.
fn is_telling(name: &str, all: &HeaderMap) -> bool {
    const DULL: [&str; 5] = ["host", "accept", "content-length", "connection", "accept-encoding"];
    let second_family = name.starts_with("svix-") && all.contains_key("webhook-id");
    !DULL.contains(&name) && !second_family
}

fn shortened(value: &str) -> String {
    if value.chars().count() > 72 { format!("{}…", value.chars().take(72).collect::<String>()) } else { value.into() }
}

/// Hours, minutes and seconds, in UTC.
pub(crate) fn time_of_day(at: Timestamp) -> String {
    let seconds = at.as_seconds().rem_euclid(86_400);
    format!("{:02}:{:02}:{:02}Z", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn event_types_are_found_where_each_platform_puts_them() {
        for body in [
            serde_json::json!({ "type": "x.y" }),
            serde_json::json!({ "event": "x.y", "data": {} }),
            serde_json::json!({ "event_name": "x.y" }),
            serde_json::json!({ "metadata": { "event_name": "x.y" } }),
            serde_json::json!({ "a.B": {}, "event_metadata": { "event_type": "x.y" } }),
        ] {
            assert_eq!(event_type(&body), Some("x.y"), "{body}");
        }
        assert_eq!(event_type(&serde_json::json!([1])), None);
    }

    #[test]
    fn what_arrives_is_printed_so_that_a_person_can_read_it() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("host", "127.0.0.1"),
            ("webhook-id", "msg_1"),
            ("svix-id", "msg_1"),
            (
                "webhook-signature",
                "v1,aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            ),
        ] {
            headers.append(name, value.parse().unwrap());
        }
        let body = br#"{"type":"track.started","user":{"id":7}}"#;
        let now = Timestamp::parse("2026-01-02T03:04:05Z").unwrap();
        let uri = "/hook?x=1".parse().unwrap();
        let text = describe(&Method::POST, &uri, &headers, body, now, "signature verified", StatusCode::NO_CONTENT);
        let want = "\n03:04:05Z  POST /hook  track.started\n  signature verified; 40 bytes; answered 204\n  \
                    webhook-id: msg_1\n  \
                    webhook-signature: v1,aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa…\n    \
                    {\n      \"type\": \"track.started\",\n      \"user\": {\n        \"id\": 7\n      }\n    }";
        assert_eq!(text, want);
    }

    #[test]
    fn what_arrives_cannot_drive_the_terminal() {
        let mut headers = HeaderMap::new();
        headers.insert("x-title", HeaderValue::from_bytes(b"\xc2\x9b2J").unwrap());
        let uri = "/".parse().unwrap();
        for body in [&b"\x1b]0;owned\x07\r\x1b[2Jgone"[..], br#"{"type":"\u001b[2J\u009b2J"}"#] {
            let now = Timestamp::default();
            let text = describe(&Method::POST, &uri, &headers, body, now, "", StatusCode::OK);
            assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
        }
    }
}
