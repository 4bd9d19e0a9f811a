//! What all handlers share.

use crate::idempotency::Turns;
use metrics_exporter_prometheus::PrometheusHandle;
use service::Service;
use std::sync::Arc;

/// What all handlers share.
pub struct ApiState {
    pub(crate) service: Arc<Service>,
    pub(crate) metrics: Option<PrometheusHandle>,
    pub(crate) turns: Turns,
}

impl ApiState {
    /// Over the operations; with metrics if a recorder is installed.
    pub fn new(service: Arc<Service>, metrics: Option<PrometheusHandle>) -> Arc<Self> {
        Arc::new(Self { service, metrics, turns: Turns::default() })
    }
}
