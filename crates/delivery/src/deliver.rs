//! One delivery, from lease to recorded result; or several that travel together, where the receiver is a queue.
//!
//! First tries, retries, resends, recoveries and replays all come through here; what runs them decides only when.

use crate::{
    engine::{LONGEST_SLEEP, Shared},
    lane::{Limits, TryResult, is_fresh},
    prepare::{Around, Content, NotSent, Prepared, Way, without_body_secret},
    report::{Happened, LastAttempt},
    response::response_text,
};
use domain::{
    AttemptId, Endpoint, GivenUp, Ksuid, Outcome, RetrySchedule, Timestamp, Trigger,
    retry::{Verdict, decide},
};
use outbound::{
    OutgoingRequest, Queue, QueueMessage,
    queue::{BATCH_BYTES, BATCH_MAX},
};
use std::{sync::Arc, time::Duration};
use store::{AppEntry, Leased, NewAttempt, Outgoing, Record, Settle};

/// Where a delivery goes: all that is known about it at this moment.
#[derive(Clone, Copy)]
struct Place<'a> {
    entry: &'a Arc<AppEntry>,
    endpoint: &'a Arc<Endpoint>,
    prepared: &'a Arc<Prepared>,
}

/// A try that has begun.
#[derive(Clone, Copy)]
struct Begun {
    id: Ksuid,
    at: Timestamp,
}

impl Shared {
    /// One delivery, from lease to recorded result. To a queue, others that wait in its lane come along.
    pub(crate) async fn deliver(self: &Arc<Self>, job: Leased) -> (TryResult, Limits) {
        let to = job.delivery.to;
        let entry = match self.parts.directory.cached(to.app) {
            Some(entry) => Some(entry),
            None => match self.parts.directory.by_key(to.app).await {
                Ok(entry) => entry,
                Err(error) => {
                    tracing::error!(%error, "failed to read an application; its delivery waits");
                    self.wait_a_moment(job);
                    return (TryResult::NotSent, self.limits(None));
                }
            },
        };
        let endpoint = entry.as_ref().and_then(|e| e.endpoint(to.endpoint)).filter(|e| e.disabled.is_none());
        let (Some(entry), Some(endpoint)) = (&entry, endpoint) else {
            self.not_sent(job);
            return (TryResult::NotSent, self.limits(None));
        };
        let limits = self.limits(Some(endpoint));
        let prepared = self.prepared(endpoint);
        let place = Place { entry, endpoint, prepared: &prepared };
        let result = match &prepared.way {
            // Boxed because it is rare and large: the task of every delivery would be as large.
            Ok(Way::Queue(queue)) => Box::pin(self.deliver_to_queue(place, queue, job, limits)).await,
            _ => self.deliver_one(place, job).await,
        };
        (result, limits)
    }

    async fn deliver_one(self: &Arc<Self>, place: Place<'_>, job: Leased) -> TryResult {
        let (begun, content) = self.begin(place, &job.message).await;
        let (outcome, took) = match (&place.prepared.way, content) {
            (_, Err(NotSent::FilteredOut)) => {
                self.not_sent(job);
                return TryResult::NotSent;
            }
            (_, Err(NotSent::Failed(outcome))) => (outcome, Duration::ZERO),
            (Ok(Way::Http(target)), Ok(content)) => {
                let message_id = job.message.meta.id.to_string();
                let request = OutgoingRequest {
                    id: &message_id,
                    now: begun.at,
                    content_type: http::HeaderValue::from_static(content.content_type),
                    body: content.body,
                    extra_headers: content.headers,
                };
                let sent = self.parts.client.send(target, request).await;
                (sent.outcome, sent.duration)
            }
            // Queues have a way of their own, above.
            (Ok(Way::Queue(_)), Ok(_)) => (unusable("the endpoint is a queue"), Duration::ZERO),
            (Err(problem), Ok(_)) => (unusable(problem), Duration::ZERO),
        };
        self.finish(place, job, begun, outcome, took)
    }

