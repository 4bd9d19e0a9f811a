//! What all handlers share.

use crate::{figures::LastCount, idempotency::Turns};
use metrics_exporter_prometheus::PrometheusHandle;
use service::Service;
use std::sync::Arc;

/// What all handlers share.
pub struct ApiState {
    pub(crate) service: Arc<Service>,
    pub(crate) metrics: Option<PrometheusHandle>,
    pub(crate) turns: Turns,
    pub(crate) last_count: LastCount,
}

impl ApiState {
    /// Over the operations; with metrics if a recorder is installed.
    pub fn new(service: Arc<Service>, metrics: Option<PrometheusHandle>) -> Arc<Self> {
        Arc::new(Self { service, metrics, turns: Turns::default(), last_count: LastCount::default() })
    }
}
