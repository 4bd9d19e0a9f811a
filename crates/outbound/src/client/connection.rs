//! One HTTP/1.1 connection, driven by its user.

use super::{Broken, Failure, connect::Stream};
use bytes::Bytes;
use domain::FailureReason;
use futures_util::task::AtomicWaker;
use http::{Request, Response};
use http_body::Body as _;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    body::Incoming,
    client::conn::http1::{Builder, Connection as Driver, SendRequest},
};
use hyper_util::rt::TokioIo;
use std::{
    error::Error as _,
    fmt,
    future::poll_fn,
    io,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Instant,
};

/// Bytes of an answer's head at most. (Hyper's limit on the number of headers, 100, holds as well.)
const HEAD_MAX: usize = 64 * 1024;

/// Rounds in which driver and future may wake each other before other tasks have their turn.
const ROUNDS: u32 = 16;

type Io = TokioIo<Stream>;

/// A connection that somebody uses, or that lies in the pool.
pub(crate) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    driving: Driving,
    opened: Instant,
}

/// Moves the bytes. Nothing moves unless somebody polls, so every wait for a connection goes through
/// [`Driving::alongside`].
struct Driving {
    /// `None` when the connection is over.
    driver: Option<Box<Driver<Io, Full<Bytes>>>>,
    relay: Arc<Relay>,
    waker: Waker,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.driving.driver.is_some() { "Connection(open)" } else { "Connection(over)" })
    }
}

impl Driving {
    /// Waits for `future` while the driver moves bytes.
    async fn alongside<F: Future>(&mut self, future: F) -> F::Output {
        let mut future = pin!(future);
        poll_fn(|outer| {
            self.relay.begin(outer.waker());
            for _ in 0..ROUNDS {
                let mut cx = Context::from_waker(&self.waker);
                poll_driver(&mut self.driver, &mut cx);
                let polled = future.as_mut().poll(&mut cx);
                if polled.is_ready() || self.relay.may_rest() {
                    return polled;
                }
            }
            // A connection that always has something to say must let others have their turn.
            outer.waker().wake_by_ref();
            Poll::Pending
        })
        .await
    }
}

fn poll_driver(driver: &mut Option<Box<Driver<Io, Full<Bytes>>>>, cx: &mut Context<'_>) {
    // How it ended is told to the request or the body that waits for it.
    if driver.as_mut().is_some_and(|d| Pin::new(d).poll(cx).is_ready()) {
        *driver = None;
    }
}

/// Wakes the task that uses the connection, except while that task is polling it: driver and future then wake each
/// other, which needs another round of the loop and not the scheduler's attention (and that of an idle thread).
#[derive(Default)]
struct Relay {
    state: AtomicU8,
    outer: AtomicWaker,
}

/// Nobody polls: a wake-up goes to the task.
const RESTING: u8 = 0;
/// The task polls, and nothing has happened meanwhile.
const POLLING: u8 = 1;
/// The task polls, and should do so once more.
const AGAIN: u8 = 2;

impl Relay {
    fn begin(&self, outer: &Waker) {
        self.outer.register(outer);
        self.state.store(POLLING, Ordering::SeqCst);
    }

    /// Ends a round; false if something happened during it that asks for another.
    fn may_rest(&self) -> bool {
        if self.state.compare_exchange(POLLING, RESTING, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
            return true;
        }
        self.state.store(POLLING, Ordering::SeqCst);
        false
    }
}

impl Wake for Relay {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }
    fn wake_by_ref(self: &Arc<Self>) {
        if self.state.compare_exchange(POLLING, AGAIN, Ordering::SeqCst, Ordering::SeqCst) == Err(RESTING) {
            self.outer.wake();
        }
    }
}

impl Connection {
    pub(super) async fn over(stream: Stream) -> Result<Self, Failure> {
        let mut builder = Builder::new();
        // Some receivers only know the customary spelling, some answer with headers that are none.
        builder.title_case_headers(true).ignore_invalid_headers_in_responses(true).max_buf_size(HEAD_MAX);
        builder.allow_spaces_after_header_name_in_responses(true);
        let (sender, driver) = builder
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|e| Failure::new(FailureReason::ConnectionLost, e.to_string()))?;
        let relay = Arc::new(Relay::default());
        let waker = Waker::from(Arc::clone(&relay));
        Ok(Self { sender, driving: Driving { driver: Some(Box::new(driver)), relay, waker }, opened: Instant::now() })
    }

    /// Sends a request and waits for the answer's head.
    pub(crate) async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Broken> {
        let answer = self.sender.send_request(request);
        self.driving.alongside(answer).await.map_err(|error| {
            let failure = failure_of(&error);
            if failure.reason == FailureReason::ConnectionLost {
                Broken::Unanswered(failure)
            } else {
                Broken::Other(failure)
            }
        })
    }

    /// The next piece of an answer's body, `None` at its end.
    pub(crate) async fn next_data(&mut self, body: &mut Incoming) -> Result<Option<Bytes>, Broken> {
        while !body.is_end_stream() {
            match self.driving.alongside(body.frame()).await {
                None => break,
                Some(Err(error)) => return Err(Broken::Other(failure_of(&error))),
                Some(Ok(frame)) => {
                    // Trailers are nobody's business.
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
        Ok(None)
    }

    /// When it was opened.
    pub(super) fn opened(&self) -> Instant {
        self.opened
    }

    /// Whether another request may be sent. Also the way to notice that an idle connection was closed.
    ///
    /// Nobody waits for an idle connection, so the last user's waker is let go: it would keep that user's task in
    /// memory.
    pub(crate) fn is_ready(&mut self) -> bool {
        let driving = &mut self.driving;
        driving.relay.outer.take();
        poll_driver(&mut driving.driver, &mut Context::from_waker(&driving.waker));
        driving.driver.is_some() && self.sender.is_ready()
    }
}

/// What an error of the connection means.
fn failure_of(error: &hyper::Error) -> Failure {
    let io = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    let (reason, what) = if error.is_parse_too_large() {
        (FailureReason::NotHttp, "the head of the answer is larger than 64 KiB or has more than 100 headers")
    } else if error.is_parse() {
        (FailureReason::NotHttp, "the answer is not HTTP/1.1")
    } else if error.is_user() {
        (FailureReason::BadRequest, "the request could not be written")
    } else if error.is_incomplete_message() {
        (FailureReason::ConnectionLost, "the receiver closed the connection")
    } else if error.is_canceled() || error.is_closed() {
        (FailureReason::ConnectionLost, "the connection closed before the request was sent")
    } else if let Some(io) = io {
        match io.kind() {
            // Hyper's way of saying that the chunks of a body make no sense.
            io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
                (FailureReason::NotHttp, "the answer's body is not well-formed")
            }
            _ => (FailureReason::ConnectionLost, "the connection broke"),
        }
    } else {
        (FailureReason::NotHttp, "the receiver spoke out of turn")
    };
    Failure::new(reason, describe(what, error))
}

/// A sentence and the causes below it, outermost first.
fn describe(what: &str, error: &hyper::Error) -> String {
    let mut text = format!("{what}: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