    /// A delivery into a queue, with up to nine more of its lane.
    async fn deliver_to_queue(
        self: &Arc<Self>,
        place: Place<'_>,
        queue: &Queue,
        first: Leased,
        limits: Limits,
    ) -> TryResult {
        let mut jobs = self.companions(place, &first, limits);
        jobs.insert(0, first);
        let mut results = Vec::with_capacity(jobs.len());
        let mut ready = Vec::with_capacity(jobs.len());
        for job in jobs {
            let (begun, content) = self.begin(place, &job.message).await;
            match content {
                Err(NotSent::FilteredOut) => self.not_sent(job),
                Err(NotSent::Failed(outcome)) => results.push(self.finish(place, job, begun, outcome, Duration::ZERO)),
                Ok(content) => ready.push((queue_message(&job, content), job, begun)),
            }
        }
        while !ready.is_empty() {
            let mut rest = ready.split_off(fitting(ready.iter().map(|(message, ..)| message.size())));
            std::mem::swap(&mut ready, &mut rest);
            let (messages, tries): (Vec<_>, Vec<_>) = rest.into_iter().map(|(m, job, begun)| (m, (job, begun))).unzip();
            let (outcomes, took) = self.parts.client.send_to_queue(queue, &messages, self.now()).await;
            for ((job, begun), outcome) in tries.into_iter().zip(outcomes) {
                results.push(self.finish(place, job, begun, outcome, took));
            }
        }
        together(&results)
    }

    /// Others of the same lane and kind that may go now, so that one request takes all of them.
    fn companions(&self, place: Place<'_>, first: &Leased, limits: Limits) -> Vec<Leased> {
        let now = self.now();
        let may_go = || self.application_waits(place.entry, now).is_none();
        let room = BATCH_BYTES.saturating_sub(first.message.payload.len());
        self.lane(first.delivery.to).get().companions(!is_fresh(first), BATCH_MAX - 1, room, limits, now, may_go)
    }

    /// Makes what is sent of a message.
    async fn begin(&self, place: Place<'_>, message: &Arc<Outgoing>) -> (Begun, Result<Content, NotSent>) {
        let (id, at) = self.parts.ids.next();
        let around = Around { public_url: &self.parts.settings.public_url, now: at, signers: &self.signers };
        let content = place.prepared.content(place.entry, place.endpoint, message, around).await;
        (Begun { id, at }, content)
    }

    /// Decides what follows from an outcome, tells whom it concerns, and hands the result in.
    fn finish(
        self: &Arc<Self>,
        place: Place<'_>,
        job: Leased,
        begun: Begun,
        outcome: Outcome,
        took: Duration,
    ) -> TryResult {
        let Place { entry, endpoint, .. } = place;
        let manual = job.trigger == Trigger::Manual;
        let ended = self.now();

        let tries = job.tries + u32::from(!manual);
        // Only a retry is spread.
        let jitter = if outcome.is_success() { 0.0 } else { (self.parts.jitter)() };
        let verdict =
            decide(self.schedule(entry, endpoint), &endpoint.options.final_statuses, &outcome, tries, ended, jitter);
        let settle = match verdict {
            Verdict::Delivered => Settle::Delivered,
            _ if manual => Settle::AsPlanned,
            Verdict::RetryAt(at) => Settle::RetryAt(at),
            Verdict::Failed | Verdict::Gone => Settle::Failed,
        };
        self.count(&outcome, settle, took);
        let last = LastAttempt { id: AttemptId(begun.id), response_status: outcome.status(), at: begun.at };
        self.tell(entry, endpoint, &job, verdict, tries, last);
        let result = match &outcome {
            Outcome::Answered { .. } => match outcome.reason() {
                Some(reason) if !reason.blames_receiver() => TryResult::Unwelcome,
                reason => TryResult::Answered { success: reason.is_none() },
            },
            Outcome::Failed { reason, .. } if !reason.blames_receiver() => TryResult::Unwelcome,
            Outcome::Failed { .. } => TryResult::NoAnswer,
        };
        self.note_health(entry, endpoint, &verdict, result, ended);
        let counts = settle == Settle::Failed && endpoint.options.deactivate_after.is_some();
        let given_up = outcome.reason().filter(|_| counts).and_then(GivenUp::because_of);
        let attempt = NewAttempt {
            id: AttemptId(begun.id),
            at: begun.at,
            url: place.prepared.url.clone(),
            success: outcome.is_success(),
            trigger: job.trigger,
            response_status: outcome.status(),
            duration_ms: u32::try_from(took.as_millis()).unwrap_or(u32::MAX),
            reason: outcome.reason(),
            response: without_body_secret(endpoint, response_text(outcome)),
        };
        self.store.record(Record {
            delivery: job.delivery,
            attempt: Some(attempt),
            settle,
            tries,
            order_key: job.message.meta.order_key.clone(),
            given_up,
            now: ended,
            ticket: job.ticket,
        });
        result
    }

    /// Back into the table for a moment: something of ours failed, not the receiver.
    fn wait_a_moment(&self, job: Leased) {
        self.store.record(Record {
            delivery: job.delivery,
            attempt: None,
            settle: Settle::RetryAt(self.now().plus(LONGEST_SLEEP)),
            tries: job.tries,
            order_key: None,
            given_up: None,
            now: self.now(),
            ticket: job.ticket,
        });
    }

