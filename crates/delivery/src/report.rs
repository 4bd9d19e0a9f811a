//! What the engine tells others about endpoints and failing deliveries: the operational webhooks' raw material.

use domain::{AttemptId, Endpoint, GivenUpCount, MessageMeta, Timestamp};
use std::sync::Arc;
use store::AppEntry;

/// The attempt that a report is about.
#[derive(Clone, Copy, Debug)]
pub struct LastAttempt {
    /// Its id.
    pub id: AttemptId,
    /// HTTP status, 0 if none.
    pub response_status: u16,
    /// When it began.
    pub at: Timestamp,
}

/// Something that people around an endpoint may want to know.
#[derive(Clone, Debug)]
pub enum Happened {
    /// The engine switched an endpoint off.
    EndpointDisabled {
        /// Its application.
        app: Arc<AppEntry>,
        /// The endpoint as it is now.
        endpoint: Arc<Endpoint>,
        /// Since when it failed.
        fail_since: Timestamp,
        /// How many messages were given up within a day, if that is why.
        given_up: Option<GivenUpCount>,
    },
    /// The fourth try failed and another one is planned.
    Failing(Arc<AppEntry>, Arc<Endpoint>, MessageMeta, LastAttempt),
    /// The last planned try failed.
    Exhausted(Arc<AppEntry>, Arc<Endpoint>, MessageMeta, LastAttempt),
    /// The fifth or a later try succeeded.
    Recovered(Arc<AppEntry>, Arc<Endpoint>, MessageMeta, LastAttempt),
}

/// Hears what happened. Must not block; what takes long is done elsewhere.
pub trait Reporter: Send + Sync {
    /// It happened.
    fn report(&self, happened: Happened);
}

/// Nobody listens.
pub struct NoReports;

impl Reporter for NoReports {
    fn report(&self, _: Happened) {}
}
