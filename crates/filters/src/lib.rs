//! Asks webfilters now and answers now: all of them at the same time, each within its deadline, combined in their order.
//!
//! A run reads no database and waits for nothing but the webfilters; what it said is put into the log afterwards
//! (`log`). What answers mean is `domain`'s business, what requests look like is `platforms`', the wire is `outbound`'s.
//! Must not store deliveries: nothing of a run is tried again.

mod log;
mod prepared;

pub use log::LogSettings;

use domain::{
    FailureReason, Timestamp, Webfilter, WebfilterKey, WebfilterRunId,
    webfilter::{Asking, Encoding, Heard, Protection, Question, Run, WireVersion, combine, halt_of},
};
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use http::{HeaderMap, HeaderValue, header};
use log::Log;
use outbound::{Client, OutgoingRequest};
use platforms::webfilter::wire::{self, Body};
use prepared::{Flight, Prepared};
use quick_cache::sync::Cache;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use store::{Ids, Store};

/// Webfilters whose targets and breakers are kept in memory.
const PREPARED_MAX: usize = 10_000;
/// What a receiver may answer with.
const ACCEPT: &str = "application/json, text/plain";
/// Marks requests that are tests, as on deliveries.
const TEST_HEADER: &str = "webhook-test";

/// What the operator decides about webfilters.
#[derive(Clone, Debug)]
pub struct FilterSettings {
    /// How long a webfilter may take that does not say.
    pub timeout: Duration,
    /// How long a run may take that does not say.
    pub run_timeout: Duration,
    /// Bytes of an answer that are read at most. The client has to keep one more.
    pub answer_limit: usize,
    /// Fields that stay inside.
    pub protection: Protection,
}

/// Asks webfilters. One for the whole process.
pub struct Filters {
    client: Client,
    ids: Arc<Ids>,
    settings: FilterSettings,
    prepared: Cache<WebfilterKey, Arc<Prepared>>,
    log: Log,
}

impl Filters {
    /// Starts the log; must be called within a Tokio runtime.
    pub fn start(
        client: Client,
        store: Arc<dyn Store>,
        ids: Arc<Ids>,
        settings: FilterSettings,
        log: LogSettings,
    ) -> Self {
        Self { client, log: Log::start(store, ids.clone(), log), ids, settings, prepared: Cache::new(PREPARED_MAX) }
    }

    /// Asks, combines, and puts the run into the log.
    pub async fn run(&self, question: Question) -> Run {
        let run = self.ask(&question).await;
        metrics::counter!("schoolbell_webfilter_runs_total", "outcome" => run.outcome.name()).increment(1);
        // A test that asked nobody was no run.
        if question.test != Some(Asking::Not) && !question.webfilters.is_empty() {
            self.log.keep(run.clone().for_log(&self.settings.protection));
        }
        run
    }

    /// Writes what is left of the log.
    pub async fn stop(&self) {
        self.log.stop().await;
    }

