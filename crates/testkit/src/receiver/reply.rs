//! The answers, good and bad.

use super::Wire;
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use std::{
    io::{self, Write as _},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Length that [`Reply::Flood`] announces.
const FLOOD: usize = 1_000_000_000;
/// Length that [`Reply::Drip`] announces, and the wait between two of its bytes.
const DRIP: (usize, Duration) = (1_000_000, Duration::from_millis(5));
/// Bytes of [`Reply::gzip_bomb`] when it has gone off.
const BOMB: usize = 10_000_000;

/// How a receiver answers one request.
#[derive(Clone, Debug)]
pub enum Reply {
    /// A well-formed answer.
    Answer {
        /// The status.
        status: u16,
        /// Headers, beside the length.
        headers: Vec<(String, String)>,
        /// The body.
        body: Bytes,
    },
    /// Waits before it gives another reply.
    After(Duration, Box<Reply>),
    /// Gives another reply as if it would keep the connection, then closes it.
    ThenClose(Box<Reply>),
    /// Never answers.
    Hang,
    /// A head, then never a body.
    HangInBody,
    /// A body that comes one byte at a time and never seems to end.
    Drip,
    /// A body of 1 GB.
    Flood,
    /// Closes the connection without an answer.
    Close,
    /// Closes the connection in the middle of a body.
    CloseInBody,
    /// Resets the connection without an answer.
    Reset,
    /// Resets the connection in the middle of a body.
    ResetInBody,
    /// These bytes instead of HTTP.
    Garbage(Bytes),
    /// A head of 1 MB.
    BigHead,
    /// A thousand headers.
    ManyHeaders,
}

impl From<u16> for Reply {
    fn from(status: u16) -> Self {
        Self::Answer { status, headers: Vec::new(), body: Bytes::new() }
    }
}

impl Reply {
    /// An answer with a body.
    pub fn body(status: u16, body: impl Into<Bytes>) -> Self {
        Self::Answer { status, headers: Vec::new(), body: body.into() }
    }
    /// A redirect.
    pub fn redirect(to: &str) -> Self {
        Self::from(302).with("location", to)
    }
    /// An answer that asks to wait.
    pub fn retry_after(status: u16, wait: &str) -> Self {
        Self::from(status).with("retry-after", wait)
    }
    /// Something that is not HTTP.
    pub fn garbage() -> Self {
        Self::Garbage(Bytes::from_static(b"\x15\x03\x01 SSH-2.0-nothing to see here\r\n\r\n"))
    }
    /// 10 MB of zeros, compressed.
    pub fn gzip_bomb() -> Self {
        let mut bomb = GzEncoder::new(Vec::new(), Compression::best());
        bomb.write_all(&vec![b'0'; BOMB]).unwrap();
        Self::body(200, bomb.finish().unwrap()).with("content-encoding", "gzip")
    }
    /// The same with a header more.
    ///
    /// # Panics
    /// If this is no well-formed answer.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        match &mut self {
            Self::Answer { headers, .. } => headers.push((name.to_owned(), value.to_owned())),
            other => panic!("{other:?} has no headers to add to"),
        }
        self
    }
    /// The same after a while.
    #[must_use]
    pub fn after(self, wait: Duration) -> Self {
        Self::After(wait, Box::new(self))
    }
    /// The same, and then the connection is closed without a warning.
    #[must_use]
    pub fn then_close(self) -> Self {
        Self::ThenClose(Box::new(self))
    }
}

/// Gives a reply; false if the connection is to be closed.
pub(super) async fn give(wire: &mut Wire, reply: Reply, flooded: &AtomicU64) -> bool {
    // A write fails when the client has had enough, which is its right.
    match reply {
        Reply::Answer { status, headers, body } => {
            let mut message = head(status, &headers, body.len());
            message.extend_from_slice(&body);
            send(wire, &message).await.is_ok()
        }
        Reply::After(wait, reply) => {
            tokio::time::sleep(wait).await;
            Box::pin(give(wire, *reply, flooded)).await
        }
        Reply::ThenClose(reply) => {
            Box::pin(give(wire, *reply, flooded)).await;
            false
        }
        Reply::Hang => until_closed(wire).await,
        Reply::HangInBody => {
            let _ = send(wire, &head(200, &[], 100)).await;
            until_closed(wire).await
        }
        Reply::Drip => {
            let mut sent = send(wire, &head(200, &[], DRIP.0)).await;
            while sent.is_ok() {
                tokio::time::sleep(DRIP.1).await;
                sent = send(wire, b".").await;
            }
            false
        }
        Reply::Flood => {
            let block = vec![b'x'; 64 * 1024];
            let mut sent = send(wire, &head(200, &[], FLOOD)).await;
            while sent.is_ok() {
                sent = send(wire, &block).await;
                flooded.fetch_add(block.len() as u64, Ordering::SeqCst);
            }
            false
        }
        Reply::Close => false,
        Reply::CloseInBody => {
            let _ = send(wire, &head(200, &[], 100)).await;
            let _ = send(wire, b"half of").await;
            false
        }
        Reply::Reset => {
            wire.make_close_a_reset();
            false
        }
        Reply::ResetInBody => {
            let _ = send(wire, &head(200, &[], 100)).await;
            let _ = send(wire, b"half of").await;
            wire.make_close_a_reset();
            false
        }
        Reply::Garbage(bytes) => {
            let _ = send(wire, &bytes).await;
            false
        }
        Reply::BigHead => {
            let value = "x".repeat(1_000_000);
            let _ = send(wire, &head(200, &[("x-big".into(), value)], 0)).await;
            until_closed(wire).await
        }
        Reply::ManyHeaders => {
            let headers: Vec<_> = (0..1_000).map(|i| (format!("x-header-{i}"), "1".into())).collect();
            let _ = send(wire, &head(200, &headers, 0)).await;
            until_closed(wire).await
        }
    }
}

fn head(status: u16, headers: &[(String, String)], length: usize) -> Vec<u8> {
    let mut text = format!("HTTP/1.1 {status} Whatever\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    // These have no body, so a length would be wrong.
    if status != 204 && status != 304 {
        text.push_str(&format!("content-length: {length}\r\n"));
    }
    text.push_str("\r\n");
    text.into_bytes()
}

async fn send(wire: &mut Wire, bytes: &[u8]) -> io::Result<()> {
    let stream = wire.stream();
    stream.write_all(bytes).await?;
    stream.flush().await
}

/// Reads and drops until the client closes the connection.
async fn until_closed(wire: &mut Wire) -> bool {
    let mut sink = [0; 1024];
    while let Ok(1..) = wire.stream().read(&mut sink).await {}
    false
}
