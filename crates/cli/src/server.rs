//! The loop that takes connections and serves HTTP/1.1 on them.
//!
//! Bounded in every direction: so many connections, so much time for head and body of a request, so much memory for it. HTTP/2
//! without TLS is not offered: telling the two apart has no deadline, and a silent connection would cost us for ever.

use crate::unread;
use axum::extract::ConnectInfo;
use bytes::Bytes;
use http_body::Body;
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use std::{convert::Infallible, error::Error, future::Future, io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};
use tower::Service;
use tower_http::timeout::{DeadlineBody, RequestBodyDeadline};
use tracing::{debug, warn};

/// How much of everything the loop gives away.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Connections at the same time.
    pub(crate) connections: usize,
    /// Time for the head of a request, and how long a connection may idle between two requests.
    pub(crate) head: Duration,
    /// Time for the body of a request.
    pub(crate) body: Duration,
    /// Time that requests in flight get to finish after the stop.
    pub(crate) grace: Duration,
}

impl Limits {
    /// For a small receiver of our own.
    pub(crate) const SMALL: Self = Self {
        connections: 1_000,
        head: Duration::from_secs(30),
        body: Duration::from_secs(30),
        grace: Duration::from_secs(2),
    };
}

/// Memory for what is read of a request before somebody asks for its body.
const BUFFER: usize = 64 * 1024;
/// Rest after an error that the next accept would meet again, such as too many open files.
const PAUSE: Duration = Duration::from_millis(100);

/// Opens the listening socket; port 0 takes a free one.
pub(crate) async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// Opens the listening socket there, or on a free port of the same host if somebody else has this one.
pub(crate) async fn bind_nearby(address: SocketAddr) -> io::Result<TcpListener> {
    match bind(address).await {
        Err(e) if e.kind() == io::ErrorKind::AddrInUse => bind((address.ip(), 0).into()).await,
        bound => bound,
    }
}

/// Serves `router` until `stop` is over, then lets requests in flight finish.
pub(crate) async fn run<S, B>(listener: TcpListener, router: S, limits: Limits, stop: impl Future<Output = ()>)
where
    S: Service<Request<DeadlineBody<unread::Shared>>, Response = Response<B>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    let seats = Arc::new(Semaphore::new(limits.connections));
    let graceful = GracefulShutdown::new();
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(limits.head).max_buf_size(BUFFER);
    let service = RequestBodyDeadline::new(router, limits.body);
    let mut stop = std::pin::pin!(stop);

    loop {
        // A seat first: connections beyond the limit wait in the system's queue instead of in our memory.
        let next = async {
            let seat = seats.clone().acquire_owned().await.ok()?;
            Some((accept(&listener).await, seat))
        };
        let ((stream, peer), seat) = tokio::select! {
            next = next => match next {
                Some(next) => next,
                // Only a closed semaphore; nobody closes it.
                None => break,
            },
            () = &mut stop => break,
        };
        // Who is at the other end goes with each request, for those that count failures by address.
        let answer = service.clone();
        let with_peer = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(peer));
            unread::answer(answer.clone(), request)
        });
        let connection = graceful.watch(http.serve_connection(TokioIo::new(stream), with_peer));
        tokio::spawn(async move {
            let _seat = seat;
            if let Err(error) = connection.await {
                debug!(%error, "a connection ended early");
            }
        });
    }

    drop(listener);
    if timeout(limits.grace, graceful.shutdown()).await.is_err() {
        warn!("some requests were not answered before the server stopped");
    }
}

