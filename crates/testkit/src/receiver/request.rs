//! Reads requests off the wire.

use super::Wire;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use std::time::Instant;
use tokio::io::AsyncReadExt as _;

/// A request that arrived.
#[derive(Clone, Debug)]
pub struct Received {
    /// `POST`, mostly.
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole head as it came, for tests of order and spelling.
    pub head: String,
    /// The body as it came.
    pub body: Bytes,
    /// When its last byte arrived.
    pub at: Instant,
    /// Which of the receiver's connections it came over, from 0.
    pub connection: usize,
}

impl Received {
    /// A header's value as text, empty if it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|v| v.to_str().unwrap()).unwrap_or_default()
    }
    /// The body as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// The next request; `None` when the client has closed or broken the connection. `unread` carries what came early.
pub(super) async fn read(wire: &mut Wire, unread: &mut Vec<u8>, connection: usize) -> Option<Received> {
    let head_end = loop {
        if let Some(at) = unread.windows(4).position(|w| w == b"\r\n\r\n") {
            break at + 4;
        }
        more(wire, unread).await?;
    };
    let head = String::from_utf8(unread.drain(..head_end).collect()).unwrap();
    let mut lines = head.trim_end().split("\r\n");
    let mut first = lines.next().unwrap().split(' ');
    let (method, path) = (first.next().unwrap().parse().unwrap(), first.next().unwrap().to_owned());
    let headers: HeaderMap = lines
        .map(|line| {
            let (name, value) = line.split_once(':').unwrap();
            let value = HeaderValue::from_str(value.trim()).unwrap();
            (name.parse::<HeaderName>().unwrap(), value)
        })
        .collect();
    assert!(!headers.contains_key("transfer-encoding"), "this receiver reads bodies of known length only");
    let length = headers.get("content-length").map_or(0, |v| v.to_str().unwrap().parse().unwrap());
    while unread.len() < length {
        more(wire, unread).await?;
    }
    let body = unread.drain(..length).collect::<Vec<u8>>().into();
    Some(Received { method, path, headers, head, body, at: Instant::now(), connection })
}

async fn more(wire: &mut Wire, unread: &mut Vec<u8>) -> Option<()> {
    match wire.stream().read_buf(unread).await {
        Ok(0) | Err(_) => None,
        Ok(_) => Some(()),
    }
}
