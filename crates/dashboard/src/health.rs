//! Sentences about how an endpoint is doing: the first line that a worried person reads.

use crate::{
    session::Visitor,
    words::{Mark, When, count, long, millis, thousands},
};
use domain::{Attempt, AttemptStatus, DisabledBecause, Endpoint, Timestamp, WaitsFor};
use service::{AppScope, ServiceError, Window, attempts::AttemptsLike};
use std::{sync::Arc, time::Duration};

/// Marks on the strip of the latest attempts.
const STRIP: usize = 100;

/// How an endpoint is doing, from what is known without asking for its log.
pub(crate) fn of_endpoint(endpoint: &Endpoint) -> (Mark, &'static str) {
    match (endpoint.disabled, endpoint.failing_since) {
        (Some(_), _) => (Mark::Off, "Switched off"),
        (None, Some(_)) => (Mark::Failing, "Failing"),
        (None, None) => (Mark::Delivered, "Active"),
    }
}

/// How an application is doing: as its worst endpoint.
pub(crate) fn of_application(endpoints: &[Arc<Endpoint>]) -> (Mark, String) {
    let failing = endpoints.iter().filter(|e| of_endpoint(e).0 == Mark::Failing).count();
    let off = endpoints.iter().filter(|e| of_endpoint(e).0 == Mark::Off).count();
    if endpoints.is_empty() {
        (Mark::Off, "No endpoint yet".to_owned())
    } else if failing > 0 {
        (Mark::Failing, format!("{failing} of {} failing", endpoints.len()))
    } else if off == endpoints.len() {
        (Mark::Off, "All switched off".to_owned())
    } else if off > 0 {
        (Mark::Delivered, format!("Active, {off} switched off"))
    } else {
        (Mark::Delivered, "Active".to_owned())
    }
}

/// One attempt on the strip.
pub(crate) struct Tick {
    pub(crate) x: usize,
    pub(crate) ok: bool,
}

/// A kind of failure among the latest attempts.
pub(crate) struct Trouble {
    pub(crate) sentence: &'static str,
    pub(crate) advice: &'static str,
    pub(crate) times: usize,
    pub(crate) last: When,
    pub(crate) code: String,
}

/// How an endpoint is doing, from its log.
pub(crate) struct Health {
    pub(crate) mark: Mark,
    pub(crate) word: &'static str,
    pub(crate) sentence: String,
    pub(crate) advice: String,
    pub(crate) strip: Vec<Tick>,
    pub(crate) strip_words: String,
    pub(crate) troubles: Vec<Trouble>,
}

/// Attempts of the last 24 hours (by the full hour) that succeeded and that failed.
pub(crate) async fn of_last_day(
    visitor: &Visitor,
    scope: &AppScope,
    endpoint: &Endpoint,
) -> Result<(u64, u64), ServiceError> {
    let hours = visitor.service().activity(scope, endpoint, None, (1, 24), false).await?.stretches;
    Ok((hours.iter().map(|h| h.success).sum(), hours.iter().map(|h| h.fail).sum()))
}