    async fn ask(&self, question: &Question) -> Run {
        let (id, at) = self.ids.next();
        let (id, started) = (WebfilterRunId(id), Instant::now());
        let name = id.to_string();
        let deadline = question.deadline.map_or(self.settings.run_timeout, |d| d.min(self.settings.run_timeout));
        let mut bodies = Bodies::default();
        let mut heard: Vec<Option<(Heard, Duration)>> = Vec::with_capacity(question.webfilters.len());
        let mut asked = FuturesUnordered::new();
        for (n, webfilter) in question.webfilters.iter().enumerate() {
            let given = question.given.iter().find(|(of, _)| *of == webfilter.id).map(|(_, said)| said.clone());
            let said = match (given, question.test) {
                (Some(said), _) => Some(said),
                (None, Some(Asking::Not)) => Some(Heard::Unneeded),
                (None, _) => None,
            };
            heard.push(said.map(|said| (said, Duration::ZERO)));
            if heard[n].is_none() {
                let body = bodies.of(webfilter, question, &self.settings.protection, at);
                let is_test = question.test.is_some();
                let one = self.ask_one(webfilter, &name, body, deadline, at, is_test);
                asked.push(async move { (n, one.await, started.elapsed()) });
            }
        }
        // As soon as one halts and all before it have spoken, nothing later can matter.
        let mut settled = 0;
        loop {
            while let Some(Some((said, _))) = heard.get(settled)
                && halt_of(&question.webfilters[settled], &question.rules, said).is_none()
            {
                settled += 1;
            }
            if heard.get(settled).is_none_or(Option::is_some) {
                break;
            }
            let Some((n, said, took)) = asked.next().await else { break };
            heard[n] = Some((said, took));
        }
        drop(asked);
        let heard: Vec<_> = question
            .webfilters
            .iter()
            .zip(heard)
            .map(|(webfilter, said)| {
                let (said, took) = said.unwrap_or((Heard::Unneeded, Duration::ZERO));
                (webfilter.as_ref(), said, took)
            })
            .collect();
        let combined = combine(&question.rules, &heard, &self.settings.protection);
        Run {
            id,
            app: question.app,
            filter: question.rules.name.clone(),
            at,
            duration_us: u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX),
            test: question.test.is_some(),
            outcome: combined.outcome,
            report: combined.report,
        }
    }

    /// Asks one webfilter, within its deadline and that of the run.
    async fn ask_one(
        &self,
        webfilter: &Webfilter,
        id: &str,
        body: Body,
        run_deadline: Duration,
        at: Timestamp,
        is_test: bool,
    ) -> Heard {
        let prepared = self.prepared(webfilter);
        let target = match &prepared.target {
            Ok(target) => target,
            Err(why) => return failed(FailureReason::BadRequest, why.clone()),
        };
        let Some(flight) = Flight::begin(&prepared, at) else { return Heard::Paused };
        let own = webfilter.settings.deadline(self.settings.timeout);
        let deadline = own.min(run_deadline);
        let mut extra_headers = HeaderMap::with_capacity(2);
        extra_headers.insert(header::ACCEPT, HeaderValue::from_static(ACCEPT));
        if is_test {
            extra_headers.insert(TEST_HEADER, HeaderValue::from_static("true"));
        }
        let request = OutgoingRequest {
            id,
            now: at,
            content_type: HeaderValue::from_static(body.content_type),
            body: body.bytes,
            extra_headers,
        };
        let heard = match tokio::time::timeout(deadline, self.client.send(target, request)).await {
            Err(_) => failed(FailureReason::ResponseTimeout, format!("the deadline of {deadline:?} passed")),
            Ok(sent) => match sent.outcome {
                domain::Outcome::Answered { status, body, .. } if body.len() > self.settings.answer_limit => {
                    let detail = format!("more than {} bytes", self.settings.answer_limit);
                    Heard::Failed { reason: FailureReason::AnswerTooLarge, status: Some(status), detail }
                }
                domain::Outcome::Answered { status, body, .. } => Heard::Answered { status, body },
                domain::Outcome::Failed { reason, status, detail } => Heard::Failed { reason, status, detail },
            },
        };
        match &heard {
            Heard::Failed { .. } => {
                // Who was cut off before its own time may be quick enough for others.
                if deadline == own || !heard.is_silence() {
                    flight.failed(self.ids.now());
                }
            }
            _ => flight.succeeded(),
        }
        heard
    }

    fn prepared(&self, webfilter: &Webfilter) -> Arc<Prepared> {
        if let Some(kept) = self.prepared.get(&webfilter.key)
            && kept.revision == webfilter.revision
        {
            return kept;
        }
        let fresh = Arc::new(Prepared::new(webfilter));
        self.prepared.insert(webfilter.key, fresh.clone());
        fresh
    }
}

fn failed(reason: FailureReason, detail: String) -> Heard {
    Heard::Failed { reason, status: None, detail }
}

/// Requests that were rendered already: webfilters that want the same get the same bytes.
#[derive(Default)]
struct Bodies(Vec<((WireVersion, Encoding), Body)>);

impl Bodies {
    fn of(&mut self, webfilter: &Webfilter, question: &Question, protection: &Protection, at: Timestamp) -> Body {
        let wanted = (webfilter.settings.wire_version, webfilter.settings.encoding);
        if let Some((_, body)) = self.0.iter().find(|(kind, _)| *kind == wanted) {
            return body.clone();
        }
        let body = wire::request(webfilter, &question.rules, &question.payload, protection, at);
        self.0.push((wanted, body.clone()));
        body
    }
}
