//! A receiver of webhooks on axum.

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

/// One request as it came in.
#[derive(Clone)]
pub struct Received {
    /// All headers.
    pub headers: HeaderMap,
    /// The bytes of the body.
    pub body: Bytes,
}

impl Received {
    /// The message's id.
    pub fn id(&self) -> &str {
        self.headers["webhook-id"].to_str().expect("ids are ASCII")
    }
}

#[derive(Default)]
struct Inbox {
    received: Vec<Received>,
    status: StatusCode,
}

type Inboxes = Arc<Mutex<HashMap<String, Inbox>>>;

/// The HTTP server.
pub struct Receiver {
    base: String,
    inboxes: Inboxes,
}

/// One address on it: what arrived there and what it answers.
pub struct Hook {
    /// The address.
    pub url: String,
    path: String,
    inboxes: Inboxes,
}

impl Receiver {
    /// Starts it in the background of this runtime.
    pub async fn start() -> Self {
        let inboxes = Inboxes::default();
        let app = Router::new().fallback(take).with_state(inboxes.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let base = format!("http://{}", listener.local_addr().expect("the port's number"));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { base, inboxes }
    }

    /// A new address that answers 200.
    pub fn hook(&self) -> Hook {
        let mut inboxes = self.inboxes.lock().expect("no test panicked with the lock");
        let path = format!("/hook/{}", inboxes.len() + 1);
        inboxes.insert(path.clone(), Inbox::default());
        Hook { url: format!("{}{path}", self.base), path, inboxes: self.inboxes.clone() }
    }
}

impl Hook {
    /// Answers with this status from now on.
    pub fn respond(&self, status: u16) {
        let status = StatusCode::from_u16(status).expect("a status");
        self.with(|inbox| inbox.status = status);
    }

    /// What has arrived so far.
    pub fn received(&self) -> Vec<Received> {
        self.with(|inbox| inbox.received.clone())
    }

    /// Waits until so many requests have arrived.
    pub async fn wait(&self, count: usize) -> Vec<Received> {
        crate::eventually(|| async { Some(self.received()).filter(|r| r.len() >= count) }).await
    }

    fn with<T>(&self, work: impl FnOnce(&mut Inbox) -> T) -> T {
        let mut inboxes = self.inboxes.lock().expect("no test panicked with the lock");
        work(inboxes.get_mut(&self.path).expect("made with this hook"))
    }
}

async fn take(State(inboxes): State<Inboxes>, uri: Uri, headers: HeaderMap, body: Bytes) -> StatusCode {
    let mut inboxes = inboxes.lock().expect("no test panicked with the lock");
    match inboxes.get_mut(uri.path()) {
        Some(inbox) => {
            inbox.received.push(Received { headers, body });
            inbox.status
        }
        None => StatusCode::NOT_FOUND,
    }
}