/// Reads it.
pub(crate) async fn read(visitor: &Visitor, scope: &AppScope, endpoint: &Endpoint) -> Result<Health, ServiceError> {
    let (service, now, id) = (visitor.service(), visitor.now(), endpoint.id.to_string());
    let (success, fail) = of_last_day(visitor, scope, endpoint).await?;
    let window = Window::newest(STRIP);
    let attempts = service.attempts_to_endpoint(scope, &id, &window, &AttemptsLike::default(), false).await?.items;
    let (next, line) = (service.next_try(scope, endpoint).await?, service.in_line(scope, endpoint)?);
    let (mut mark, mut word) = of_endpoint(endpoint);
    // Every attempt since the latest success failed, although nobody calls it failing yet: say so.
    let lately = attempts.iter().take_while(|a| a.status != AttemptStatus::Success).last().map(|a| a.at);
    let (sentence, advice) = match (endpoint.disabled, endpoint.failing_since.or(lately)) {
        (Some(why), _) => switched_off(why),
        (None, Some(since)) => {
            (mark, word) = (Mark::Failing, "Failing");
            let next = match line.waits_for {
                Some(WaitsFor::Receiver(at)) => {
                    format!(" It is paused; one delivery tests it {}.", When::planned(at, now).near)
                }
                _ => next.map(|at| format!(" Next try {}.", When::planned(at, now).near)).unwrap_or_default(),
            };
            failing(since, &next, attempts.first(), now)
        }
        (None, None) => (working(success, fail, &attempts), String::new()),
    };
    let rate = match line.waits_for {
        Some(WaitsFor::EndpointRate) => " Deliveries wait for their turn: it has a rate limit.",
        Some(WaitsFor::ApplicationRate) => " Deliveries wait for their turn: the application has a rate limit.",
        _ => "",
    };
    let sentence = if line.messages.is_empty() { sentence } else { sentence + rate };
    let failed = attempts.iter().filter(|a| a.status != AttemptStatus::Success).count();
    let strip_words = format!(
        "The latest {}, newest at the right: {} delivered, {failed} failed",
        count(attempts.len(), "attempt"),
        attempts.len() - failed
    );
    // Newest at the right end.
    let strip = attempts
        .iter()
        .enumerate()
        .map(|(i, a)| Tick { x: (attempts.len() - 1 - i) * 6, ok: a.status == AttemptStatus::Success })
        .collect();
    let troubles = troubles(&attempts, now);
    Ok(Health { mark, word, sentence, advice, strip, strip_words, troubles })
}

fn switched_off(why: DisabledBecause) -> (String, String) {
    let advice = "New messages do not reach it. Once it is switched on, the three dots resend what failed.".to_owned();
    let sentence = match why {
        DisabledBecause::Asked => "Switched off by a person or a program.",
        DisabledBecause::Failing => {
            "Switched off by itself, because every attempt had failed for days, or too many messages were given up in one."
        }
        DisabledBecause::Gone => "Switched off by itself, because the receiver said that it is gone for good.",
    };
    (sentence.to_owned(), advice)
}

fn failing(since: Timestamp, next: &str, last: Option<&Attempt>, now: Timestamp) -> (String, String) {
    let long_ago = now.since(since);
    // Nobody needs milliseconds of trouble.
    let since = if long_ago < Duration::from_secs(5) {
        "Failing since just now.".to_owned()
    } else {
        format!("Failing for {}.", long(long_ago))
    };
    let reason = last.and_then(|a| a.reason);
    let why = reason.map(|r| format!(" {}", r.sentence())).unwrap_or_default();
    (format!("{since}{why}{next}"), reason.map(|r| r.advice().to_owned()).unwrap_or_default())
}

fn working(success: u64, fail: u64, attempts: &[Attempt]) -> String {
    let all = success + fail;
    if all == 0 {
        return match attempts.first() {
            None => "Nothing was sent yet. Send a test to see whether the receiver answers.".to_owned(),
            Some(_) => "Nothing was sent in the last 24 hours.".to_owned(),
        };
    }
    let mut times: Vec<u32> =
        attempts.iter().filter(|a| a.status == AttemptStatus::Success).map(|a| a.duration_ms).collect();
    times.sort_unstable();
    let typical =
        times.get(times.len() / 2).map(|ms| format!(", typically in {}", millis((*ms).max(1)))).unwrap_or_default();
    let (success, all) = (thousands(success), thousands(all));
    format!("{success} of {all} attempts were delivered in the last 24 hours{typical}.")
}

fn troubles(attempts: &[Attempt], now: Timestamp) -> Vec<Trouble> {
    let mut found: Vec<(domain::FailureReason, Trouble)> = Vec::new();
    for attempt in attempts {
        let Some(reason) = attempt.reason else { continue };
        match found.iter_mut().find(|(r, _)| *r == reason) {
            Some((_, trouble)) => trouble.times += 1,
            None => found.push((
                reason,
                Trouble {
                    sentence: reason.sentence(),
                    advice: reason.advice(),
                    times: 1,
                    last: When::new(attempt.at, now),
                    code: crate::words::status_code(attempt.response_status),
                },
            )),
        }
    }
    found.into_iter().map(|(_, trouble)| trouble).take(5).collect()
}
