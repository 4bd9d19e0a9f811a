//! The receiver of a measurement: answers 200 to everything, counts, and notes how long each event was on its way.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use std::{
    convert::Infallible,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::AbortHandle,
};

/// What stands before the moment of sending in each payload, which is in microseconds of [`Receiver::now`].
pub(super) const SENT_AT: &str = "\"sentAt\":";

/// Listens until it is dropped.
pub(super) struct Receiver {
    address: SocketAddr,
    board: Arc<Board>,
    listening: AbortHandle,
}

struct Board {
    begun: Instant,
    got: Mutex<Got>,
}

/// What arrived since it was last asked to begin anew.
#[derive(Default)]
pub(super) struct Got {
    /// How many.
    pub(super) deliveries: u64,
    /// How long each was on its way, in microseconds; those beyond four bytes count as the longest.
    pub(super) latencies: Vec<u32>,
    /// When the last one arrived.
    pub(super) last: Duration,
}

impl Receiver {
    pub(super) async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let board = Arc::new(Board { begun: Instant::now(), got: Mutex::default() });
        let listening = tokio::spawn(listen(listener, board.clone())).abort_handle();
        Ok(Self { address, board, listening })
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its own clock, which producers put into payloads.
    pub(super) fn now(&self) -> Duration {
        self.board.begun.elapsed()
    }

    /// How many deliveries arrived since it began anew.
    pub(super) fn count(&self) -> u64 {
        self.board.lock().deliveries
    }

    /// What arrived, and begins anew.
    pub(super) fn take(&self) -> Got {
        std::mem::take(&mut *self.board.lock())
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

impl Board {
    fn lock(&self) -> std::sync::MutexGuard<'_, Got> {
        // Numbers are whole whatever panicked beside them.
        self.got.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, body: &[u8]) {
        let now = self.begun.elapsed();
        let took = sent_at(body).map(|sent| now.saturating_sub(sent));
        let mut got = self.lock();
        got.deliveries += 1;
        got.last = now;
        got.latencies.extend(took.map(|t| u32::try_from(t.as_micros()).unwrap_or(u32::MAX)));
    }
}

async fn listen(listener: TcpListener, board: Arc<Board>) {
    loop {
        // Where no more connections can be opened, those that are there go on.
        if let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream, board.clone()));
        }
    }
}

async fn answer(stream: TcpStream, board: Arc<Board>) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request: Request<Incoming>| {
        let board = &board;
        async move {
            if let Ok(body) = request.into_body().collect().await {
                board.note(&body.to_bytes());
            }
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
        }
    });
    // The server closes its connections when it ends.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

fn sent_at(body: &[u8]) -> Option<Duration> {
    let name = SENT_AT.as_bytes();
    let from = body.windows(name.len()).position(|w| w == name)? + name.len();
    let digits = body[from..].iter().take_while(|c| c.is_ascii_digit());
    let micros = digits.fold(0u64, |n, c| n.wrapping_mul(10).wrapping_add(u64::from(c - b'0')));
    Some(Duration::from_micros(micros))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_moment_of_sending_is_found_in_a_payload() {
        assert_eq!(sent_at(br#"{"sentAt":1234,"filler":"x"}"#), Some(Duration::from_micros(1234)));
        assert_eq!(sent_at(b"{}"), None);
    }
}
