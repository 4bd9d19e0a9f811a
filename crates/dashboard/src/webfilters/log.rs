//! The log: what was asked, and what each webfilter made of it.

use super::{effect_words, frame, room, spoken};
use crate::{
    form::{Query, link},
    page::{Frame, Page, Room, show},
    session::Visitor,
    words::{Mark, When, status_code},
};
use askama::Template;
use axum::extract::Path;
use domain::{
    Cursor, Json, Order, PageQuery, WebfilterRunId,
    json::pretty,
    webfilter::{Because, Outcome, Reading, ReadingResult, Run},
};
use service::Permission;

/// Runs on a page.
const PAGE: usize = 50;

/// An outcome's state and word.
pub(super) fn mark_of(outcome: Outcome) -> (Mark, &'static str) {
    match outcome {
        Outcome::Pass => (Mark::Delivered, "Passed"),
        Outcome::Change => (Mark::Changed, "Changed"),
        Outcome::Raise => (Mark::Failing, "Refused"),
        Outcome::Halt => (Mark::Failed, "Halted"),
    }
}

/// Microseconds as people read them.
pub(super) fn took(us: u64) -> String {
    match us {
        0..=9_999 => format!("{}.{} ms", us / 1_000, us % 1_000 / 100),
        10_000..=9_999_999 => format!("{} ms", us / 1_000),
        _ => format!("{}.{} s", us / 1_000_000, us % 1_000_000 / 100_000),
    }
}

/// What a run says, in a few words.
fn summary(run: &Run) -> String {
    let report = &run.report;
    let keys = || report.data.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
    if let Some(halt) = &report.halt {
        return match halt.because {
            Because::Status4xx | Because::Status5xx => {
                format!("answered {}", halt.status.map(status_code).unwrap_or_default())
            }
            Because::RequestException => "the call failed".to_owned(),
            Because::Silence => "no answer in time".to_owned(),
        };
    }
    match &report.exception {
        Some(raised) => match raised.arguments.get("message") {
            Some(Json::Text(message)) if !message.is_empty() => format!("{}: {message}", raised.name),
            _ => raised.name.clone(),
        },
        None if report.data.is_empty() => String::new(),
        None => keys(),
    }
}

struct Row {
    mark: Mark,
    word: &'static str,
    filter: String,
    path: String,
    summary: String,
    took: String,
    when: When,
    test: bool,
}

#[derive(Template)]
#[template(path = "webfilter_log.html")]
struct LogPage {
    frame: Frame,
    room: String,
    /// Whether a run may be opened: it holds what was asked and answered.
    may_open: bool,
    rows: Vec<Row>,
    filters: Vec<(String, String)>,
    filter: String,
    outcome: String,
    newer: String,
    older: String,
}

pub(super) async fn list(visitor: Visitor, Path(app): Path<String>, Query(query): Query) -> Page {
    let scope = visitor.service().open(&visitor.actor, &app).await?;
    let read = |name: &str| query.get(name).parse::<WebfilterRunId>().ok().map(|id| id.0);
    let (older, newer) = (read("older"), read("newer"));
    let cursor = older.map(Cursor::After).or(newer.map(Cursor::Before));
    let (filter, outcome) = (query.some("filter"), query.some("outcome"));
    let page = PageQuery { limit: PAGE, cursor, order: Order::Descending };
    let page = visitor.service().webfilter_runs(&scope, filter.as_deref(), outcome.as_deref(), page).await?;
    let room = room(scope.application());
    let (filter, outcome) = (filter.unwrap_or_default(), outcome.unwrap_or_default());
    let to = |name, run: Option<&Run>| match run {
        Some(run) => {
            let id = run.id.to_string();
            link(&format!("{room}/log"), &[("filter", &filter), ("outcome", &outcome), (name, &id)])
        }
        None => String::new(),
    };
    let has_older = if newer.is_some() { true } else { page.more };
    let has_newer = if newer.is_some() { page.more } else { older.is_some() };
    let (first, last) = (page.items.first(), page.items.last());
    let links = (
        if has_newer { to("newer", first) } else { String::new() },
        if has_older { to("older", last) } else { String::new() },
    );
    let row = |run: &Run| {
        let (mark, word) = mark_of(run.outcome);
        Row {
            mark,
            word,
            filter: spoken(run.filter.as_str()),
            path: format!("{room}/log/{}", run.id),
            summary: summary(run),
            took: took(run.duration_us),
            when: When::new(run.at, visitor.now()),
            test: run.test,
        }
    };
    let rows = page.items.iter().map(row).collect();
    let known = visitor.service().filters(&scope)?;
    let used = known.iter().filter(|f| f.webfilters > 0 || f.rules.name.as_str() == filter);
    let filters = used.map(|f| (f.rules.name.to_string(), spoken(f.rules.name.as_str()))).collect();
    show(&LogPage {
        frame: Frame::of(&visitor, scope.application(), Room::Webfilters, "Log of webfilters")
            .below("Webfilters", room.clone()),
        may_open: visitor.may(Permission::SeePayloads),
        rows,
        filters,
        newer: links.0,
        older: links.1,
        filter,
        outcome,
        room,
    })
}

