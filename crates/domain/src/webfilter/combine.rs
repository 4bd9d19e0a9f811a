//! From what every webfilter was heard to say to what the platform does. Pure: the same words give the same result,
//! whoever spoke first.

use super::{
    Because, Effect, FilterRules, Halt, Heard, OnSilence, Outcome, Protection, Raised, Reading, ReadingResult,
    RunReport, Webfilter, WireVersion, answer::Counted, run::text_or_null,
};
use crate::{
    failure::FailureReason,
    json::{Json, Members},
};
use indexmap::IndexMap;
use std::{borrow::Borrow, time::Duration};

/// What the platform does.
#[derive(Clone, PartialEq, Debug)]
pub struct Combined {
    /// In a word.
    pub outcome: Outcome,
    /// In detail.
    pub report: RunReport,
}

/// Combines what was heard. `heard` is in the order of the webfilters; durations are only passed on.
pub fn combine<W: Borrow<Webfilter>>(
    rules: &FilterRules,
    heard: &[(W, Heard, Duration)],
    protection: &Protection,
) -> Combined {
    let mut answers: Vec<Reading> = Vec::with_capacity(heard.len());
    let mut data: IndexMap<String, (Effect, Json)> = IndexMap::new();
    let mut exceptions: IndexMap<String, (Members, WireVersion)> = IndexMap::new();
    let mut halted: Option<(Halt, Option<Raised>)> = None;
    for (webfilter, said, took) in heard {
        let webfilter = webfilter.borrow();
        let mut reading = reading(webfilter, said, *took);
        if halted.is_some() {
            reading.result = ReadingResult::Unneeded;
            answers.push(reading);
            continue;
        }
        halted = halt_of(webfilter, rules, said);
        if halted.is_some() {
            reading.result = ReadingResult::Halted;
        } else if let (Heard::Answered { body, .. }, None) = (said, failure(said)) {
            let counted = Counted::read(webfilter, rules, body, protection);
            reading.result = counted.result;
            let counts = |(key, (effect, value)): (&String, &(Effect, Json))| {
                (*effect == Effect::Replace || !is_empty(value)).then(|| key.clone())
            };
            reading.data = counted.data.iter().filter_map(counts).collect();
            reading.exceptions = counted.exceptions.keys().cloned().collect();
            reading.notes = counted.notes.0;
            // Key by key: a later object replaces an earlier one as a whole, at its place.
            data.extend(counted.data);
            let version = webfilter.settings.wire_version;
            exceptions.extend(counted.exceptions.into_iter().map(|(name, arguments)| (name, (arguments, version))));
        }
        answers.push(reading);
    }
    if let Some((halt, exception)) = halted {
        let report = RunReport { exception, halt: Some(halt), answers, ..RunReport::default() };
        return Combined { outcome: Outcome::Halt, report };
    }
    let raised = first_raised(rules, exceptions);
    let comes_first = raised.as_ref().is_some_and(|(_, version)| rules.raises_first && *version == WireVersion::V22);
    if comes_first {
        data.clear();
    }
    data.retain(|_, (effect, value)| *effect == Effect::Replace || !is_empty(value));
    let exception = raised.map(|(raised, _)| raised);
    let outcome = match &exception {
        Some(_) => Outcome::Raise,
        None if data.is_empty() => Outcome::Pass,
        None => Outcome::Change,
    };
    let effects = data.iter().map(|(key, (effect, _))| (key.clone(), *effect)).collect();
    let data = data.into_iter().map(|(key, (_, value))| (key, value)).collect();
    Combined { outcome, report: RunReport { data, effects, exception, answers, ..RunReport::default() } }
}

fn is_empty(value: &Json) -> bool {
    match value {
        Json::Object(members) => members.is_empty(),
        Json::List(items) => items.is_empty(),
        _ => false,
    }
}

/// The first in the filter's order that somebody named; in the order of naming where exceptions are open.
fn first_raised(
    rules: &FilterRules,
    mut exceptions: IndexMap<String, (Members, WireVersion)>,
) -> Option<(Raised, WireVersion)> {
    let name = match &rules.exceptions {
        Some(known) => known.iter().map(|e| &e.name).find(|name| exceptions.contains_key(*name))?.clone(),
        None => exceptions.keys().next()?.clone(),
    };
    let (arguments, version) = exceptions.shift_remove(&name)?;
    Some((Raised { name, arguments }, version))
}