async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // Answers are small and whole: waiting for more to send would only delay them.
                if let Err(error) = stream.set_nodelay(true) {
                    debug!(%error, "failed to set TCP_NODELAY");
                }
                return (stream, peer);
            }
            // The peer gave up between its connect and our accept.
            Err(e) if matches!(e.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) => {}
            Err(error) => {
                warn!(%error, "failed to take a connection");
                sleep(PAUSE).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::{Router, routing::get};
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        sync::oneshot,
    };

    const LIMITS: Limits = Limits {
        connections: 10,
        head: Duration::from_secs(30),
        body: Duration::from_secs(30),
        grace: Duration::from_secs(5),
    };

    async fn start(router: Router, limits: Limits) -> (SocketAddr, oneshot::Sender<()>, tokio::task::JoinHandle<()>) {
        let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let stopped = async {
            let _ = stopped.await;
        };
        (address, stop, tokio::spawn(run(listener, router, limits, stopped)))
    }

    async fn ask(stream: &mut TcpStream) -> String {
        stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut buffer = [0; 1024];
        let n = stream.read(&mut buffer).await.unwrap();
        String::from_utf8_lossy(&buffer[..n]).into_owned()
    }

    #[tokio::test]
    async fn a_stop_closes_idle_connections_and_finishes_requests_in_flight() {
        let (entered, mut waiting) = tokio::sync::mpsc::channel::<oneshot::Sender<()>>(1);
        let slow = move || {
            let entered = entered.clone();
            async move {
                let (go, going) = oneshot::channel();
                entered.send(go).await.unwrap();
                going.await.unwrap();
                "done"
            }
        };
        let (address, stop, server) = start(Router::new().route("/", get(slow)), LIMITS).await;
        let mut idle = TcpStream::connect(address).await.unwrap();
        let mut busy = TcpStream::connect(address).await.unwrap();
        let answer = tokio::spawn(async move { ask(&mut busy).await });
        let go = waiting.recv().await.unwrap();

        stop.send(()).unwrap();
        assert_eq!(idle.read(&mut [0; 16]).await.unwrap(), 0, "the idle connection is closed");
        assert!(!server.is_finished());
        go.send(()).unwrap();
        assert!(answer.await.unwrap().ends_with("done"));
        server.await.unwrap();
        assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
    }

    #[tokio::test]
    async fn connections_beyond_the_limit_wait_their_turn() {
        let (address, _stop, _server) =
            start(Router::new().route("/", get(|| async { "hello" })), Limits { connections: 1, ..LIMITS }).await;
        let mut first = TcpStream::connect(address).await.unwrap();
        assert!(ask(&mut first).await.ends_with("hello"));
        let mut second = TcpStream::connect(address).await.unwrap();
        let answer = tokio::spawn(async move { ask(&mut second).await });
        assert!(ask(&mut first).await.ends_with("hello"));
        assert!(!answer.is_finished());
        drop(first);
        assert!(answer.await.unwrap().ends_with("hello"));
    }

    #[tokio::test]
    async fn a_body_that_nobody_read_does_not_cost_the_client_its_next_request() {
        let (address, _stop, _server) = start(Router::new().route("/", get(|| async { "hello" })), LIMITS).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"POST /nowhere HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\n").await.unwrap();
        stream.write_all(b"12345").await.unwrap();
        let mut buffer = [0; 1024];
        let n = stream.read(&mut buffer).await.unwrap();
        assert!(buffer[..n].starts_with(b"HTTP/1.1 404"));
        assert!(ask(&mut stream).await.ends_with("hello"));
        stream.write_all(b"POST /nowhere HTTP/1.1\r\nhost: x\r\ncontent-length: 5000000\r\n\r\n").await.unwrap();
        let n = stream.read(&mut buffer).await.unwrap();
        assert!(String::from_utf8_lossy(&buffer[..n]).contains("connection: close"), "too much to throw away");
    }

    #[tokio::test]
    async fn a_body_that_never_ends_costs_the_request() {
        let limits = Limits { body: Duration::from_millis(50), ..LIMITS };
        let router = Router::new().fallback(|body: Result<axum::body::Bytes, _>| async move {
            if body.is_err() { "cut off" } else { "whole" }
        });
        let (address, _stop, _server) = start(router, limits).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.ends_with("cut off"), "{answer}");
    }

    #[tokio::test]
    async fn a_head_that_never_ends_costs_the_connection() {
        let limits = Limits { head: Duration::from_millis(50), ..LIMITS };
        let (address, _stop, _server) = start(Router::new(), limits).await;
        for beginning in ["", "GET / HTTP/1.1\r\nhost: "] {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(beginning.as_bytes()).await.unwrap();
            // Ends only because the server ends it.
            let _ = stream.read_to_end(&mut Vec::new()).await;
        }
    }
}
