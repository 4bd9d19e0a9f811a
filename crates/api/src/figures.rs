//! Figures for Prometheus.

use crate::state::ApiState;
use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use domain::Timestamp;
use http::{StatusCode, header};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use service::ServiceError;
use std::{
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

/// How long an answer waits for the store to count; without it, the figures of the last count stay.
const PATIENCE: Duration = Duration::from_secs(3);
/// What was counted stands for so many times as long as counting took: with millions that wait it takes a good part of a
/// second of one core, and whoever asks all the time must not slow down what they watch.
const STANDS: u32 = 50;
/// How often samples are sorted into their buckets; until then each takes memory.
const UPKEEP: Duration = Duration::from_secs(5);
/// Seconds.
const DURATIONS: [f64; 14] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0];
/// Rows of one commit.
const SIZES: [f64; 10] = [1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0];

/// There is one recorder per process, whoever asks for it.
static INSTALLED: OnceLock<PrometheusHandle> = OnceLock::new();

/// Begins to count. Must come before whatever is counted is made, and be called within the runtime.
pub fn install() -> Result<PrometheusHandle, BuildError> {
    if let Some(handle) = INSTALLED.get() {
        return Ok(handle.clone());
    }
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &DURATIONS)?
        .set_buckets_for_metric(Matcher::Full("schoolbell_commit_size".to_owned()), &SIZES)?
        .install_recorder()?;
    let upkeep = handle.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(UPKEEP).await;
            upkeep.run_upkeep();
        }
    });
    Ok(INSTALLED.get_or_init(|| handle).clone())
}

/// Says what the figures mean.
pub(crate) fn describe() {
    metrics::describe_counter!("schoolbell_accepted_total", "Messages that were accepted.");
    metrics::describe_counter!("schoolbell_delivered_total", "Deliveries that their receiver took.");
    metrics::describe_counter!("schoolbell_failed_total", "Deliveries that were given up.");
    metrics::describe_counter!("schoolbell_attempts_failed_total", "Tries that did not succeed.");
    metrics::describe_histogram!(
        "schoolbell_attempt_duration_seconds",
        "How long a try takes, from connect to answer."
    );
    metrics::describe_counter!("schoolbell_webfilter_runs_total", "Runs of webfilters, by outcome.");
    metrics::describe_counter!(
        "schoolbell_webfilter_log_dropped_total",
        "Runs of webfilters that are not in the log, because too many waited to be written."
    );
    metrics::describe_histogram!("schoolbell_commit_size", "How many accepts and results share a commit.");
    metrics::describe_histogram!("schoolbell_commit_duration_seconds", "How long a commit takes, sync included.");
    metrics::describe_gauge!("schoolbell_waiting", "Deliveries that are waiting, held or on the wire.");
    metrics::describe_gauge!(
        "schoolbell_oldest_waiting_seconds",
        "How long ago the oldest delivery that is not settled was due."
    );
}

/// What was last counted of the open deliveries. Whoever asks meanwhile waits for it.
#[derive(Default)]
pub(crate) struct LastCount(tokio::sync::Mutex<Option<Counted>>);

struct Counted {
    until: Instant,
    open: u64,
    oldest: Option<Timestamp>,
}

impl LastCount {
    async fn or_count(
        &self,
        clock: impl Fn() -> Instant,
        count: impl Future<Output = Result<(u64, Option<Timestamp>), ServiceError>>,
    ) -> Result<(u64, Option<Timestamp>), ServiceError> {
        let mut last = self.0.lock().await;
        if let Some(counted) = last.as_ref().filter(|c| clock() < c.until) {
            return Ok((counted.open, counted.oldest));
        }
        let begun = clock();
        let (open, oldest) = count.await?;
        let over = clock();
        *last = Some(Counted { until: over + (over - begun) * STANDS, open, oldest });
        Ok((open, oldest))
    }
}

/// The figures in Prometheus' text form.
pub(crate) async fn show(State(api): State<Arc<ApiState>>) -> Response {
    let Some(handle) = &api.metrics else { return StatusCode::NOT_FOUND.into_response() };
    // Counted when asked for, so that an idle server does not count all the time; and to the end, whoever still waits for it.
    let count = tokio::spawn({
        let api = api.clone();
        async move { api.last_count.or_count(Instant::now, api.service.open_deliveries()).await }
    });
    if let Ok(Ok(Ok((open, oldest)))) = tokio::time::timeout(PATIENCE, count).await {
        let age = oldest.map_or(0.0, |due| api.service.now().since(due).as_secs_f64());
        metrics::gauge!("schoolbell_waiting").set(open as f64);
        metrics::gauge!("schoolbell_oldest_waiting_seconds").set(age);
    }
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], handle.render()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[tokio::test]
    async fn what_took_a_second_to_count_is_counted_again_after_most_of_a_minute() {
        let last = LastCount::default();
        let now = Cell::new(Instant::now());
        let pass = |seconds| now.set(now.get() + Duration::from_secs(seconds));
        let count = async |open: u64| {
            let slow = async {
                pass(1);
                Ok((open, None))
            };
            last.or_count(|| now.get(), slow).await.unwrap().0
        };
        assert_eq!(count(1_000_000).await, 1_000_000);
        assert_eq!(count(2).await, 1_000_000);
        pass(50);
        assert_eq!(count(3).await, 3);
    }
}