/// Why there is no answer that could be read.
fn failure(heard: &Heard) -> Option<FailureReason> {
    match heard {
        // A redirect is not followed, and its body is no answer to what was asked.
        Heard::Answered { status: status @ 300..=399, .. } => FailureReason::of_status(*status),
        Heard::Failed { reason, .. } => Some(*reason),
        Heard::Answered { .. } | Heard::Paused | Heard::Unneeded => None,
    }
}

fn status(heard: &Heard) -> Option<u16> {
    match heard {
        Heard::Answered { status, .. } => Some(*status),
        Heard::Failed { status, .. } => *status,
        Heard::Paused | Heard::Unneeded => None,
    }
}

fn reading(webfilter: &Webfilter, heard: &Heard, took: Duration) -> Reading {
    let result = match heard {
        Heard::Paused => ReadingResult::Paused,
        Heard::Unneeded => ReadingResult::Unneeded,
        _ if heard.is_silence() => ReadingResult::Silent,
        _ if failure(heard).is_some() => ReadingResult::Failed,
        _ => ReadingResult::Empty,
    };
    let notes = match heard {
        Heard::Failed { detail, .. } if !detail.is_empty() => vec![detail.clone()],
        _ => Vec::new(),
    };
    Reading {
        webfilter: webfilter.id,
        url: webfilter.shown_url(),
        result,
        status: status(heard),
        duration_us: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
        reason: failure(heard).map(|reason| reason.code().to_owned()),
        data: Vec::new(),
        exceptions: Vec::new(),
        notes,
    }
}

/// Whether a webfilter halts the run with what it said, and what is raised then.
pub fn halt_of(webfilter: &Webfilter, rules: &FilterRules, heard: &Heard) -> Option<(Halt, Option<Raised>)> {
    if !rules.can_halt() {
        return None;
    }
    let settings = &webfilter.settings;
    let (because, rule) = match heard {
        Heard::Answered { status: 400..=499, .. } if settings.on_4xx.halts => (Because::Status4xx, &settings.on_4xx),
        Heard::Answered { status: 500..=599, .. } if settings.on_5xx.halts => (Because::Status5xx, &settings.on_5xx),
        _ if heard.is_silence() && settings.on_silence == OnSilence::Halt => {
            (Because::Silence, &settings.on_request_exception)
        }
        _ if (heard.is_silence() || failure(heard).is_some()) && settings.on_request_exception.halts => {
            (Because::RequestException, &settings.on_request_exception)
        }
        _ => return None,
    };
    let (url, filter) = (webfilter.shown_url(), &rules.name);
    let reason = failure(heard).or_else(|| status(heard).and_then(FailureReason::of_status));
    let message = match (heard, reason) {
        (Heard::Answered { status, .. }, _) => format!("{url} answered {filter} with status {status}"),
        (_, Some(reason)) => format!("{url} could not be asked about {filter}: {}", reason.sentence()),
        (_, None) => format!("{url} was not asked about {filter}: it has failed again and again"),
    };
    let halt = Halt {
        webfilter: webfilter.id,
        because,
        status: status(heard),
        reason: reason.map(|reason| reason.code().to_owned()),
        message,
        redirect_to: rule.redirect.clone(),
    };
    let raised = raised_by(webfilter, rules, &halt);
    Some((halt, raised))
}

fn raised_by(webfilter: &Webfilter, rules: &FilterRules, halt: &Halt) -> Option<Raised> {
    let settings = &webfilter.settings;
    let name = settings.halt_exception.as_ref().or(rules.halt_exception.as_ref())?;
    let by_status = matches!(halt.because, Because::Status4xx | Because::Status5xx);
    // Version 21 raised without a message where the call had failed.
    let says = by_status || settings.wire_version == WireVersion::V22;
    let mut arguments = Members::from_iter([
        ("message".to_owned(), text_or_null(says.then(|| halt.message.clone()))),
        ("redirect_to".to_owned(), Json::Text(halt.redirect_to.clone().unwrap_or_default())),
    ]);
    if let (true, Some(status)) = (by_status, halt.status) {
        arguments.insert("status_code".to_owned(), Json::number(status.into()));
    }
    if let Some(known) = rules.exception(name) {
        arguments.retain(|argument, _| argument == "message" || known.takes(argument));
        for needed in &known.required {
            arguments.entry(needed.clone()).or_insert_with(|| Json::text(""));
        }
    }
    Some(Raised { name: name.clone(), arguments })
}
