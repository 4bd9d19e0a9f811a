//! The demo's receiver: checks the signature of what arrives, answers, and tells the screen.

use super::{
    dice::Dice,
    screen::Note,
    tenants::{TENANTS, Tenant},
};
use crate::{clock::SystemClock, commands::listen::TOLERANCE};
use axum::{
    Router,
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    routing::post,
};
use domain::Clock as _;
use outbound::{VerifyingKey, verify};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::{sync::mpsc, time::Instant};

/// Of a hundred deliveries to the receiver that fails now and then.
const FAILURES: u64 = 15;
/// Which of the tenants has that receiver: one whose platform leaves the waits between tries to the server.
const FAILING: &str = "openedx-riverbank";

/// One for all tenants; each has its own path and its own secret.
#[derive(Clone)]
pub(crate) struct Receiver(Arc<Inner>);

struct Inner {
    keys: Vec<Option<VerifyingKey>>,
    dice: Mutex<Dice>,
    notes: mpsc::UnboundedSender<Note>,
}

impl Receiver {
    /// With the secrets of the tenants' endpoints, in the tenants' order.
    pub(crate) fn new(secrets: Vec<String>, notes: mpsc::UnboundedSender<Note>) -> Self {
        let keys = secrets.iter().map(|secret| secret.parse().ok()).collect();
        Self(Arc::new(Inner { keys, dice: Mutex::new(Dice::new(42)), notes }))
    }

    /// What it serves.
    pub(crate) fn router(&self) -> Router {
        Router::new().route("/{tenant}", post(receive)).with_state(self.clone())
    }

    fn judge(&self, tenant: usize, headers: &HeaderMap, body: &[u8]) -> Result<StatusCode, String> {
        let key = self.0.keys[tenant].as_ref().ok_or("the endpoint's secret cannot be read")?;
        verify(key, headers, body, SystemClock.now(), Some(TOLERANCE)).map_err(|e| e.to_string())?;
        let fails = TENANTS[tenant].uid == FAILING
            && self.0.dice.lock().unwrap_or_else(PoisonError::into_inner).chance(FAILURES);
        Ok(if fails { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::NO_CONTENT })
    }
}

async fn receive(
    State(receiver): State<Receiver>,
    Path(uid): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let at = Instant::now();
    let Some(who) = TENANTS.iter().position(|t: &Tenant| t.uid == uid) else { return StatusCode::NOT_FOUND };
    let id = headers.get("webhook-id").or(headers.get("svix-id")).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let (status, problem) = match receiver.judge(who, &headers, &body) {
        Ok(status) => (status, None),
        Err(problem) => (StatusCode::UNAUTHORIZED, Some(problem)),
    };
    let note = Note::Landed { id: id.to_owned(), tenant: &TENANTS[who], status, problem, at };
    // The screen is only gone when the demo is over.
    let _ = receiver.0.notes.send(note);
    status
}