    fn schedule<'a>(&'a self, entry: &'a AppEntry, endpoint: &'a Endpoint) -> &'a RetrySchedule {
        let server = entry.organization.retry_schedule.as_ref().unwrap_or(&self.parts.settings.retry_schedule);
        endpoint.schedule(&entry.application, server)
    }

    /// The endpoint made ready to send; kept until it changes.
    fn prepared(&self, endpoint: &Endpoint) -> Arc<Prepared> {
        if let Some(kept) = self.targets.get(&endpoint.key)
            && kept.revision == endpoint.revision
        {
            return kept;
        }
        let prepared = Arc::new(Prepared::new(endpoint, &self.parts.client));
        self.targets.insert(endpoint.key, prepared.clone());
        prepared
    }

    fn count(&self, outcome: &Outcome, settle: Settle, took: Duration) {
        self.figures.duration.record(took);
        if !outcome.is_success() {
            self.figures.attempts_failed.increment(1);
        }
        match settle {
            Settle::Delivered => self.figures.delivered.increment(1),
            Settle::Failed => self.figures.failed.increment(1),
            Settle::RetryAt(_) | Settle::AsPlanned | Settle::Cancelled => {}
        }
    }

    /// Tells the operator's webhooks, as Svix does: of the fourth failure, of giving up, of a late success.
    fn tell(
        &self,
        entry: &Arc<AppEntry>,
        endpoint: &Arc<Endpoint>,
        job: &Leased,
        verdict: Verdict,
        tries: u32,
        last: LastAttempt,
    ) {
        if job.trigger == Trigger::Manual {
            return;
        }
        let about = || (entry.clone(), endpoint.clone(), job.message.meta.clone(), last);
        let happened = match verdict {
            Verdict::Delivered if tries >= 5 => {
                let (a, e, m, l) = about();
                Happened::Recovered(a, e, m, l)
            }
            Verdict::RetryAt(_) if tries == 4 => {
                let (a, e, m, l) = about();
                Happened::Failing(a, e, m, l)
            }
            Verdict::Failed | Verdict::Gone => {
                let (a, e, m, l) = about();
                Happened::Exhausted(a, e, m, l)
            }
            Verdict::Delivered | Verdict::RetryAt(_) => return,
        };
        self.parts.reporter.report(happened);
    }
}

fn unusable(problem: &str) -> Outcome {
    Outcome::Failed { reason: domain::FailureReason::BadRequest, status: None, detail: problem.to_owned() }
}

fn queue_message(job: &Leased, content: Content) -> QueueMessage {
    let meta = &job.message.meta;
    let [name, time] = platforms::canvas::attributes(meta, &job.message.payload);
    let id = meta.id.to_string();
    QueueMessage {
        attributes: vec![name, time, ("message_id", id.clone())],
        id,
        body: content.body,
        order_key: meta.order_key.as_ref().map(ToString::to_string),
    }
}

/// How many of these sizes fit into one request: at least one.
fn fitting(sizes: impl Iterator<Item = usize>) -> usize {
    let mut sum = 0;
    let fits = |size: &usize| {
        sum += *size;
        sum <= BATCH_BYTES
    };
    sizes.take_while(fits).count().max(1)
}

/// What several results say about their lane: one that was taken says that the queue is there.
fn together(results: &[TryResult]) -> TryResult {
    let rank = |result: &&TryResult| match result {
        TryResult::Answered { success: true } => 4,
        TryResult::NoAnswer => 3,
        TryResult::Answered { success: false } => 2,
        TryResult::Unwelcome => 1,
        TryResult::NotSent => 0,
    };
    results.iter().max_by_key(rank).copied().unwrap_or(TryResult::NotSent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_takes_what_fits_and_at_least_one() {
        assert_eq!(fitting([10, 20, 30].into_iter()), 3);
        assert_eq!(fitting([BATCH_BYTES, 1].into_iter()), 1);
        assert_eq!(fitting([BATCH_BYTES + 1, 1].into_iter()), 1);
        assert_eq!(fitting([BATCH_BYTES - 1, 1, 1].into_iter()), 2);
    }

    #[test]
    fn one_message_that_was_taken_says_that_the_queue_is_there() {
        let (taken, refused) = (TryResult::Answered { success: true }, TryResult::Answered { success: false });
        assert_eq!(together(&[refused, taken, TryResult::NoAnswer]), taken);
        assert_eq!(together(&[TryResult::Unwelcome, TryResult::NoAnswer]), TryResult::NoAnswer);
        assert_eq!(together(&[]), TryResult::NotSent);
    }
}
