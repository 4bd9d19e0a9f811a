//! An HTTP server for tests: records what arrives and answers by script, well or badly.
//!
//! Speaks HTTP/1.1 by hand, because a library would not misbehave on request.

mod reply;
mod request;

pub use reply::Reply;
pub use request::Received;

use crate::tls::Identity;
use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::Notify,
    task::{JoinHandle, JoinSet},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// How long [`Receiver::wait_for`] waits before the test fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// An address of loopback that is kept: nothing listens there, and nobody else gets it meanwhile.
#[derive(Debug)]
pub struct Place {
    address: SocketAddr,
    _held: TcpSocket,
}

impl Place {
    /// Takes a free one.
    #[must_use]
    pub fn take() -> Self {
        let held = TcpSocket::new_v4().unwrap();
        // So that a listener may be bound beside it.
        held.set_reuseaddr(true).unwrap();
        held.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        Self { address: held.local_addr().unwrap(), _held: held }
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// A running receiver on the loopback address; stops when it is dropped.
#[derive(Debug)]
pub struct Receiver {
    address: SocketAddr,
    scheme: &'static str,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Shared {
    script: Mutex<Script>,
    requests: Mutex<Vec<Received>>,
    arrived: Notify,
    connections: AtomicUsize,
    flooded: AtomicU64,
}

#[derive(Debug)]
struct Script {
    next: VecDeque<Reply>,
    always: Reply,
}

impl Default for Script {
    fn default() -> Self {
        Self { next: VecDeque::new(), always: Reply::from(200) }
    }
}

impl Receiver {
    /// Starts a receiver that answers 200 to everything.
    pub async fn start() -> Self {
        Self::bind(SocketAddr::from(([127, 0, 0, 1], 0)), None).await
    }

    /// Starts one at a place that outlives it, so that another can be started there.
    pub async fn start_on(place: &Place) -> Self {
        Self::bind(place.address, None).await
    }

    /// Starts one that speaks TLS with this certificate.
    pub async fn start_tls(identity: Identity) -> Self {
        Self::bind(SocketAddr::from(([127, 0, 0, 1], 0)), Some(identity.acceptor())).await
    }

    async fn bind(address: SocketAddr, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let shared = Arc::new(Shared::default());
        let accepting = tokio::spawn(accept(listener, tls, Arc::clone(&shared)));
        Self { address, scheme, shared, accepting }
    }

    /// Gives these answers first, in order; after them the usual one.
    #[must_use]
    pub fn replying<R: Into<Reply>>(self, replies: impl IntoIterator<Item = R>) -> Self {
        self.reply_next(replies);
        self
    }

    /// Gives this answer to everything that has none planned.
    #[must_use]
    pub fn always(self, reply: impl Into<Reply>) -> Self {
        self.reply_always(reply);
        self
    }

    /// Like [`Self::replying`], while it runs. Adds to what is planned.
    pub fn reply_next<R: Into<Reply>>(&self, replies: impl IntoIterator<Item = R>) {
        self.shared.script.lock().unwrap().next.extend(replies.into_iter().map(Into::into));
    }

    /// Like [`Self::always`], while it runs.
    pub fn reply_always(&self, reply: impl Into<Reply>) {
        self.shared.script.lock().unwrap().always = reply.into();
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of its root.
    pub fn url(&self) -> String {
        format!("{}://{}/", self.scheme, self.address)
    }

    /// The URL with another name for the same machine, and a path.
    pub fn url_at(&self, host: &str, path: &str) -> String {
        format!("{}://{host}:{}{path}", self.scheme, self.address.port())
    }

    /// Everything that has arrived so far.
    pub fn requests(&self) -> Vec<Received> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// How many connections were opened so far.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Bytes that [`Reply::Flood`] got rid of so far.
    pub fn flooded(&self) -> u64 {
        self.shared.flooded.load(Ordering::SeqCst)
    }

    /// Waits until `n` requests have arrived in all, and returns everything that has.
    ///
    /// # Panics
    /// If they do not arrive within half a minute.
    pub async fn wait_for(&self, n: usize) -> Vec<Received> {
        let waiting = async {
            loop {
                let arrived = self.shared.arrived.notified();
                let requests = self.requests();
                if requests.len() >= n {
                    return requests;
                }
                arrived.await;
            }
        };
        match tokio::time::timeout(PATIENCE, waiting).await {
            Ok(requests) => requests,
            Err(_) => panic!("{} of {n} requests arrived within {PATIENCE:?}", self.requests().len()),
        }
    }

    /// Stops it: all connections break and nobody listens any more.
    pub async fn stop(mut self) {
        self.accepting.abort();
        // Cancelled, as asked.
        let _ = (&mut self.accepting).await;
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, shared: Arc<Shared>) {
    // Connections end together with this task.
    let mut connections = JoinSet::new();
    loop {
        let (tcp, _) = listener.accept().await.unwrap();
        tcp.set_nodelay(true).unwrap();
        while connections.try_join_next().is_some() {}
        let number = shared.connections.fetch_add(1, Ordering::SeqCst);
        let (tls, shared) = (tls.clone(), Arc::clone(&shared));
        connections.spawn(async move {
            let mut wire = match tls {
                None => Wire::Plain(tcp),
                Some(tls) => match tls.accept(tcp).await {
                    Ok(stream) => Wire::Tls(Box::new(stream)),
                    // The client did not like the certificate.
                    Err(_) => return,
                },
            };
            serve(&mut wire, number, &shared).await;
        });
    }
}

/// Answers requests until one side has had enough.
async fn serve(wire: &mut Wire, number: usize, shared: &Shared) {
    let mut unread = Vec::new();
    while let Some(received) = request::read(wire, &mut unread, number).await {
        let reply = {
            let mut script = shared.script.lock().unwrap();
            script.next.pop_front().unwrap_or_else(|| script.always.clone())
        };
        shared.requests.lock().unwrap().push(received);
        shared.arrived.notify_waiters();
        if !reply::give(wire, reply, &shared.flooded).await {
            return;
        }
    }
}

/// The bytes below HTTP.
enum Wire {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

trait ReadWrite: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> ReadWrite for T {}

impl Wire {
    fn stream(&mut self) -> &mut dyn ReadWrite {
        match self {
            Self::Plain(s) => s,
            Self::Tls(s) => s,
        }
    }

    /// Makes the close that follows a reset.
    fn make_close_a_reset(&self) {
        let tcp = match self {
            Self::Plain(s) => s,
            Self::Tls(s) => s.get_ref().0,
        };
        tcp.set_zero_linger().unwrap();
    }
}
