//! What is counted and measured, for Prometheus. The rooms count; here it is decided how finely.

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use std::time::Duration;

/// From one millisecond to the longest request timeout.
const SECONDS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 30.0, 60.0, 300.0];
/// Jobs in one commit.
const SIZES: &[f64] = &[1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0, 2_000.0];
/// How often samples are sorted into their buckets; until then each takes memory.
const SORTED_EVERY: Duration = Duration::from_secs(5);

/// Starts counting. Has to come before the first figure; nothing is counted if another recorder is there already.
pub(crate) fn start() -> Option<PrometheusHandle> {
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), SECONDS)
        .and_then(|b| b.set_buckets_for_metric(Matcher::Suffix("_size".into()), SIZES))
        .and_then(PrometheusBuilder::install_recorder);
    let handle = recorder.inspect_err(|error| tracing::warn!(%error, "nothing will be counted")).ok()?;
    describe();
    let upkeep = handle.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(SORTED_EVERY).await;
            upkeep.run_upkeep();
        }
    });
    Some(handle)
}

fn describe() {
    metrics::describe_counter!("schoolbell_delivered_total", "Deliveries that their receiver took.");
    metrics::describe_counter!("schoolbell_failed_total", "Deliveries that were given up.");
    metrics::describe_counter!("schoolbell_attempts_failed_total", "Tries that did not succeed.");
    metrics::describe_histogram!(
        "schoolbell_attempt_duration_seconds",
        "How long a try takes, from connect to answer."
    );
    metrics::describe_histogram!("schoolbell_commit_size", "How many accepts and results share a commit.");
    metrics::describe_histogram!("schoolbell_commit_duration_seconds", "How long a commit takes, sync included.");
}