/// What became of one webfilter.
pub(super) struct AnswerShown {
    pub(super) mark: Mark,
    pub(super) word: &'static str,
    pub(super) url: String,
    pub(super) path: String,
    pub(super) code: String,
    pub(super) took: String,
    pub(super) counted: String,
    pub(super) why: &'static str,
    pub(super) advice: &'static str,
    pub(super) notes: Vec<String>,
}

impl AnswerShown {
    fn of(reading: &Reading, room: &str) -> Self {
        let (mark, word) = match reading.result {
            ReadingResult::Used => (Mark::Delivered, "Counted"),
            ReadingResult::Empty => (Mark::Delivered, "Nothing to say"),
            ReadingResult::NotJson => (Mark::Failing, "Not JSON"),
            ReadingResult::NotObject => (Mark::Failing, "Not an object"),
            ReadingResult::Halted => (Mark::Failed, "Halted"),
            ReadingResult::Failed => (Mark::Failed, "Failed"),
            ReadingResult::Silent => (Mark::Failed, "No answer in time"),
            ReadingResult::Paused => (Mark::Off, "Paused"),
            ReadingResult::Unneeded => (Mark::Off, "Not waited for"),
        };
        let counted: Vec<&str> = reading.data.iter().chain(&reading.exceptions).map(String::as_str).collect();
        let failure = reading.failure();
        Self {
            mark,
            word,
            url: reading.url.clone(),
            path: format!("{room}/{}", reading.webfilter),
            code: reading.status.map(status_code).unwrap_or_default(),
            took: if reading.duration_us == 0 { String::new() } else { took(reading.duration_us) },
            counted: counted.join(", "),
            why: failure.map(|f| f.sentence()).unwrap_or_default(),
            advice: failure.map(|f| f.advice()).unwrap_or_default(),
            notes: reading.notes.clone(),
        }
    }
}

/// What came of a run, on its own page and on the test bench.
pub(super) struct RunShown {
    pub(super) mark: Mark,
    pub(super) word: &'static str,
    pub(super) sentence: String,
    pub(super) data: String,
    pub(super) effects: Vec<(String, &'static str)>,
    pub(super) left_out: bool,
    pub(super) exception: String,
    pub(super) arguments: String,
    pub(super) redirect: String,
    pub(super) answers: Vec<AnswerShown>,
}

impl RunShown {
    pub(super) fn of(run: &Run, room: &str) -> Self {
        let report = &run.report;
        let (mark, word) = mark_of(run.outcome);
        let members = |members: &domain::json::Members| match members.is_empty() {
            true => String::new(),
            false => pretty(Json::Object(members.clone()).to_text().as_bytes()),
        };
        let filter = spoken(run.filter.as_str());
        let sentence = match run.outcome {
            Outcome::Pass => format!("{filter} goes on as it is."),
            Outcome::Change => format!("{filter} goes on with changed data."),
            Outcome::Raise => format!("{filter} is refused."),
            Outcome::Halt => match &report.halt {
                Some(halt) => format!("{filter} is stopped: {}.", halt.message.trim_end_matches('.')),
                None => format!("{filter} is stopped."),
            },
        };
        Self {
            mark,
            word,
            sentence,
            data: members(&report.data),
            effects: report.effects.iter().map(|(key, effect)| (key.clone(), effect_words(*effect))).collect(),
            left_out: report.data_left_out,
            exception: report.exception.as_ref().map(|e| e.name.clone()).unwrap_or_default(),
            arguments: report.exception.as_ref().map(|e| members(&e.arguments)).unwrap_or_default(),
            redirect: report.halt.as_ref().and_then(|h| h.redirect_to.clone()).unwrap_or_default(),
            answers: report.answers.iter().map(|a| AnswerShown::of(a, room)).collect(),
        }
    }
}

#[derive(Template)]
#[template(path = "webfilter_run.html")]
struct RunPage {
    frame: Frame,
    id: String,
    took: String,
    when: When,
    test: bool,
    run: RunShown,
}

pub(super) async fn show_run(visitor: Visitor, Path((app, run)): Path<(String, String)>) -> Page {
    let scope = visitor.service().open(&visitor.actor, &app).await?;
    let run = visitor.service().webfilter_run(&scope, &run).await?;
    let room = room(scope.application());
    show(&RunPage {
        frame: frame(&visitor, scope.application(), format!("Run of {}", spoken(run.filter.as_str())))
            .below("Log", format!("{room}/log")),
        id: run.id.to_string(),
        took: took(run.duration_us),
        when: When::new(run.at, visitor.now()),
        test: run.test,
        run: RunShown::of(&run, &room),
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn short_times_keep_their_tenths() {
        assert_eq!(super::took(940), "0.9 ms");
        assert_eq!(super::took(12_345), "12 ms");
        assert_eq!(super::took(12_345_678), "12.3 s");
    }
}
